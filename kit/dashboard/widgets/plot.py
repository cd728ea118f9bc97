"""Curves in a plot that can be zoomed and moved, and in one line of blocks where there is no room for a plot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static
from textual_plot import HiResMode, NumericAxisFormatter, PlotWidget
from textual_plot.plot_widget import LegendLocation

from kit.dashboard.bindings import bindings
from kit.dashboard.series import Curve

SMALLEST = (28, 8)
"""Columns and rows from which on a plot says more than a line of blocks."""
BLOCKS = "▁▂▃▄▅▆▇█"
COLOURS = ("primary", "accent", "success", "error", "warning", "secondary")
"""Theme variables in the order in which curves take them."""


@dataclass(frozen=True)
class Line:
    """A curve with its name, in the colour of a theme variable."""

    label: str
    curve: Curve
    colour: str = "primary"


@dataclass(frozen=True)
class Points:
    """Single points with their name; `marker` is one character."""

    label: str
    curve: Curve
    colour: str = "primary"
    marker: str = "●"


class LogFormatter(NumericAxisFormatter):
    """Labels of an axis on which logarithms are drawn."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [f"{10**tick:.3g}" for tick in ticks]


class KitPlot(PlotWidget, inherit_bindings=False):
    """textual-plot's widget with the dashboard's keys and the theme's colours."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("plot")]


class CurveView(Container):
    """A `KitPlot`, or a line of blocks when the area is tiny. `show` draws."""

    def __init__(self, *, id: str | None = None, empty: str = "nothing to draw yet") -> None:  # noqa: A002
        super().__init__(id=id)
        self.empty = empty
        self._shown: tuple[Sequence[Line | Points], str, str, bool] = ((), "", "", False)

    def compose(self) -> ComposeResult:
        yield KitPlot()
        yield Static("", markup=False, classes="blocks")

    def on_mount(self) -> None:
        """Colours change with the theme."""
        self.watch(self.app, "theme", self._draw, init=False)
        self._choose()

    def on_resize(self, event: events.Resize) -> None:
        """There may be room for a plot now, or none any more."""
        self._choose()

    def show(self, lines: Sequence[Line | Points], *, x: str = "", y: str = "", log: bool = False) -> None:
        """Draw these curves, y logarithmically if asked; zoom and position stay."""
        shown = (tuple(lines), x, y, log)
        if shown == self._shown:
            return
        if log != self._shown[3]:
            self.query_one(KitPlot).action_reset_scales()
        self._shown = shown
        self._draw()

    def _choose(self) -> None:
        lines = self._shown[0]
        fits = self.size.width >= SMALLEST[0] and self.size.height >= SMALLEST[1] and any(len(line.curve) for line in lines)
        plot, blocks = self.query_one(KitPlot), self.query_one(".blocks", Static)
        plot.display, blocks.display = fits, not fits
        if not fits:
            blocks.update(self._blocks())

    def _draw(self) -> None:
        self._choose()
        lines, x_label, y_label, log = self._shown
        plot = self.query_one(KitPlot)
        if not plot.display:
            return
        colours = self.app.theme_variables
        plot.clear()
        plot.set_y_formatter(LogFormatter() if log else NumericAxisFormatter())
        for line in lines:
            xs, ys = thinned(line.curve, 4 * max(1, self.size.width))
            if log:
                kept = [(a, math.log10(b)) for a, b in zip(xs, ys, strict=True) if b > 0]
                xs, ys = [a for a, _ in kept], [b for _, b in kept]
            if not xs:
                continue
            style = colours[line.colour]
            if isinstance(line, Line):
                plot.plot(xs, ys, line_style=style, hires_mode=HiResMode.BRAILLE, label=line.label)
            else:
                plot.scatter(xs, ys, marker=line.marker, marker_style=style, label=line.label)
        plot.set_xlabel(x_label)
        plot.set_ylabel(y_label)
        plot.show_legend(LegendLocation.TOPRIGHT, is_visible=len(lines) > 1)

    def _blocks(self) -> Content:
        lines = [line for line in self._shown[0] if len(line.curve)]
        if not lines or self.size.width < 4:
            return Content.styled(self.empty, "$text-muted")
        parts: list[str | tuple[str, str]] = []
        for line in lines[: max(1, self.size.height)]:
            last = f" {line.curve.y[-1]:.4g} {line.label}"[: max(0, self.size.width - 4)]
            parts += [(blocks_of(line.curve.y, self.size.width - len(last)), f"${line.colour}"), last, "\n"]
        return Content.assemble(*parts[:-1])


def blocks_of(values: Sequence[float], width: int) -> str:
    """A line of block characters, the mean of its part of `values` each."""
    width = max(1, min(width, len(values)))
    low, high = min(values), max(values)
    text = ""
    for index in range(width):
        part = values[
            index * len(values) // width : max(index * len(values) // width + 1, (index + 1) * len(values) // width)
        ]
        level = (sum(part) / len(part) - low) / (high - low) if high > low else 0.0
        text += BLOCKS[min(len(BLOCKS) - 1, int(level * len(BLOCKS)))]
    return text


def thinned(curve: Curve, limit: int) -> tuple[list[float], list[float]]:
    """A curve with at most about `limit` points: of each group of neighbours its lowest and its highest."""
    xs, ys = list(curve.x), list(curve.y)
    if len(xs) <= limit:
        return xs, ys
    group = math.ceil(2 * len(xs) / limit)
    kept: list[int] = []
    for start in range(0, len(xs), group):
        indices = range(start, min(start + group, len(xs)))
        kept += sorted({min(indices, key=ys.__getitem__), max(indices, key=ys.__getitem__)})
    return [xs[index] for index in kept], [ys[index] for index in kept]
