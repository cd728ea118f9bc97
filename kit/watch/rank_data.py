"""How a run's predictions rank against a truth: as `kit rank` measures it, by cell, and after every part of the scoring.

Computed in a worker thread; knows nothing of terminals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kit.correlation import MIN_ARCHITECTURES, rank_correlation
from kit.errors import InputError, KitError
from kit.events import RankSoFar
from kit.rank_report import Figures, Interval, Metric, RankReport, read_figures
from kit.ranking.joining import Joined, join, next_count
from kit.watch.pool_rows import PoolRows, rank_errors
from kit.watch.run_files import PoolView

METRICS: tuple[Metric, ...] = ("kendall", "pearson", "spearman")
RANKED_BY: tuple[Metric, ...] = ("kendall", "pearson")
"""Those that every screen has room for."""
METRIC_TITLES: dict[Metric, str] = {
    "kendall": "Kendall τ",
    "pearson": "Pearson r",
    "spearman": "Spearman \N{GREEK SMALL LETTER RHO}",
}
FEW = 300
"""Resamples for figures beside the main ones."""
MANY = 4000
"""Architectures beyond which moments are not measured again: resampling them takes minutes."""


@dataclass(frozen=True)
class Moment:
    """The figures when `scored` sub-networks had a score, `n` of them with a known truth."""

    scored: int
    n: int
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class CellFigures:
    """How a sub-supernet ranks its own cell; no figures where there are too few or they are alike."""

    cell: int
    n: int
    figures: Figures


@dataclass(frozen=True)
class Comparison:
    """Everything the screen shows. `rows` are the architectures with a truth, in the order in which they were scored."""

    rows: PoolRows
    report: RankReport
    truth_name: str
    predictions: int
    scored_at: tuple[int, ...]
    """How many of the pool had a score when each row got its own."""
    cells: tuple[CellFigures, ...] = ()
    moments: tuple[Moment, ...] = ()
    left_out: tuple[str, ...] = ()
    """Why opponents that somebody named are not in the report."""

    def at(self, moment: Moment | None) -> NDArray[np.int64]:
        """Numbers of the rows that had a score at a moment (all without one)."""
        count = len(self.rows) if moment is None else min(moment.n, len(self.rows))
        return np.arange(count)


def compare(view: PoolView, events: Sequence[RankSoFar] = ()) -> Comparison:
    """Measure a view that has rows and a truth. Raises `KitError` when the two have too little in common."""
    rows, truth = view.rows, view.truth
    if rows is None or truth is None:
        raise InputError("there is nothing to compare")
    assert view.profile is not None
    accuracies = {code: acc for code, acc in zip(rows.codes, rows.numbers("acc").tolist(), strict=True) if acc == acc}
    joined = join(accuracies, truth.truth)
    named, left_out = _opponents(joined, view)
    report = joined.rank(view.profile.scale, opponents=named, details=False)
    places = {code: place for place, code in enumerate(view.scores.accuracies, 1)} if view.scores.ordered else {}
    known = [rows.index[code] for code in joined.codes]
    compared = rows.take(sorted(known, key=lambda row: (places.get(rows.codes[row], 0), row)))
    scored_at = tuple(places.get(code, len(rows)) for code in compared.codes)
    return Comparison(
        rows=compared,
        report=report,
        truth_name=truth.name,
        predictions=len(accuracies),
        scored_at=scored_at,
        cells=tuple(_cells(compared)),
        moments=tuple(_moments(compared, report, scored_at, events, ordered=view.scores.ordered)),
        left_out=left_out,
    )


def _opponents(joined: Joined, view: PoolView) -> tuple[dict[str, Mapping[str, float]], tuple[str, ...]]:
    """Those that know all architectures, and why others do not take part: one bad file hides no other figure."""
    named, left_out = {}, list(view.opponent_problems)
    for name, values in view.opponents.items():
        try:
            joined.column(name, values)
        except InputError as error:
            left_out.append(str(error))
        else:
            named[name] = values
    return named, tuple(left_out)


def count_known(rows: PoolRows) -> int:
    """How many rows have a score and a known truth."""
    return int((np.isfinite(rows.numbers("acc")) & np.isfinite(rows.numbers("true"))).sum())


def _few(rows: PoolRows, members: NDArray[np.int64]) -> Figures:
    """Figures of some rows; none when they are too few or all alike."""
    predicted, true = rows.numbers("acc")[members], rows.numbers("true")[members]
    if len(members) < MIN_ARCHITECTURES or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return {}
    try:
        return rank_correlation(predicted, true, resamples=FEW, details=False).predictions.figures
    except KitError:
        return {}


def _cells(rows: PoolRows) -> Iterable[CellFigures]:
    numbers = rows.numbers("cell")
    for cell in np.unique(numbers[np.isfinite(numbers)]).tolist():
        members = np.flatnonzero(numbers == cell)
        yield CellFigures(int(cell), len(members), _few(rows, members))


def _moments(
    rows: PoolRows, report: RankReport, scored_at: Sequence[int], events: Sequence[RankSoFar], *, ordered: bool
) -> Iterable[Moment]:
    """From the run's own events where it has them, else measured anew from the order of its scores; the last is now."""
    measured = {event.scored: event for event in events if event.n < len(rows)}
    counts = {event.scored: event.n for event in measured.values()}
    if not measured and ordered:
        counts = {scored_at[n - 1]: n for n in _growing(len(rows))}
    for scored, n in sorted(counts.items()):
        figures: dict[Metric, Interval] = {}
        if ordered and len(rows) <= MANY:
            figures |= _few(rows, np.arange(min(n, len(rows))))
        if scored in measured:
            figures |= read_figures({"pearson": measured[scored].pearson, "kendall": measured[scored].kendall})
        if figures:
            yield Moment(scored, n, figures)
    last = max(scored_at, default=0)
    yield Moment(last, len(rows), report.predictions.figures)


def _growing(total: int) -> Iterable[int]:
    n = MIN_ARCHITECTURES
    while n < total:
        yield n
        n = next_count(n)


def outliers(rows: PoolRows, members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Members by their rank disagreement among themselves, the largest first, and the disagreements by row."""
    errors = np.full(len(rows), np.nan)
    errors[members] = rank_errors(rows.numbers("acc")[members], rows.numbers("true")[members])
    order = members[np.argsort(-np.abs(errors[members]), kind="stable")]
    return order, errors


def trend(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The ends of the least-squares line through points; None where there is none."""
    if len(x) < MIN_ARCHITECTURES or np.ptp(x) == 0:
        return None
    slope, base = np.polyfit(x - x.mean(), y, 1).tolist()
    low, high = float(x.min()), float(x.max())
    return (low, high), (base + slope * (low - float(x.mean())), base + slope * (high - float(x.mean())))
