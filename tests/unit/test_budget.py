"""What scoring on a part of the images is expected to cost, against what it does cost, on drawn answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr

from kit.correlation import budget
from kit.correlation.budget import image_budget


def answers(seed, architectures=300, images=2000):
    """Right or wrong, as networks are: good and bad ones, easy and hard images, a wide tail of bad architectures."""
    rng = np.random.default_rng(seed)
    skill = 2.5 - rng.gamma(2.0, 0.3, architectures)
    difficulty = rng.normal(0, 2.0, images)
    own = rng.normal(0, 1.0, (architectures, images))
    return (skill[:, None] - difficulty + own) > 0


def split(right, count, batches=8):
    parts = np.array_split(np.arange(count), batches)
    return [[int(row[part].sum()) for part in parts] for row in right], [len(part) for part in parts]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_expected_agreement_is_the_measured_one(share):
    off = []
    for seed in range(6):
        right = answers(seed)
        count = int(share * right.shape[1])
        budget = image_budget(*split(right, count), right.shape[1])
        seen, whole = right[:, :count].mean(axis=1), right.mean(axis=1)
        off.append((budget.pearson - pearsonr(seen, whole).statistic, budget.kendall - kendalltau(seen, whole).statistic))
    assert np.abs(np.mean(off, axis=0)).max() < 0.01 and np.abs(off).max() < 0.05


def test_the_standard_error_is_that_of_draws_without_replacement():
    right = answers(0, architectures=40)
    rng = np.random.default_rng(1)
    drawn = np.array([right[:, rng.permutation(right.shape[1])[:200]].mean(axis=1) for _ in range(400)])
    budget = image_budget(*split(right, 200), right.shape[1])
    assert budget.standard_error == pytest.approx(drawn.std(axis=0, ddof=1).mean(), rel=0.1)
    assert (budget.images, budget.of) == (200, 2000)


def test_all_images_agree_with_themselves():
    right = answers(0, images=400)
    budget = image_budget(*split(right, 400), 400)
    assert (budget.standard_error, budget.pearson, budget.kendall) == (0.0, 1.0, 1.0)


def test_too_little_says_so():
    for parts, sizes in (([], [5, 5]), ([[1, 2], [3, 4]], [5, 5]), ([[1], [2], [3]], [10]), ([[2, 2]] * 9, [5, 5])):
        budget = image_budget(parts, sizes, 100)
        assert budget.pearson is budget.kendall is None and "too little is known" in budget.describe()


@given(st.integers(0, 1000), st.integers(3, 12), st.integers(2, 5))
def test_any_answers_give_numbers(seed, architectures, batches):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, batches)
    parts = rng.binomial(sizes, rng.random((architectures, 1)))
    budget = image_budget(parts.tolist(), sizes.tolist(), int(sizes.sum()) + int(rng.integers(0, 50)))
    assert 0 <= budget.standard_error < 1
    assert (budget.pearson is None) == (budget.kendall is None)
    if budget.pearson is not None:
        assert -1 <= budget.pearson <= 1 and -1 <= budget.kendall <= 1


def test_draws_are_those_of_comparing_every_place() -> None:
    """The same distribution and the same random numbers, one round, one architecture and one place after another."""
    rng = np.random.default_rng(0)
    scores, noise, whole, among = rng.uniform(0.7, 0.9, 12), 4e-4, 500, rng.integers(0, 3, 12).astype(float)
    usual, wide = float(np.mean(scores * (1 - scores))), 4 * np.sqrt(noise)
    grid = np.linspace(scores.min() - wide, min(1 - 0.5 / whole, scores.max() + wide), budget.GRID)
    deviation = np.sqrt(noise * np.maximum(grid * (1 - grid), 0.05 * usual) / usual)
    likelihood = np.exp(-0.5 * ((scores[:, None] - grid) / deviation) ** 2) / deviation
    weights = np.full(budget.GRID, 1 / budget.GRID)
    for _ in range(budget.ROUNDS):
        posterior = likelihood * weights / (likelihood * weights).sum(axis=1, keepdims=True)
        weights = np.maximum(np.average(posterior, axis=0, weights=among), budget.LEAST)
    cumulative = (likelihood * weights).cumsum(axis=1)
    ours, theirs = (np.random.default_rng(1) for _ in range(2))
    for draw in budget.likely_scores(scores, noise, whole, ours, 30, among):
        steps = theirs.random((12, 1)) * cumulative[:, -1:]
        expected = [
            np.round(grid[int((row < step).sum())] * whole) / whole for row, step in zip(cumulative, steps, strict=True)
        ]
        assert draw.tolist() == expected
