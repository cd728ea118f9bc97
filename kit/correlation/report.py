"""How well predictions rank architectures: correlations with paired bootstrap intervals, next to zero-cost opponents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kit.correlation.bootstrap import intervals, number_of_resamples, resampled_counts
from kit.correlation.comparison import Comparison, Variable
from kit.correlation.numbers import Floats, as_table, common_length, finite, mean_over_seeds
from kit.correlation.partial import PartialCorrelation
from kit.correlation.seeds import SplitHalves, single_training, split_half_reliability
from kit.correlation.top import Choice, Count, counts
from kit.rank_report import Correlations, Partial, RankReport, Versus

PREDICTIONS = "predictions"


def rank_correlation(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    opponents: Mapping[str, ArrayLike] | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    losses: ArrayLike | None = None,
    top: Sequence[Count] | None = None,
    resamples: int | None = None,
    seed: int = 0,
    details: bool = True,
) -> RankReport:
    """Correlate predicted with true accuracies of the same architectures.

    `predictions` and each of `opponents` have shape (n,), `truth` and `losses` (n,) or (n, seeds); the truth of an
    architecture is its mean over seeds. Scale does not matter: percent and fractions give the same report. `given` are what
    the partial correlation regresses out, `top` how many of the predicted best are looked at. Without `resamples`, their
    number falls from 2000 to 200 as n grows; `seed` fixes them. Without `details` only correlations are measured. Raises
    `InputError` for constant, non-finite or unequally long input and for fewer than 3 architectures.
    """
    by_seed = as_table("truth", truth)
    target = Variable("truth", mean_over_seeds(by_seed))
    predicted = Variable(PREDICTIONS, finite(PREDICTIONS, predictions))
    rivals = {name: finite(name, values) for name, values in (opponents or {}).items()}
    n = common_length({"truth": target.values, PREDICTIONS: predicted.values, **rivals})
    contenders = {name: Variable(name, values) for name, values in rivals.items() if np.ptp(values) > 0}
    comparisons = [Comparison(each, target) for each in (*contenders.values(), predicted)]
    known = {name: finite(name, values) for name, values in (given or {}).items()}
    extras = _Details(predicted, target, by_seed, known, counts(top, n)) if details else None
    measured = [*comparisons, *(extras.measured if extras else ())]
    count = resamples or number_of_resamples(n)
    chunks = [[each.statistics(weights) for each in measured] for weights in resampled_counts(n, count, seed)]
    draws = [np.concatenate(chunk) for chunk in zip(*chunks, strict=True)]
    points = [each.point() for each in comparisons]
    *results, own = [Correlations(*intervals(*each)) for each in zip(points, draws[: len(points)], strict=True)]
    names, last = list(contenders), len(comparisons) - 1
    undefined = np.any([np.isnan(values).any(axis=1) for values in draws[: len(points)]], axis=0)
    return RankReport(
        n=n,
        predictions=own,
        ties={PREDICTIONS: predicted.tied, "truth": target.tied},
        opponents={name: results[names.index(name)] if name in contenders else None for name in rivals},
        versus={
            name: Versus(*intervals(points[last] - points[k], draws[last] - draws[k], limit=2.0)[:2])
            for k, name in enumerate(names)
        },
        resamples=count,
        undefined_resamples=int(undefined.sum()),
        seeds=by_seed.shape[1],
        accuracy_reliability=split_half_reliability(by_seed),
        loss_reliability=None if losses is None else split_half_reliability(losses),
        **(extras.report(draws[len(points) :]) if extras else {}),
    )


class _Details:
    """What is measured beside correlations, on the same resamples."""

    def __init__(
        self, predicted: Variable, target: Variable, by_seed: Floats, given: Mapping[str, Floats], tops: Sequence[int]
    ) -> None:
        self.predicted, self.target, self.by_seed = predicted, target, by_seed
        self.halves = SplitHalves(by_seed) if by_seed.shape[1] > 1 else None
        partial = PartialCorrelation(predicted.values, target.values, given) if given else None
        self.partial = partial if partial and partial.is_defined else None
        self.choices = [Choice(predicted, target, count) for count in tops]
        found = [self.halves, self.partial, *self.choices]
        self.measured = [each for each in found if each is not None]
        """In the order in which `report` takes their draws."""

    def report(self, draws: Sequence[Floats]) -> dict[str, Any]:
        """Fields of the report, from the draws of `measured`."""
        ends = (intervals(each.point(), drawn) for each, drawn in zip(self.measured, draws, strict=True))
        tau = float(stats.weightedtau(self.predicted.ranks, self.target.ranks).statistic)
        found: dict[str, Any] = {"weighted_tau": tau, "single_training": single_training(self.by_seed)}
        if self.halves:
            [found["reliability_interval"]] = next(ends)
        if self.partial:
            found["partial"] = Partial(self.partial.given, *next(ends))
        return found | {"top": tuple(choice.report(*next(ends)) for choice in self.choices)}
