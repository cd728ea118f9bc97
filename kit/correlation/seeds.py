"""What the seeds of a truth say about it: how reliable their mean is, and how well one training alone ranks."""

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kit.correlation.numbers import Floats, as_table, centred, mean_over_seeds, pearson, weighted_pearson
from kit.randomness import derive_random
from kit.rank_report import Reliability, SingleTraining

MAX_SEEDS_FOR_ALL_SPLITS = 8
RANDOM_SPLITS = 100


class SplitHalves:
    """Agreement between the means of two halves of the seeds, averaged over splits; scores of shape (n, seeds), seeds > 1.

    Halves have `seeds // 2` members each, so an odd seed is left out in turn; the Spearman-Brown formula then lengthens
    by `seeds / half` instead of 2. A half that does not tell architectures apart agrees with nothing: it counts as r = 0.
    """

    def __init__(self, scores: Floats) -> None:
        self.seeds = scores.shape[1]
        halves = [[mean_over_seeds(scores[:, members]) for members in split] for split in _splits(self.seeds)]
        self.splits = len(halves)
        self.halves = [[centred(half) for half in pair] for pair in halves if all(np.ptp(half) > 0 for half in pair)]

    def reliability(self) -> Reliability:
        """Of the data."""
        split_half = math.fsum(pearson(*pair) for pair in self.halves) / self.splits
        reliability = float(self._lengthened(np.array(split_half)))
        return Reliability(split_half, self.splits, reliability, math.sqrt(reliability))

    def point(self) -> Floats:
        """The reliability of the data, shape (1,)."""
        return np.array([self.reliability().reliability])

    def statistics(self, weights: Floats) -> Floats:
        """The reliability of each resample, shape (B, n) -> (B, 1)."""
        total = np.zeros(len(weights))
        for pair in self.halves:
            total += np.nan_to_num(weighted_pearson(weights, *pair), nan=0.0)
        return self._lengthened(total / self.splits)[:, None]

    def _lengthened(self, split_half: Floats) -> Floats:
        """Spearman and Brown's formula. It has a pole below zero; there is no agreement to project there."""
        factor = self.seeds / (self.seeds // 2)
        agreement = np.maximum(split_half, 0.0)
        lengthened: Floats = factor * agreement / (1 + (factor - 1) * agreement)
        return lengthened


def split_half_reliability(scores: ArrayLike) -> Reliability | None:
    """Reliability of the mean over seeds of `scores`, shape (n, seeds); None for a single seed."""
    table = as_table("scores", scores)
    return SplitHalves(table).reliability() if table.shape[1] > 1 else None


def single_training(scores: Floats) -> SingleTraining | None:
    """One seed against the mean of the others, averaged over seeds; None for a single seed.

    A seed that does not tell architectures apart agrees with nothing: it counts as 0.
    """
    if scores.shape[1] < 2:
        return None
    pairs = []
    for seed in range(scores.shape[1]):
        alone, others = scores[:, seed], mean_over_seeds(np.delete(scores, seed, axis=1))
        if np.ptp(alone) > 0 and np.ptp(others) > 0:
            tau = float(stats.kendalltau(alone, others, method="asymptotic").statistic)
            pairs.append((pearson(centred(alone), centred(others)), tau))
    return SingleTraining(*(math.fsum(pair[k] for pair in pairs) / scores.shape[1] for k in range(2)))


def _splits(seeds: int) -> list[tuple[list[int], list[int]]]:
    half = seeds // 2
    if seeds > MAX_SEEDS_FOR_ALL_SPLITS:
        rng = derive_random("split-half", seeds)
        drawn = [rng.sample(range(seeds), 2 * half) for _ in range(RANDOM_SPLITS)]
        return [(order[:half], order[half:]) for order in drawn]
    halves = [list(members) for members in itertools.combinations(range(seeds), half)]
    return [(a, b) for a, b in itertools.combinations(halves, 2) if not set(a) & set(b)]
