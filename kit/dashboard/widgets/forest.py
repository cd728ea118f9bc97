"""Figures with their intervals as marks on one scale, a line each: who ranks better, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from kit.dashboard.widgets.parts import Part
from kit.rank_report import Interval

LABEL = 14
VALUE = 8
SHORTEST = 12


@dataclass(frozen=True)
class Mark:
    """A line: a name, a figure (or why there is none), the style of its mark."""

    label: str
    interval: Interval | None
    style: str = "$primary"
    missing: str = "constant"


def forest(marks: Sequence[Mark], width: int, *, ceiling: float | None = None) -> Content:
    """A scale and a line for each mark, `width` columns wide; `ceiling` is a dotted line from top to bottom."""
    length = width - LABEL - VALUE - 2
    if length < SHORTEST:
        return _numbers_only(marks)
    low = _low(marks)
    scale = _Scale(low, 1.0, length)
    parts: list[Part] = [" " * (LABEL + VALUE + 1), (scale.titles(), "$text-muted"), "\n"]
    for mark in marks:
        parts += [f"{mark.label[:LABEL]:<{LABEL}}"]
        if mark.interval is None:
            parts += [(f"{mark.missing}\n", "$text-muted")]
            continue
        parts += [(f"{mark.interval.value:+.3f}".rjust(VALUE - 1) + "  ", "bold")]
        parts += [*scale.line(mark.interval, mark.style, ceiling), "\n"]
    return Content.assemble(*parts[:-1]) if marks else Content("")


def _low(marks: Sequence[Mark]) -> float:
    """Where the scale begins: at 0, or a multiple of a fifth below it if an interval reaches there."""
    lowest = min((mark.interval.low for mark in marks if mark.interval is not None), default=0.0)
    low = 0.0
    while low > max(-1.0, lowest):
        low = round(low - 0.2, 1)
    return max(-1.0, low)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    length: int

    def at(self, value: float) -> int:
        place = round((value - self.low) / (self.high - self.low) * (self.length - 1))
        return min(self.length - 1, max(0, place))

    def titles(self) -> str:
        cells = [" "] * (self.length + 1)
        steps = round((self.high - self.low) / 0.2)
        every = 1 if self.length / (steps + 1) >= 5 else 2
        for step in range(0, steps + 1, every):
            value = self.low + 0.2 * step
            text = f"{value:.1f}".replace("0.", ".") if abs(value) not in (0.0, 1.0) else f"{value:.0f}"
            text = "0" if abs(value) < 1e-9 else text
            start = max(0, min(self.at(value) - len(text) // 2, self.length + 1 - len(text)))
            cells[start : start + len(text)] = text
        return "".join(cells)

    def line(self, interval: Interval, style: str, ceiling: float | None) -> list[Part]:
        cells: list[tuple[str, str]] = [(" ", "")] * self.length
        for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, -0.2, -0.4, -0.6, -0.8):
            if self.low <= value <= self.high:
                cells[self.at(value)] = ("┊" if value == 0 else "·", "$panel-lighten-2")
        if ceiling is not None:
            cells[self.at(ceiling)] = ("╎", "$text-warning")
        start, middle, end = (self.at(value) for value in (interval.low, interval.value, interval.high))
        for place in range(start, end + 1):
            cells[place] = ("─", style)
        cells[start], cells[end] = ("├", style), ("┤", style)
        cells[middle] = ("●", f"bold {style}")
        return list(cells)


def _numbers_only(marks: Sequence[Mark]) -> Content:
    parts: list[Part] = []
    for mark in marks:
        value = mark.missing if mark.interval is None else f"{mark.interval.value:+.3f}"
        parts += [f"{mark.label[:LABEL]:<{LABEL}}", (value, "bold"), "\n"]
    return Content.assemble(*parts[:-1]) if parts else Content("")
