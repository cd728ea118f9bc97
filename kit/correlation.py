"""How well predictions rank architectures: correlations with paired bootstrap intervals, next to zero-cost opponents.

Intervals are 95 % percentile bootstraps over architectures. A resample is a vector of counts, so ranks, ties and discordant
pairs of a resample come from the order of the original data, exactly and without sorting again: see `_discordant`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from kit.errors import InputError
from kit.randomness import derive_random, derive_seed
from kit.rank_report import Correlations, Interval, RankReport, Reliability, Versus

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_ARCHITECTURES = 3
MAX_RESAMPLES = 2000
MIN_RESAMPLES = 200
# Resamples x architectures: 45,000 architectures with three opponents take about ten seconds on one core.
RESAMPLING_BUDGET = 6_000_000
# Counts handled at once: small enough for the cache, which halves the time of large inputs.
CHUNK = 100_000
TAILS = (0.025, 0.975)
MAX_SEEDS_FOR_ALL_SPLITS = 8
RANDOM_SPLITS = 100
PREDICTIONS = "predictions"
OPPONENT = "macs"


def rank_correlation(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    opponents: Mapping[str, ArrayLike] | None = None,
    losses: ArrayLike | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> RankReport:
    """Correlate predicted with true accuracies of the same architectures.

    `predictions` and each of `opponents` have shape (n,), `truth` and `losses` (n,) or (n, seeds); the truth of an
    architecture is its mean over seeds. Scale does not matter: percent and fractions give the same report. Without
    `resamples`, their number falls from 2000 to 200 as n grows; `seed` fixes them. Raises `InputError` for constant,
    non-finite or unequally long input and for fewer than 3 architectures.
    """
    by_seed = _finite("truth", truth)
    by_seed = by_seed.reshape(len(by_seed), -1)
    target = _Variable("truth", _mean_over_seeds(by_seed))
    predicted = _Variable(PREDICTIONS, _finite(PREDICTIONS, predictions))
    rivals = {name: _finite(name, values) for name, values in (opponents or {}).items()}
    n = _common_length({"truth": target.values, PREDICTIONS: predicted.values, **rivals})
    contenders = {name: _Variable(name, values) for name, values in rivals.items() if np.ptp(values) > 0}
    comparisons = {name: _Comparison(rival, target) for name, rival in (contenders | {PREDICTIONS: predicted}).items()}
    count = resamples or max(MIN_RESAMPLES, min(MAX_RESAMPLES, RESAMPLING_BUDGET // n))
    chunks = [{name: each.statistics(w) for name, each in comparisons.items()} for w in _resampled_counts(n, count, seed)]
    draws = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in comparisons}
    points = {name: each.point() for name, each in comparisons.items()}
    results = {name: Correlations(*_intervals(points[name], draws[name])) for name in comparisons}
    versus = None
    if OPPONENT in contenders:
        differences = points[PREDICTIONS] - points[OPPONENT], draws[PREDICTIONS] - draws[OPPONENT]
        versus = Versus(*_intervals(*differences, limit=2.0)[:2])
    undefined = np.any([np.isnan(values).any(axis=1) for values in draws.values()], axis=0)
    return RankReport(
        n=n,
        predictions=results[PREDICTIONS],
        ties={PREDICTIONS: predicted.tied, "truth": target.tied},
        opponents={name: results.get(name) for name in rivals},
        versus_macs=versus,
        resamples=count,
        undefined_resamples=int(undefined.sum()),
        seeds=by_seed.shape[1],
        accuracy_reliability=split_half_reliability(by_seed),
        loss_reliability=None if losses is None else split_half_reliability(_finite("losses", losses)),
    )


def split_half_reliability(scores: ArrayLike) -> Reliability | None:
    """Reliability of the mean over seeds of `scores`, shape (n, seeds); None for a single seed.

    Halves have `seeds // 2` members each, so an odd seed is left out in turn; the Spearman-Brown formula then lengthens
    by `seeds / half` instead of 2. A half that does not tell architectures apart agrees with nothing: it counts as r = 0.
    """
    table = _finite("scores", scores)
    table = table.reshape(len(table), -1)
    seeds = table.shape[1]
    if seeds < 2:
        return None
    agreements = []
    for first, second in _splits(seeds):
        a, b = _mean_over_seeds(table[:, first]), _mean_over_seeds(table[:, second])
        agreements.append(_pearson(_centred(a), _centred(b)) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0)
    split_half = math.fsum(agreements) / len(agreements)
    factor = seeds / (seeds // 2)
    # The formula has a pole below zero; there is no agreement to project there.
    reliability = factor * split_half / (1 + (factor - 1) * split_half) if split_half > 0 else 0.0
    return Reliability(split_half, len(agreements), reliability, math.sqrt(reliability))


def _splits(seeds: int) -> list[tuple[list[int], list[int]]]:
    half = seeds // 2
    if seeds > MAX_SEEDS_FOR_ALL_SPLITS:
        rng = derive_random("split-half", seeds)
        drawn = [rng.sample(range(seeds), 2 * half) for _ in range(RANDOM_SPLITS)]
        return [(order[:half], order[half:]) for order in drawn]
    halves = [list(members) for members in itertools.combinations(range(seeds), half)]
    return [(a, b) for a, b in itertools.combinations(halves, 2) if not set(a) & set(b)]


def _mean_over_seeds(scores: Floats) -> Floats:
    """(n, seeds) -> (n,). Rounded to 12 decimals of the largest: .1 + .5 and .2 + .4 differ in binary, but are a tie."""
    if scores.shape[1] == 1:
        return scores[:, 0]
    exponent = _exponent(scores)
    means: Floats = np.ldexp(np.round(np.ldexp(scores, -exponent).mean(axis=1), 12), exponent)
    return means


class _Groups:
    """Elements grouped by equal keys: the weight of each group under given element weights, shape (B, n) -> (B, groups)."""

    def __init__(self, keys: Integers) -> None:
        self.order = np.argsort(keys, kind="stable")
        self.starts = np.flatnonzero(np.diff(keys[self.order], prepend=-1))

    def weights(self, weights: Floats) -> Floats:
        grouped: Floats = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return grouped

    def sum_of_squares(self, weights: Floats) -> Floats:
        return _dot(*[self.weights(weights)] * 2)


class _Variable:
    """Values of one quantity, with the dense ranks that decide order and ties exactly, before any rounding."""

    def __init__(self, name: str, values: Floats) -> None:
        if values.ndim != 1:
            raise InputError(f"the {name} must be one number per architecture, found an array of shape {values.shape}")
        if len(values) < MIN_ARCHITECTURES:
            count = f"{len(values)} architecture{'s' if len(values) > 1 else ''}"
            raise InputError(f"{count} cannot be correlated: at least {MIN_ARCHITECTURES} are needed")
        self.values = values
        self.ranks: Integers = np.unique(values, return_inverse=True)[1].astype(np.int64)
        self.groups = _Groups(self.ranks)
        if len(self.groups.starts) == 1:
            hint = None if values[0] else "the public list of codes holds zeros in place of accuracies"
            raise InputError(f"{name}: all {len(values)} values are {values[0]:g}, and a constant ranks nothing", hint=hint)
        self.scaled = _centred(values)
        sizes = np.bincount(self.ranks)
        self.tied = int(sizes[sizes > 1].sum())

    def mid_ranks(self, weights: Floats) -> Floats:
        """Average ranks within each resample, up to a constant: (B, n) -> (B, n)."""
        group_weights = self.groups.weights(weights)
        return (np.cumsum(group_weights, axis=1) - group_weights / 2)[:, self.ranks]


class _Comparison:
    """The three correlations of one variable with the truth, on the data and on resamples of it."""

    def __init__(self, variable: _Variable, target: _Variable) -> None:
        self.variable, self.target = variable, target
        self.both = _Groups(variable.ranks * (target.ranks.max() + 1) + target.ranks)
        self.levels = list(_merge_levels(variable.ranks, target.ranks))

    def point(self) -> Floats:
        """Pearson, Kendall, Spearman of the data, shape (3,)."""
        x, y = self.variable.ranks, self.target.ranks
        kendall = float(stats.kendalltau(x, y, method="asymptotic").statistic)
        return np.array([_pearson(self.variable.scaled, self.target.scaled), kendall, stats.spearmanr(x, y).statistic])

    def statistics(self, weights: Floats) -> Floats:
        """Counts of each element per resample, shape (B, n) -> (B, 3), nan where a variable is constant in the resample."""
        pairs = weights.sum(axis=1) ** 2
        x_ties, y_ties = self.variable.groups.sum_of_squares(weights), self.target.groups.sum_of_squares(weights)
        # All counts are whole numbers below 2^53, so these comparisons are exact. Pairs are counted twice.
        defined = (x_ties < pairs) & (y_ties < pairs)
        tied = x_ties + y_ties - self.both.sum_of_squares(weights)
        surplus = pairs - tied - 4 * _discordant(weights, self.levels)
        kendall = surplus / np.sqrt(np.where(defined, (pairs - x_ties) * (pairs - y_ties), 1))
        pearson = _weighted_pearson(weights, self.variable.scaled, self.target.scaled)
        spearman = _weighted_pearson(weights, self.variable.mid_ranks(weights), self.target.mid_ranks(weights))
        return np.where(defined[:, None], np.stack([pearson, kendall, spearman], axis=1), np.nan)


def _merge_levels(x: Integers, y: Integers) -> Iterator[tuple[Integers, Integers, Integers, Integers]]:
    """Merge sort's levels for elements sorted by (x, y): what `_discordant` needs of each, whatever the weights are.

    Yields (left, right, upto, start): elements of left halves, by block and falling y; elements of right halves; and for
    each of these the range of `left` that holds the larger y of its own block.
    """
    order = np.lexsort((y, x))
    rank, n, span = y[order], len(order), int(y.max()) + 1
    for exponent in range((n - 1).bit_length()):
        half = np.arange(n) >> exponent
        keys = (half >> 1) * span + (span - 1 - rank)
        left, right = np.flatnonzero(half % 2 == 0), np.flatnonzero(half % 2 == 1)
        left = left[np.argsort(keys[left], kind="stable")]
        upto = np.searchsorted(keys[left], keys[right], side="left")
        start = np.searchsorted(keys[left], (half[right] >> 1) * span, side="left")
        yield order[left], order[right], upto, start


def _discordant(weights: Floats, levels: list[tuple[Integers, Integers, Integers, Integers]]) -> Floats:
    """Weighted number of discordant pairs per resample, ties not counted: Knight's merge sort, its sorting done once."""
    total = np.zeros(len(weights))
    for left, right, upto, start in levels:
        before = np.zeros((len(weights), len(left) + 1))
        np.cumsum(weights[:, left], axis=1, out=before[:, 1:])
        total += _dot(weights[:, right], before[:, upto] - before[:, start])
    return total


