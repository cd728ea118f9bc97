"""The three correlations of one quantity with another, on the data and on resamples of it.

A resample is a vector of counts, so ranks, ties and discordant pairs of a resample come from the order of the original data,
exactly and without sorting again: see `_discordant`.
"""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from kit.correlation.numbers import Floats, Integers, centred, dot, pearson, weighted_pearson
from kit.errors import InputError

MIN_ARCHITECTURES = 3


class Groups:
    """Elements grouped by equal keys: the weight of each group under given element weights, shape (B, n) -> (B, groups)."""

    def __init__(self, keys: Integers) -> None:
        self.order = np.argsort(keys, kind="stable")
        self.starts = np.flatnonzero(np.diff(keys[self.order], prepend=-1))

    def weights(self, weights: Floats) -> Floats:
        grouped: Floats = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return grouped

    def sum_of_squares(self, weights: Floats) -> Floats:
        return dot(*[self.weights(weights)] * 2)


class Variable:
    """Values of one quantity, with the dense ranks that decide order and ties exactly, before any rounding."""

    def __init__(self, name: str, values: Floats) -> None:
        if values.ndim != 1:
            raise InputError(f"the {name} must be one number per architecture, found an array of shape {values.shape}")
        if len(values) < MIN_ARCHITECTURES:
            count = f"{len(values)} architecture{'s' if len(values) > 1 else ''}"
            raise InputError(f"{count} cannot be correlated: at least {MIN_ARCHITECTURES} are needed")
        self.values = values
        self.ranks: Integers = np.unique(values, return_inverse=True)[1].astype(np.int64)
        self.groups = Groups(self.ranks)
        if len(self.groups.starts) == 1:
            hint = None if values[0] else "the public list of codes holds zeros in place of accuracies"
            raise InputError(f"{name}: all {len(values)} values are {values[0]:g}, and a constant ranks nothing", hint=hint)
        self.scaled = centred(values)
        sizes = np.bincount(self.ranks)
        self.tied = int(sizes[sizes > 1].sum())

    def mid_ranks(self, weights: Floats) -> Floats:
        """Average ranks within each resample, up to a constant: (B, n) -> (B, n)."""
        group_weights = self.groups.weights(weights)
        return (np.cumsum(group_weights, axis=1) - group_weights / 2)[:, self.ranks]


class Comparison:
    """The three correlations of one variable with the truth, on the data and on resamples of it."""

    def __init__(self, variable: Variable, target: Variable) -> None:
        self.variable, self.target = variable, target
        self.both = Groups(variable.ranks * (target.ranks.max() + 1) + target.ranks)
        self.levels = list(_merge_levels(variable.ranks, target.ranks))

    def point(self) -> Floats:
        """Pearson, Kendall, Spearman of the data, shape (3,)."""
        x, y = self.variable.ranks, self.target.ranks
        kendall = float(stats.kendalltau(x, y, method="asymptotic").statistic)
        return np.array([pearson(self.variable.scaled, self.target.scaled), kendall, stats.spearmanr(x, y).statistic])

    def statistics(self, weights: Floats) -> Floats:
        """Counts of each element per resample, shape (B, n) -> (B, 3), nan where a variable is constant in the resample."""
        pairs = weights.sum(axis=1) ** 2
        x_ties, y_ties = self.variable.groups.sum_of_squares(weights), self.target.groups.sum_of_squares(weights)
        # All counts are whole numbers below 2^53, so these comparisons are exact. Pairs are counted twice.
        defined = (x_ties < pairs) & (y_ties < pairs)
        tied = x_ties + y_ties - self.both.sum_of_squares(weights)
        surplus = pairs - tied - 4 * _discordant(weights, self.levels)
        kendall = surplus / np.sqrt(np.where(defined, (pairs - x_ties) * (pairs - y_ties), 1))
        pearson = weighted_pearson(weights, self.variable.scaled, self.target.scaled)
        spearman = weighted_pearson(weights, self.variable.mid_ranks(weights), self.target.mid_ranks(weights))
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
        total += dot(weights[:, right], before[:, upto] - before[:, start])
    return total
