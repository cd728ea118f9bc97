"""Plots as data: what stands where on a sheet, without a word of how it is drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Tick = tuple[float, str]

# Told apart by people who see colours otherwise too, and readable as text on white.
COLOURS = ("#0072b2", "#b84d00", "#00734f", "#8a4b9e", "#7a5c00", "#4d5a66")
BLUE, ORANGE, *_, GREY = COLOURS
MARGIN = 0.04
MANY = 1000
GRID = (568, 302)
"""Cells across and up: of more than `MANY` dots, one per cell is kept, because no sheet can show more."""


@dataclass(frozen=True, slots=True)
class Dots:
    """A dot per point."""

    points: tuple[Point, ...]
    colour: str = BLUE
    radius: float = 2.8
    opacity: float = 0.6


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in their order, with its name where it ends."""

    points: tuple[Point, ...]
    colour: str = BLUE
    width: float = 1.8
    label: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value on a level of the vertical axis, with its interval and in words."""

    level: float
    low: float
    value: float
    high: float
    words: str
    colour: str = BLUE

    @property
    def points(self) -> tuple[Point, ...]:
        return (self.low, self.level), (self.value, self.level), (self.high, self.level)


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis is about; without a range it fits the marks, without ticks it has round numbers, with `()` none."""

    label: str = ""
    range: Point | None = None
    ticks: tuple[Tick, ...] | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture; `note` stands beside its title, in the colour of the marks that it is about."""

    title: str
    x: Axis
    y: Axis
    marks: tuple[Dots | Line | Interval, ...]
    note: str = ""
    note_colour: str = GREY
    height: int = 400
    """In pixels; every plot is equally wide."""

    @property
    def x_range(self) -> Point:
        return self.x.range or _fitting(x for mark in self.marks for x, _ in mark.points)

    @property
    def y_range(self) -> Point:
        return self.y.range or _fitting(y for mark in self.marks for _, y in mark.points)


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """Sorted and distinct points, and of very many one per cell of a grid; the same on every processor."""
    distinct = sorted(set(points))
    if len(distinct) <= MANY:
        return tuple(distinct)
    lows, highs = zip(*(_fitting(values) for values in zip(*distinct, strict=True)), strict=True)

    def cell(point: Point) -> tuple[int, ...]:
        parts = zip(point, lows, highs, GRID, strict=True)
        return tuple(int((value - low) / (high - low) * count) for value, low, high, count in parts)

    return tuple(sorted({cell(point): point for point in distinct}.values()))


def _fitting(values: Iterable[float]) -> Point:
    values = list(values)
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * MARGIN
    return low - margin, high + margin
