"""Paired bootstrap over architectures: resamples as counts, and percentile intervals."""

from collections.abc import Iterator

import numpy as np

from kit.correlation.numbers import Floats
from kit.randomness import derive_seed
from kit.rank_report import Interval

MAX_RESAMPLES = 2000
MIN_RESAMPLES = 200
# Resamples x architectures: 45,000 architectures with three opponents take about ten seconds on one core.
RESAMPLING_BUDGET = 6_000_000
# Counts handled at once: small enough for the cache, which halves the time of large inputs.
CHUNK = 100_000
TAILS = (0.025, 0.975)


def number_of_resamples(n: int) -> int:
    """Fewer the more architectures there are."""
    return max(MIN_RESAMPLES, min(MAX_RESAMPLES, RESAMPLING_BUDGET // n))


def resampled_counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each architecture was drawn, in chunks of shape (B, n): the same draws for every contender."""
    rng = np.random.default_rng(derive_seed("rank bootstrap", seed))
    step = max(1, CHUNK // n)
    for done in range(0, resamples, step):
        rows = min(step, resamples - done)
        drawn = rng.integers(0, n, (rows, n)) + np.arange(0, rows * n, n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def intervals(values: Floats, draws: Floats, limit: float = 1.0) -> list[Interval]:
    """Percentile intervals of statistics `values` (k,) from `draws` (B, k).

    An undefined draw may be anything: it counts as the worst value at either end.
    """
    low = np.quantile(np.where(np.isnan(draws), -limit, draws), TAILS[0], axis=0)
    high = np.quantile(np.where(np.isnan(draws), limit, draws), TAILS[1], axis=0)
    # The bootstrap may be off centre in small samples; an interval without its own estimate would mislead.
    ends = zip(values.tolist(), np.minimum(low, values).tolist(), np.maximum(high, values).tolist(), strict=True)
    return [Interval(*each) for each in ends]
