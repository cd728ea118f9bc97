"""What a run can be shown as: one plot for each of its results."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kit.costs import pareto_front
from kit.figures.plot import BLUE, COLOURS, GREY, MANY, ORANGE, Axis, Dots, Interval, Line, Plot, Point, thinned
from kit.rank_report import Correlations, RankReport
from kit.ranking.opponents import SUPERNET, label_of

LETTERS = 80
"""That many fit under a plot."""
NAME_WIDTH, NAME_HEIGHT, UNDER = 0.25, 0.06, 0.085
"""Parts of a plot that the name of a curve takes, and by how much its place is lower when it stands under one."""


def accuracy_plot(macs: Sequence[int], accuracies: Sequence[float]) -> Plot:
    """Predicted accuracy against multiply-adds, with the Pareto front."""
    unit, name = (1e9, "billions") if max(macs) >= 1e9 else (1e6, "millions")
    return cost_plot(f"multiply-adds ({name})", [cost / unit for cost in macs], accuracies)


def cost_plot(what: str, costs: Sequence[float], accuracies: Sequence[float]) -> Plot:
    """Predicted accuracy against any cost, with the Pareto front."""
    points = list(zip(costs, accuracies, strict=True))
    front = tuple(points[place] for place in pareto_front(costs, accuracies).tolist())
    radius = 1.5 if len(points) > MANY else 2.8
    return Plot(
        f"{len(points):,} sub-networks",
        Axis(what),
        Axis("predicted top-1 accuracy"),
        (Dots(thinned(points), radius=radius), Line(front, ORANGE), Dots(front, ORANGE, 3.2, 1)),
        f"Pareto front: {len(front)}",
        ORANGE,
    )


def truth_plot(predicted: Sequence[float], true: Sequence[float], rank: Correlations) -> Plot:
    """Predicted against true accuracy, a dot per architecture."""
    dots = Dots(thinned(list(zip(true, predicted, strict=True))), radius=4, opacity=0.7)
    note = f"Pearson r {rank.pearson:+.2f}, Kendall tau {rank.kendall.value:+.2f}"
    axes = Axis("accuracy when trained alone"), Axis("accuracy in the supernet")
    return Plot("Predicted against true accuracy", *axes, (dots,), note)


def rank_plot(report: RankReport) -> Plot:
    """Kendall tau of the supernet and of the rankings that need none, with 95 % intervals."""
    opponents = [(label_of(name), result.kendall) for name, result in report.opponents.items() if result]
    rows = [*reversed(opponents), (SUPERNET, report.predictions.kendall)]
    intervals = tuple(
        Interval(level, row.low, row.value, row.high, f"{row:+.2f}", BLUE if name == SUPERNET else GREY)
        for level, (name, row) in enumerate(rows)
    )
    low = min(0.0, *(row.low for _, row in rows)) - 0.05
    return Plot(
        "How well each ranking agrees with the truth",
        Axis("Kendall tau, 95 % interval", (low, 1.02)),
        Axis(range=(-0.6, len(rows) - 0.4), ticks=tuple((level, name) for level, (name, _) in enumerate(rows))),
        intervals,
        f"{report.n} architectures",
    )


def held_out_plot(phases: Sequence[str], curves: Mapping[str, Sequence[Point]]) -> Plot:
    """A curve by name, with a point for every phase."""
    marks: list[Line | Dots] = []
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        marks += [Line(tuple(points), colour, label=name), Dots(tuple(points), colour, 3.2, 1)]
    letters = max(3, LETTERS // len(phases))
    names = [name if len(name) <= letters else f"{name[: letters - 1]}…" for name in phases]
    ticks = tuple((float(place), name) for place, name in enumerate(names, 1))
    axes = Axis("phases", (0.5, len(phases) + 0.5), ticks), Axis("mean cross-entropy")
    return Plot("Loss on held-out images", *axes, tuple(marks))


def curve_plot(title: str, x: str, y: str, curves: Mapping[str, Sequence[Sequence[Point]]]) -> Plot:
    """Curves over `x`, those of a name in one colour. Names stand at the ends: the highest one's above all, others below."""
    colours = dict(zip(curves, itertools.cycle(COLOURS), strict=False))
    lines = tuple(Line(tuple(points), colours[name]) for name, group in curves.items() for points in group)
    plot = Plot(title, Axis(x), Axis(y), lines)
    end, (low, high) = max(x for line in lines for x, _ in line.points), plot.y_range
    heights = [y for line in lines for y in _from(line.points, end - NAME_WIDTH * (plot.x_range[1] - plot.x_range[0]))]
    order = sorted(curves, key=lambda name: max(points[-1][1] for points in curves[name]), reverse=True)
    places = [max(heights), *(min(heights) - (UNDER + NAME_HEIGHT * row) * (high - low) for row in range(len(order) - 1))]
    # A line through one point draws nothing, and has a name.
    names = (Line(((end, height),), colours[name], label=name) for name, height in zip(order, places, strict=True))
    return replace(plot, marks=(*lines, *names))


def _from(points: Sequence[Point], start: float) -> list[float]:
    """Heights of a line at its points from `start` on, and where it crosses that place."""
    ends = [
        y0 + (y1 - y0) * (start - x0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(points) if x0 < start < x1
    ]
    return ends + [y for x, y in points if x >= start or (x, y) == points[-1]]


def loss_plot(curves: Mapping[str, Sequence[Point]]) -> Plot:
    """Training loss by phase, the phases side by side; each curve runs from 0 to 1, the share of the phase's steps."""
    marks = tuple(
        Line(tuple((number + share, loss) for share, loss in curve), COLOURS[number % len(COLOURS)])
        for number, curve in enumerate(curves.values())
    )
    letters = max(3, LETTERS // len(curves))
    names = [name if len(name) <= letters else f"{name[: letters - 1]}…" for name in curves]
    ticks = tuple((number + 0.5, name) for number, name in enumerate(names))
    axes = Axis("phases, each over its steps", (0, len(curves)), ticks), Axis("mean cross-entropy")
    return Plot("Training loss", *axes, marks)
