"""Which architectures may still be among the best K on all images, by their answers on a part of them.

All architectures see the same images, so answers are paired: what is hard for all of them changes no rank, and what counts
is how each departs from the others (`noise_of`), with the correction for a draw without replacement, 1 - n / N. Scores on
all images that fit what was seen are drawn again and again, by empirical Bayes: the best of many noisy scores are partly
lucky, which an interval around each by itself would not know. How scores are distributed is itself estimated, so it is
bootstrapped over the architectures (Laird and Louis, JASA 82, 1987). The lowest scores are dropped of which few enough draws
have one among the best K. Selection by such posterior probabilities: Gu and Koenker, Invidious comparisons, Econometrica 91
(2023). Dropping round after round: successive elimination, Even-Dar, Mannor and Mansour, JMLR 7 (2006); each round may err
with an equal share of 1 - confidence (the union bound).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kit.correlation.budget import FEWEST, Floats, likely_scores
from kit.errors import InputError

Bools = NDArray[np.bool_]
FEWEST_IMAGES = 30
"""Of a round: with fewer, the noise of an accuracy is far from normal."""
FIRST_SHARE = 20
"""The first round sees at least one image in so many, and each later one half as many again as the one before."""
PRIORS, DRAWS = 20, 1000
"""Distributions of the scores that are tried, and draws from all of them together."""
CONFIDENCE = 0.95
LEAST, MOST = 0.5, 0.99
"""Confidences that so many draws can tell apart."""


@dataclass(frozen=True)
class Elimination:
    """The search for the best `k` architectures on `images` images, known at the end with `confidence`."""

    k: int
    images: int
    confidence: float

    def __post_init__(self) -> None:
        if not LEAST <= self.confidence <= MOST:
            raise InputError(f"--confidence {self.confidence}: it is a fraction from {LEAST} to {MOST}")

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """How many images each architecture has seen after each round that it takes part in, in the end all."""
        found = [self.images]
        while (fewer := found[-1] * 2 // 3) >= max(FEWEST_IMAGES, self.images // FIRST_SHARE):
            found.append(fewer)
        return tuple(reversed(found))

    def open(self, right: Bools, seed: int = 0) -> Bools:
        """Which of the architectures that were still open may be among the best `k`, from their answers (A, n) -> (A,).

        At least `k` are. On all images these are the best `k` themselves; of equal ones the first.
        """
        n = right.shape[1]
        scores: Floats = right.mean(axis=1)
        if n == self.images or len(scores) <= self.k:
            kept = np.zeros(len(scores), dtype=np.bool_)
            kept[np.argsort(-scores, kind="stable")[: self.k]] = True
            return kept
        lowest = np.sort([scores[draw >= _kth(draw, self.k)].min() for draw in self._draws(right, scores, seed)])
        allowed = (1 - self.confidence) / (len(self.ends) - 1)
        survive: Bools = scores >= lowest[int(allowed * len(lowest))]
        return survive

    def _draws(self, right: Bools, scores: Floats, seed: int) -> Iterator[Floats]:
        """Scores on all images that fit what was seen."""
        n = right.shape[1]
        noise = noise_of(right) / n * (1 - n / self.images)
        if len(scores) < FEWEST or noise <= 0 or np.ptp(scores) == 0:
            yield np.zeros(len(scores))  # nothing tells them apart
            return
        rng = np.random.default_rng([seed, n])
        for _ in range(PRIORS):
            among = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores))).astype(np.float64)
            yield from likely_scores(scores, noise, self.images, rng, DRAWS // PRIORS, among)


def noise_of(right: Bools) -> float:
    """The variance of one image's answer that neither the architecture nor the image explains, from answers (A, n).

    The interaction of a two-way layout with one answer in each cell; what the marginal means leave of the whole variance.
    """
    architectures, images = int(right.shape[0]), int(right.shape[1])
    if architectures < 2 or images < 2:
        return 0.0
    mean: float = right.mean().item()
    rows, columns = right.mean(axis=1).var(), right.mean(axis=0).var()
    share = mean * (1 - mean) - float(rows) - float(columns)
    freedom = (1 - 1 / architectures) * (1 - 1 / images)
    return max(0.0, share) / freedom


def _kth(values: Floats, k: int) -> float:
    """The k-th largest."""
    kth: float = np.partition(values, len(values) - k)[len(values) - k]
    return kth
