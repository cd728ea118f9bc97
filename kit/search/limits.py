"""What a network may cost, and whether anything in a space costs so little."""

from collections.abc import Callable
from dataclasses import dataclass

from kit.costs import costs
from kit.errors import InputError
from kit.search_space import Architecture, Scale, SearchSpace

Latency = Callable[[Architecture], float]
"""Milliseconds of a network on some device."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper limits, inclusive; None means none. `latency` says what `latency_ms` is compared with."""

    scale: Scale
    macs: int | None = None
    params: int | None = None
    latency_ms: float | None = None
    latency: Latency | None = None

    def document(self) -> dict[str, float | None]:
        """As a search keeps them."""
        return {"macs": self.macs, "params": self.params, "latency_ms": self.latency_ms}

    def allow(self, architecture: Architecture) -> bool:
        """Whether an architecture keeps to all of them."""
        cost = costs(architecture, self.scale)
        kept = (self.macs is None or cost.macs <= self.macs) and (self.params is None or cost.params <= self.params)
        return kept and (self.latency_ms is None or self.milliseconds(architecture) <= self.latency_ms)

    def milliseconds(self, architecture: Architecture) -> float:
        assert self.latency is not None, "a limit of latency needs somebody who knows it"
        return self.latency(architecture)

    def check(self, space: SearchSpace) -> None:
        """Raise `InputError` with the smallest possible value of a limit that nothing in `space` meets.

        The smallest architecture costs least in all of them: fewer blocks and narrower ones never cost more.
        """
        smallest = space.smallest
        cost = costs(smallest, self.scale)
        found: list[tuple[str, float | None, float]] = [
            ("multiply-adds", self.macs, cost.macs),
            ("parameters", self.params, cost.params),
        ]
        if self.latency_ms is not None:
            found.append(("milliseconds", self.latency_ms, self.milliseconds(smallest)))
        for what, limit, least in found:
            if limit is not None and least > limit:
                raise InputError(
                    f"no architecture has at most {limit:,} {what}: the smallest has {least:,.10g}",
                    hint=f"allow at least {least:,.10g}",
                )
