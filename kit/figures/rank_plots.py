"""Pictures of rankings beside one another, and of what a ranking errs by."""

from collections.abc import Mapping, Sequence

from kit.figures.plot import BLUE, GREY, ORANGE, Axis, Dots, Interval, Line, Plot, thinned
from kit.rank_report import Interval as Estimate

ROW = 30
"""Pixels for each level of a picture."""
AROUND = 130


def interval_plot(
    title: str,
    label: str,
    rows: Mapping[str, Estimate],
    *,
    others: Mapping[str, Estimate] | None = None,
    lines: Mapping[str, float] | None = None,
    note: str = "",
) -> Plot:
    """Estimates with their intervals, first ones on top, then `others` in grey; `lines` stand at a value over all levels.

    Zero is drawn wherever it is in sight.
    """
    shown = [*((name, each, BLUE) for name, each in rows.items()), *((n, e, GREY) for n, e in (others or {}).items())]
    shown.reverse()
    top = len(shown) - 0.4
    values = [end for _, each, _ in shown for end in (each.low, each.high)] + list((lines or {}).values())
    low, high = min(values), max(values)
    margin = 0.06 * (high - low or 1.0)
    low, high = low - margin, high + margin
    upright = [Line(((at, -0.6), (at, top)), ORANGE, 1.2) for at in (lines or {}).values()]
    if low < 0 < high:
        upright.append(Line(((0.0, -0.6), (0.0, top)), GREY, 1.0))
    intervals = (
        Interval(level, each.low, each.value, each.high, f"{each.value:+.3f}", colour)
        for level, (_, each, colour) in enumerate(shown)
    )
    return Plot(
        title,
        Axis(label, (low, high)),
        Axis(range=(-0.6, top), ticks=tuple((level, name) for level, (name, _, _) in enumerate(shown))),
        (*upright, *intervals),
        note or ", ".join(f"{name} {at:.3f}" for name, at in (lines or {}).items()),
        note_colour=ORANGE if lines and not note else GREY,
        height=AROUND + ROW * len(shown),
    )


def residual_plot(quantity: str, values: Sequence[float], residuals: Sequence[float]) -> Plot:
    """By how much each architecture is ranked too high (above zero) or too low, over a quantity of it."""
    dots = Dots(thinned(list(zip(values, residuals, strict=True))), radius=3.5, opacity=0.6)
    ends = min(values), max(values)
    return Plot(
        f"Errors by {quantity}",
        Axis(quantity),
        Axis("predicted minus true, in deviations"),
        (Line(((ends[0], 0.0), (ends[1], 0.0)), GREY, 1.0), dots),
    )
