"""What scoring on a part of the images costs: how well such scores can be expected to agree with those on all of them.

All architectures see the same images, so what is hard for all of them shifts all scores alike and changes no rank. What is
left is how architectures differ from each other from one part of the images to another: the interaction of a two-way layout
of accuracies (architecture x batch), whose mean square estimates the noise of a score's difference to the others'.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, pearsonr

Floats = NDArray[np.float64]
DRAWS = 20
GRID, ROUNDS = 200, 100
LEAST = 1e-12
"""Of a distribution's weights, so that it rules out no score."""
FEWEST = 3


@dataclass(frozen=True)
class Budget:
    """`standard_error` of one accuracy, the mean over architectures; the agreement that can be expected with all images."""

    images: int
    of: int
    standard_error: float
    pearson: float | None
    kendall: float | None
    """None where fewer than three architectures, or two batches, tell nothing, or all scores are alike."""

    def describe(self) -> str:
        """One line, for wherever scores of a budget are shown."""
        told = f"scored on {self.images:,} of {self.of:,} images: standard error of an accuracy {self.standard_error:.4f}"
        if self.pearson is None or self.kendall is None:
            return f"{told}; too little is known to say how well the ranking agrees with that on all images"
        return f"{told}; agreement with all images expected: Pearson r {self.pearson:.3f}, Kendall tau {self.kendall:.3f}"


def image_budget(parts: Sequence[Sequence[int]], sizes: Sequence[int], whole: int, seed: int = 0) -> Budget:
    """The price of scoring on batches of `sizes` images out of `whole`, from right answers (architectures x batches).

    Sampling is without replacement, hence the factor 1 - n / N. Agreement is that of the scores with draws of what they may
    be on all images: from the distribution of scores that noise of this size makes the found ones most likely, given each
    score (empirical Bayes). Noise is largest for scores near a half, as it is for counts.
    """
    images = np.asarray(sizes, dtype=np.float64)
    counts = np.asarray(parts, dtype=np.float64).reshape(len(parts), len(images))
    n = int(images.sum())
    left = 1 - n / whole
    scores = counts.sum(axis=1) / n if len(counts) else np.zeros(0)
    error = float(np.mean(np.sqrt(scores * (1 - scores) / max(1, n - 1) * left))) if len(counts) else 0.0
    if len(scores) < FEWEST or len(images) < 2 or np.ptp(scores) == 0:
        return Budget(n, whole, error, None, None)
    noise = _interaction(counts / images, images, scores) / n * left
    if noise <= 0:
        return Budget(n, whole, error, 1.0, 1.0)
    likely = likely_scores(scores, noise, whole, np.random.default_rng(seed), DRAWS)
    draws = [true for true in likely if np.ptp(true) > 0]
    if not draws:
        return Budget(n, whole, error, None, None)
    pearson = float(np.mean([pearsonr(scores, true).statistic for true in draws]))
    kendall = float(np.mean([kendalltau(scores, true).statistic for true in draws]))
    return Budget(n, whole, error, pearson, kendall)


def _interaction(accuracies: Floats, sizes: Floats, scores: Floats) -> float:
    """The variance of one image's answer that neither the architecture nor the batch explains."""
    columns = accuracies.mean(axis=0)
    centred = accuracies - scores[:, None] - (columns - np.average(columns, weights=sizes))
    freedom = (len(accuracies) - 1) * (len(sizes) - 1)
    return float((centred**2 * sizes).sum() / freedom)


def likely_scores(
    scores: Floats,
    noise: float,
    whole: int,
    rng: np.random.Generator,
    draws: int,
    among: Floats | None = None,
) -> Iterator[Floats]:
    """Draws of the scores on all `whole` images; `noise`, above zero, is the variance of a score of the mean p (1 - p).

    Empirical Bayes with the maximum-likelihood distribution of scores (Kiefer and Wolfowitz, 1956), by EM on a grid; `among`
    weighs the architectures (A,) of which it is the distribution, by default all alike.
    """
    usual = float(np.mean(scores * (1 - scores)))
    wide = 4 * math.sqrt(noise)
    grid = np.linspace(max(0.5 / whole, scores.min() - wide), min(1 - 0.5 / whole, scores.max() + wide), GRID)
    deviation = np.sqrt(noise * np.maximum(grid * (1 - grid), 0.05 * usual) / usual)
    likelihood = np.exp(-0.5 * ((scores[:, None] - grid) / deviation) ** 2) / deviation
    counted = np.ones(len(scores)) if among is None else among
    weights = np.full(GRID, 1 / GRID)
    for _ in range(ROUNDS):  # expectation maximisation of the distribution's weights
        expected = weights * ((counted / (likelihood @ weights)) @ likelihood)
        weights = np.maximum(expected / counted.sum(), LEAST)
    cumulative = (likelihood * weights).cumsum(axis=1)
    # The steps of all architectures one behind the other, so that one search finds the place of each.
    behind = np.arange(len(scores))
    steps = (cumulative / cumulative[:, -1:] + behind[:, None]).ravel()
    for _ in range(draws):
        places = np.searchsorted(steps, rng.random(len(scores)) + behind) - GRID * behind
        yield np.round(grid[places.clip(0, GRID - 1)] * whole) / whole