def _weighted_pearson(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r per resample for x and y of shape (n,) or (B, n), nan where a variance vanishes."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    weighted = weights * x
    scale = np.sqrt(_dot(weighted, x)) * np.sqrt(_dot(weights * y, y))
    result = np.divide(_dot(weighted, y), scale, out=np.full(len(weights), np.nan), where=scale > 0)
    clipped: Floats = np.clip(result, -1, 1)
    return clipped


def _centred(values: Floats) -> Floats:
    # A power of two keeps every ratio and protects squares from overflow and underflow.
    scaled = np.ldexp(values, -_exponent(values))
    centred: Floats = scaled - scaled.mean()
    return centred


def _exponent(values: Floats) -> int:
    """The power of two that bounds all magnitudes."""
    return int(np.frexp(np.abs(values).max())[1])


def _pearson(x: Floats, y: Floats) -> float:
    result = float(stats.pearsonr(x, y).statistic)
    if not math.isfinite(result):
        raise InputError("the values differ by too little for a correlation in double precision")
    return result


def _resampled_counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each architecture was drawn, in chunks of shape (B, n): the same draws for every contender."""
    rng = np.random.default_rng(derive_seed("rank bootstrap", seed))
    step = max(1, CHUNK // n)
    for done in range(0, resamples, step):
        rows = min(step, resamples - done)
        drawn = rng.integers(0, n, (rows, n)) + np.arange(0, rows * n, n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _intervals(values: Floats, draws: Floats, limit: float = 1.0) -> list[Interval]:
    """Percentile intervals of statistics `values` (k,) from `draws` (B, k).

    An undefined draw may be anything: it counts as the worst value at either end.
    """
    low = np.quantile(np.where(np.isnan(draws), -limit, draws), TAILS[0], axis=0)
    high = np.quantile(np.where(np.isnan(draws), limit, draws), TAILS[1], axis=0)
    # The bootstrap may be off centre in small samples; an interval without its own estimate would mislead.
    ends = zip(values.tolist(), np.minimum(low, values).tolist(), np.maximum(high, values).tolist(), strict=True)
    return [Interval(*each) for each in ends]


def _dot(a: Floats, b: Floats) -> Floats:
    product: Floats = np.einsum("bn,bn->b", a, b)
    return product


def _finite(name: str, values: ArrayLike) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} are not an array of numbers: {error}") from error
    if array.ndim not in (1, 2) or not array.size:
        raise InputError(f"the {name} need one value, or one row, per architecture: found an array of shape {array.shape}")
    if not np.isfinite(array).all():
        first = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(f"the {name} hold a value that is not finite (first at position {first})")
    return array


def _common_length(arrays: Mapping[str, Floats]) -> int:
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"not the same architectures on both sides: {lengths}", hint="join them by code first")
    return lengths["truth"]
