"""Curves in a plot that can be zoomed and moved, and in one line of blocks where there is no room for a plot."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from kit.dashboard.widgets.parts import Part, blocks_of, muted
from kit.watch.series import Curve

if TYPE_CHECKING:
    from kit.dashboard.widgets.kit_plot import KitPlot

SMALLEST = (28, 8)
"""Columns and rows from which on a plot says more than a line of blocks."""
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


class CurveView(Container):
    """A `KitPlot`, or a line of blocks when the area is tiny (and until the plot is loaded). `show` draws."""

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        empty: str = "nothing to draw yet",
        labelled: bool = False,
        legend: str = "TOPRIGHT",
    ) -> None:
        """`labelled` leaves a line for the name of the x axis; `legend` is the corner for it, a name of `LegendLocation`."""
        super().__init__(id=id)
        self.labelled = labelled
        self.legend = legend
        self.plot: KitPlot | None = None
        self.empty = empty
        self._shown: tuple[Sequence[Line | Points], str, str, bool] = ((), "", "", False)

    def compose(self) -> ComposeResult:
        yield Static("", markup=False, classes="blocks")

    def on_mount(self) -> None:
        """The screen is painted first; colours change with the theme."""
        self.watch(self.app, "theme", self._draw, init=False)
        self._choose()
        self.call_after_refresh(self._load)

    async def _load(self) -> None:
        from kit.dashboard.widgets.kit_plot import KitPlot

        plot = KitPlot()
        await self.mount(plot)
        plot.margin_top, plot.margin_bottom, plot.margin_left = 0, 3 if self.labelled else 1, 8
        self.plot = plot
        self.watch(plot, "window", self._zoomed, init=False)
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """There may be room for a plot now, or none any more; a wider one shows more points."""
        self._draw()

    def _zoomed(self, window: tuple[float, float] | None) -> None:
        """Draw what is in sight as finely as it can be; what is still to come is in sight where all of x is."""
        ends = self._ends()
        if self.plot is not None and window and ends and window[0] <= ends[0] and ends[1] <= window[1]:
            self.plot.window = None
        self._draw()

    def _ends(self) -> tuple[float, float] | None:
        """The least and the largest x of all curves."""
        curves = [line.curve for line in self._shown[0] if len(line.curve)]
        return (min(curve.x[0] for curve in curves), max(curve.x[-1] for curve in curves)) if curves else None

    @property
    def _window(self) -> tuple[float, float] | None:
        return None if self.plot is None else self.plot.window

    def show(self, lines: Sequence[Line | Points], *, x: str = "", y: str = "", log: bool = False) -> None:
        """Draw these curves, y logarithmically if asked; zoom and position stay."""
        shown = (tuple(lines), x, y, log)
        if shown == self._shown:
            return
        if log != self._shown[3] and self.plot is not None:
            self.plot.action_reset_scales()
        self._shown = shown
        self._draw()

    def _choose(self) -> "KitPlot | None":
        """The plot, if there is one with enough room; else the line of blocks is shown."""
        lines = self._shown[0]
        fits = self.size.width >= SMALLEST[0] and self.size.height >= SMALLEST[1] and any(len(line.curve) for line in lines)
        plot = self.plot if fits else None
        if self.plot is not None:
            self.plot.display = fits
        blocks = self.query_one(".blocks", Static)
        blocks.display = plot is None
        if plot is None:
            blocks.update(self._blocks())
        return plot

    def _draw(self) -> None:
        plot = self._choose()
        if plot is None:
            return
        from kit.dashboard.widgets.kit_plot import HiResMode, LegendLocation, LogFormatter, NumericAxisFormatter

        lines, x_label, y_label, log = self._shown
        colours = self.app.theme_variables
        plot.clear()
        plot.set_y_formatter(LogFormatter() if log else NumericAxisFormatter())
        for line in lines:
            xs, ys = self._points(line, log)
            if not xs:
                continue
            style = colours[line.colour]
            if isinstance(line, Line):
                plot.plot(xs, ys, line_style=style, hires_mode=HiResMode.BRAILLE, label=line.label or None)
            else:
                plot.scatter(xs, ys, marker=line.marker, marker_style=style, label=line.label or None)
        plot.set_xlabel(x_label)
        plot.set_ylabel(y_label)
        plot.show_legend(LegendLocation[self.legend], is_visible=sum(bool(line.label) for line in lines) > 1)

    def _points(self, line: Line | Points, log: bool) -> tuple[list[float], list[float]]:
        # Single points are shown as they are; a line has two points a column, of what is in sight.
        share = self._share(line.curve)
        limit = math.ceil(2 * self.size.width * share) + 1 if isinstance(line, Line) else len(line.curve)
        xs, ys = thinned(line.curve, limit, self._window)
        if not log:
            return xs, ys
        kept = [(x, math.log10(y)) for x, y in zip(xs, ys, strict=True) if y > 0]
        return [x for x, _ in kept], [y for _, y in kept]

    def _share(self, curve: Curve) -> float:
        """The part of the drawn width that a curve takes."""
        window = self._window or self._ends()
        if not len(curve) or window is None:
            return 0.0
        low, high = window
        inside = min(high, curve.x[-1]) - max(low, curve.x[0])
        return min(1.0, max(0.0, inside / (high - low))) if high > low else 1.0

    def _blocks(self) -> Content:
        lines = [line for line in self._shown[0] if len(line.curve)]
        if not lines or self.size.width < 4:
            return muted(self.empty)
        parts: list[Part] = []
        for line in lines[: max(1, self.size.height)]:
            last = f" {line.curve.y[-1]:.4g} {line.label}"[: max(0, self.size.width - 4)]
            parts += [(blocks_of(line.curve.y, self.size.width - len(last)), f"${line.colour}"), last, "\n"]
        return Content.assemble(*parts[:-1])


def thinned(curve: Curve, limit: int, window: tuple[float, float] | None = None) -> tuple[list[float], list[float]]:
    """A curve, or its part with x inside `window`, in at most about `limit` points: means of neighbours."""
    xs, ys = curve.x, curve.y
    if window is not None:
        start, end = bisect_left(xs, window[0]), bisect_right(xs, window[1])
        xs, ys = xs[max(0, start - 1) : end + 1], ys[max(0, start - 1) : end + 1]
    group = max(1, math.ceil(len(xs) / max(1, limit)))
    starts = range(0, len(xs), group)
    return [fmean(xs[at : at + group]) for at in starts], [fmean(ys[at : at + group]) for at in starts]
