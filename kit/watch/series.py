"""Curves in bounded memory: neighbouring points are averaged, ever more of them as a curve grows."""

import math
from dataclasses import dataclass, field

LIMIT = 2048


@dataclass(frozen=True)
class Curve:
    """Points of a curve, x ascending."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.x)


NO_CURVE = Curve()


@dataclass
class Series:
    """Collects a curve of any length in at most `limit` points, each the mean of equally many that were added."""

    limit: int = LIMIT
    _x: list[float] = field(default_factory=list)
    _y: list[float] = field(default_factory=list)
    _per_point: int = 1
    _pending: list[tuple[float, float]] = field(default_factory=list)
    _last: float = -math.inf
    _curve: Curve | None = None

    def add(self, x: float, y: float) -> None:
        """Add a point; an `x` that was passed already takes the curve back to it (a run continued from a checkpoint)."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        if x <= self._last:
            self._rewind(x)
        self._last = x
        self._curve = None
        self._pending.append((x, y))
        if len(self._pending) == self._per_point:
            self._close()

    @property
    def curve(self) -> Curve:
        """The curve so far; the same object until a point is added."""
        if self._curve is None:
            rest = [_mean(self._pending)] if self._pending else []
            self._curve = Curve((*self._x, *(x for x, _ in rest)), (*self._y, *(y for _, y in rest)))
        return self._curve

    def _close(self) -> None:
        x, y = _mean(self._pending)
        self._x.append(x)
        self._y.append(y)
        self._pending.clear()
        if len(self._x) >= self.limit:
            self._x = [(a + b) / 2 for a, b in zip(self._x[::2], self._x[1::2], strict=False)]
            self._y = [(a + b) / 2 for a, b in zip(self._y[::2], self._y[1::2], strict=False)]
            self._per_point *= 2

    def _rewind(self, x: float) -> None:
        self._pending = [point for point in self._pending if point[0] < x]
        while self._x and self._x[-1] >= x:
            self._x.pop()
            self._y.pop()


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    return math.fsum(x for x, _ in points) / len(points), math.fsum(y for _, y in points) / len(points)
