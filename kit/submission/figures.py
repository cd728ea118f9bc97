"""Small figures drawn by hand as SVG: the same numbers give the same bytes, and no script or font is fetched."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from kit.costs import pareto_front
from kit.rank_report import Correlations, RankReport
from kit.ranking.opponents import SUPERNET, label_of
from kit.submission.history import History

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 20, 46, 52
INK, SOFT, GRID = "#24292f", "#6e7781", "#e6e9ec"
BLUE, ORANGE, GREY = "#2f6fb0", "#d9730d", "#9aa4ae"
PHASE_COLOURS = ("#2f6fb0", "#d9730d", "#3f8f5b", "#8a5fb5", "#b8453f", "#5c7480")
MARGIN = 0.04
TICKS = 5
MANY = 1000

Point = tuple[float, float]


@dataclass
class Plot:
    """Axes over a range of values, and marks on them."""

    title: str
    x_label: str
    y_label: str
    x_range: Point
    y_range: Point
    marks: list[str] = field(default_factory=list)
    x_ticks: bool = True
    y_ticks: bool = True

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def dots(self, points: Iterable[Point], colour: str, *, radius: float = 2.5, opacity: float = 0.55) -> None:
        """One dot per point; dots on the same spot of the paper are drawn once."""
        spots = sorted({(round(self.x(a), 1), round(self.y(b), 1)) for a, b in points})
        if len(spots) > MANY:
            spots = sorted({(float(round(a)), float(round(b))) for a, b in spots})
        # Lines of no length with round ends: a third of the bytes of circles.
        path = "".join(f"M{_n(a)} {_n(b)}h0" for a, b in spots)
        style = f'stroke="{colour}" stroke-width="{_n(2 * radius)}" stroke-linecap="round" stroke-opacity="{opacity}"'
        self.marks.append(f'<path d="{path}" fill="none" {style}/>')

    def line(self, points: Sequence[Point], colour: str, *, width: float = 1.8, dashes: str = "") -> None:
        """A line through points in the axes' units."""
        path = " ".join(f"{_n(self.x(a))},{_n(self.y(b))}" for a, b in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{_n(width)}"{dashed}/>')

    def text(self, x: float, y: float, words: str, *, colour: str = SOFT, anchor: str = "start", size: int = 12) -> None:
        """Words at a place in pixels."""
        self.marks.append(_text(x, y, words, colour=colour, anchor=anchor, size=size))

    def svg(self) -> bytes:
        """The whole picture."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'font-family="Helvetica, Arial, sans-serif">',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            _text(LEFT, 26, self.title, colour=INK, size=15),
            *self._axes(),
            *self.marks,
            "</svg>",
        ]
        return ("\n".join(parts) + "\n").encode()

    def _axes(self) -> Iterable[str]:
        bottom = HEIGHT - BOTTOM
        for value in ticks(*self.y_range) if self.y_ticks else ():
            at = _n(self.y(value))
            yield f'<line x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}" stroke="{GRID}"/>'
            yield _text(LEFT - 8, self.y(value) + 4, _number(value), anchor="end")
        for value in ticks(*self.x_range) if self.x_ticks else ():
            if not self.y_ticks:
                at = _n(self.x(value))
                yield f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{bottom}" stroke="{GRID}"/>'
            yield _text(self.x(value), bottom + 18, _number(value), anchor="middle")
        yield f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="{SOFT}"/>'
        yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, self.x_label, colour=INK, anchor="middle")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield (
            f'<text transform="translate(15 {_n(middle)}) rotate(-90)" text-anchor="middle" font-size="12" '
            f'fill="{INK}">{escape(self.y_label)}</text>'
        )


def draw_accuracy(macs: Sequence[int], accuracies: Sequence[float]) -> bytes:
    """Predicted accuracy against multiply-adds, with the Pareto front."""
    unit, name = (1e9, "billions") if max(macs) >= 1e9 else (1e6, "millions")
    points = [(cost / unit, accuracy) for cost, accuracy in zip(macs, accuracies, strict=True)]
    plot = _over(f"{len(points):,} sub-networks", f"multiply-adds ({name})", "predicted top-1 accuracy", points)
    plot.dots(points, BLUE, radius=1.5 if len(points) > MANY else 2.8)
    front = [points[place] for place in pareto_front(macs, accuracies).tolist()]
    plot.line(front, ORANGE)
    plot.dots(front, ORANGE, radius=3.2, opacity=1)
    plot.text(WIDTH - RIGHT, 26, f"Pareto front: {len(front)}", colour=ORANGE, anchor="end")
    return plot.svg()


def draw_against_truth(predicted: Sequence[float], true: Sequence[float], rank: Correlations) -> bytes:
    """Predicted against true accuracy, one dot per architecture."""
    points = list(zip(true, predicted, strict=True))
    plot = _over("Predicted against true accuracy", "accuracy when trained alone", "accuracy in the supernet", points)
    plot.dots(points, BLUE, radius=4, opacity=0.7)
    words = f"Pearson r {rank.pearson:+.2f}, Kendall tau {rank.kendall.value:+.2f}"
    plot.text(WIDTH - RIGHT, 26, words, anchor="end")
    return plot.svg()


def draw_losses(history: History) -> bytes | None:
    """Training loss by phase, the phases side by side; None when no step was logged."""
    curves = {name: phase.curve for name, phase in history.phases.items() if phase.curve}
    if not curves:
        return None
    values = [value for curve in curves.values() for _, value in curve]
    plot = Plot(
        "Training loss", "phases, each over its steps", "mean cross-entropy", (0, len(curves)), _range(values), x_ticks=False
    )
    for index, (name, curve) in enumerate(curves.items()):
        colour = PHASE_COLOURS[index % len(PHASE_COLOURS)]
        if index:
            plot.line([(index, plot.y_range[0]), (index, plot.y_range[1])], GRID, width=1)
        plot.line([(index + share, value) for share, value in curve], colour)
        shown = name[: max(3, 100 // len(curves))]
        plot.text(plot.x(index + 0.5), HEIGHT - BOTTOM + 18, shown, colour=colour, anchor="middle", size=11)
    return plot.svg()


def draw_rank(report: RankReport) -> bytes:
    """Kendall tau of the supernet and of the rankings that cost nothing, with 95 % intervals."""
    rows = [(SUPERNET, report.predictions.kendall)]
    rows += [(label_of(name), result.kendall) for name, result in report.opponents.items() if result]
    low = min(0.0, *(row.low for _, row in rows))
    title = "How well each ranking agrees with the truth"
    plot = Plot(title, "Kendall tau, 95 % interval", "", (low, 1.0), (0.0, float(len(rows))), y_ticks=False)
    for index, (name, row) in enumerate(rows):
        y = plot.y(len(rows) - index - 0.6)
        left, right = plot.x(min(0.0, row.value)), plot.x(max(0.0, row.value))
        shape = f'x="{_n(left)}" y="{_n(y - 12)}" width="{_n(right - left)}" height="24"'
        plot.marks.append(f'<rect {shape} fill="{GREY if index else BLUE}" fill-opacity="0.75"/>')
        ends = f'x1="{_n(plot.x(row.low))}" y1="{_n(y)}" x2="{_n(plot.x(row.high))}" y2="{_n(y)}"'
        plot.marks.append(f'<line {ends} stroke="{INK}" stroke-width="1.6"/>')
        plot.text(plot.x(0) + 6, y - 18, f"{name}  {row:+.2f}", colour=INK)
    plot.text(WIDTH - RIGHT, 26, f"{report.n} architectures", anchor="end")
    return plot.svg()


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, about five of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (step * factor) <= TICKS + 1)
    first = math.ceil(low / step - 1e-9)
    return [round((first + index) * step, 10) for index in range(int((high - first * step) / step + 1e-9) + 1)]


def _over(title: str, x_label: str, y_label: str, points: Sequence[Point]) -> Plot:
    xs, ys = zip(*points, strict=True)
    return Plot(title, x_label, y_label, _range(xs), _range(ys))


def _range(values: Iterable[float]) -> Point:
    values = list(values)
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * MARGIN
    return low - margin, high + margin


def _text(x: float, y: float, words: str, *, colour: str = SOFT, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{value:,.6g}"


def _n(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
