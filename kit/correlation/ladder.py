"""How several recipes rank, each with several supernets: every recipe on the same resamples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from kit.correlation.bootstrap import intervals, resampled_counts
from kit.correlation.comparison import Comparison, Variable
from kit.correlation.numbers import Floats, as_table, finite, mean_over_seeds
from kit.correlation.partial import PartialCorrelation
from kit.correlation.top import Choice, Count, counts
from kit.ladder_report import MeanTop, RowRank
from kit.randomness import derive_seed
from kit.rank_report import Correlations, Partial, Top, Versus

RESAMPLES = 1000


class _Measured(Protocol):
    """What is measured of one supernet: k statistics."""

    def point(self) -> Floats:
        """Of the data, shape (k,)."""

    def statistics(self, weights: Floats) -> Floats:
        """Of resamples, counts of each architecture: (B, n) -> (B, k)."""


@dataclass
class _Drawn:
    """A recipe's statistics, shape (k,), and their resamples, (B, k)."""

    values: Floats
    draws: Floats

    def minus(self, other: "_Drawn") -> Versus:
        """Differences of Pearson's r and Kendall's tau."""
        found = intervals(self.values - other.values, self.draws - other.draws, limit=2.0)
        return Versus(*found[:2])


def rank_rows(
    rows: Mapping[str, Sequence[ArrayLike]],
    truth: ArrayLike,
    opponents: Mapping[str, ArrayLike],
    *,
    given: Mapping[str, ArrayLike] | None = None,
    given_all: Mapping[str, ArrayLike] | None = None,
    top: Sequence[Count] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, RowRank]:
    """Measure recipes, in order: to each name the predictions of its supernets, shape (n,) each, of the same architectures.

    A figure is the mean over supernets; a resample draws architectures and, as often as there are, supernets: those of one
    number together, since they share phases. `truth` has shape (n,) or (n, seeds), each of `opponents` and `given` (n,);
    constant opponents rank nothing and are left out. `given`, and apart from that `given_all`, are regressed out.
    Raises `InputError` for constant, non-finite or unequally long input.
    """
    target = Variable("truth", mean_over_seeds(as_table("truth", truth)))
    known, everything = (
        {name: finite(name, values) for name, values in (columns or {}).items()} for columns in (given, given_all)
    )
    rivals = {name: column for name, values in opponents.items() if np.ptp(column := finite(name, values)) > 0}
    weights = list(resampled_counts(len(target.values), resamples, seed))

    def drawn(measured: Sequence[_Measured]) -> _Drawn:
        return _drawn(measured, weights, resamples, seed)

    def partial(predicted: Sequence[Variable], columns: Mapping[str, Floats]) -> Partial | None:
        measured = [PartialCorrelation(each.values, target.values, columns) for each in predicted] if columns else []
        if not (measured and all(each.is_defined for each in measured)):
            return None
        found = drawn(measured)
        return Partial(measured[0].given, *intervals(found.values, found.draws))

    beaten = {name: drawn([Comparison(Variable(name, column), target)]) for name, column in rivals.items()}
    found: dict[str, RowRank] = {}
    previous: _Drawn | None = None
    for name, supernets in rows.items():
        predicted = [Variable(f"predictions of {name}", finite(name, each)) for each in supernets]
        own = drawn([Comparison(each, target) for each in predicted])
        found[name] = RowRank(
            predictions=Correlations(*intervals(own.values, own.draws)),
            top=tuple(
                _top([Choice(each, target, count) for each in predicted], drawn) for count in counts(top, len(target.values))
            ),
            versus={rival: own.minus(each) for rival, each in beaten.items()},
            versus_previous=None if previous is None else own.minus(previous),
            partial=partial(predicted, known),
            partial_all=partial(predicted, everything),
        )
        previous = own
    return found


def _drawn(measured: Sequence[_Measured], weights: Sequence[Floats], resamples: int, seed: int) -> _Drawn:
    """The mean over supernets: of the data, and of each resample over the supernets that it drew."""
    shares = _supernets(len(measured), resamples, seed)
    draws: Floats = np.zeros(())
    for place, each in enumerate(measured):
        own = np.concatenate([each.statistics(chunk) for chunk in weights])
        # A supernet that was not drawn has no say, not even where it is undefined.
        share = shares[:, place, None]
        draws = draws + np.where(share > 0, share * own, 0.0)
    return _Drawn(np.mean([each.point() for each in measured], axis=0), draws)


def _supernets(count: int, resamples: int, seed: int) -> Floats:
    """Which share of a resample each supernet has: (resamples, count)."""
    rng = np.random.default_rng(derive_seed("ladder supernets", count, seed))
    drawn = rng.integers(0, count, (resamples, count))
    return np.stack([(drawn == place).mean(axis=1) for place in range(count)], axis=1)


def _top(choices: Sequence[Choice], drawn: Callable[[Sequence[_Measured]], _Drawn]) -> MeanTop:
    precision = drawn(choices)
    [interval] = intervals(precision.values, precision.draws)
    reports: list[Top] = [choice.report(interval) for choice in choices]
    taus = [report.kendall for report in reports if report.kendall is not None]
    means = {
        name: float(np.mean([getattr(each, name) for each in reports]))
        for name in ("best_rank", "worst_rank", "regret", "k")
    }
    return MeanTop(precision=interval, kendall=float(np.mean(taus)) if taus else None, **means)
