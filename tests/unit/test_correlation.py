import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from kit.correlation import rank_correlation, split_half_reliability
from kit.correlation.bootstrap import resampled_counts
from kit.correlation.comparison import Comparison, Variable
from kit.errors import InputError

few_values = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=14)
anything = st.floats(allow_nan=False, allow_infinity=False)


def noisy(n, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return truth + noise * rng.normal(size=n), truth


def intervals(value):
    """All {value, low, high} in a JSON document."""
    if isinstance(value, dict):
        if set(value) == {"value", "low", "high"}:
            yield value
        for inner in value.values():
            yield from intervals(inner)


@settings(max_examples=60, deadline=None)
@given(pairs=few_values, seed=st.integers(0, 1000))
def test_statistics_of_a_resample_are_scipys_on_the_drawn_elements(pairs, seed):
    x, y = np.array(pairs, dtype=float).T
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    comparison = Comparison(Variable("x", x), Variable("y", y))
    (counts,) = resampled_counts(len(x), 6, seed)
    assert (counts.sum(axis=1) == len(x)).all()
    for weights, found in zip(counts, comparison.statistics(counts), strict=True):
        drawn_x, drawn_y = (np.repeat(values, weights.astype(int)) for values in (x, y))
        if np.ptp(drawn_x) == 0 or np.ptp(drawn_y) == 0:
            assert np.isnan(found).all()
            continue
        expected = [function(drawn_x, drawn_y).statistic for function in (stats.pearsonr, stats.kendalltau, stats.spearmanr)]
        assert found == pytest.approx(expected, abs=1e-9)


def test_resampled_statistics_agree_with_scipy_at_a_size_with_many_levels():
    x, y = noisy(777)
    x = np.round(x, 1)
    (counts,) = resampled_counts(777, 3, 0)
    for weights, found in zip(counts, Comparison(Variable("x", x), Variable("y", y)).statistics(counts), strict=True):
        drawn_x, drawn_y = (np.repeat(values, weights.astype(int)) for values in (x, y))
        assert found[1] == pytest.approx(stats.kendalltau(drawn_x, drawn_y).statistic, abs=1e-12)


def test_values_are_scipys():
    x, y = noisy(40)
    found = rank_correlation(x, y).predictions
    assert found.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)


@settings(max_examples=150, deadline=None)
@given(pairs=st.lists(st.tuples(anything, anything, anything), min_size=1, max_size=8))
def test_there_is_an_error_or_a_report_but_never_a_nan(pairs):
    x, y, z = np.array(pairs).T
    with np.errstate(all="ignore"):
        try:
            report = rank_correlation(x, y, opponents={"macs": z}, resamples=50)
        except InputError:
            return
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    found = list(intervals(document))
    assert len(found) >= 3
    for interval in found:
        assert -2 <= interval["low"] <= interval["value"] <= interval["high"] <= 2


def test_percent_and_fractions_give_the_same_report():
    x, y = noisy(30)
    x, y = np.round(0.5 + 0.1 * x, 4), np.round(0.5 + 0.1 * y, 4)
    fractions, percent = (list(intervals(rank_correlation(scale * x, y).to_json())) for scale in (1, 100))
    for one, other in zip(fractions, percent, strict=True):
        assert one == pytest.approx(other)


def test_reversed_predictions_reverse_everything():
    x, y = noisy(25)
    forward, backward = rank_correlation(x, y).predictions, rank_correlation(-x, y).predictions
    for name in ("pearson", "kendall", "spearman"):
        one, other = getattr(forward, name), getattr(backward, name)
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_perfect_predictions_leave_no_doubt():
    _, y = noisy(30)
    found = rank_correlation(np.exp(y), y).predictions
    for interval in (found.kendall, found.spearman):
        assert (interval.low, interval.value, interval.high) == pytest.approx((1, 1, 1))
    assert found.pearson.value < 0.99


def test_intervals_cover_the_true_correlation_about_as_often_as_they_claim():
    noise = math.sqrt(3)  # r = 1 / sqrt(1 + 3) = .5; tau = 2 / pi * asin(r) = 1 / 3
    hits = np.zeros(2)
    trials = 120
    for trial in range(trials):
        found = rank_correlation(*noisy(60, noise, seed=trial), resamples=300, seed=trial).predictions
        hits += [found.pearson.low <= 0.5 <= found.pearson.high, found.kendall.low <= 1 / 3 <= found.kendall.high]
    assert (hits / trials > 0.87).all()
    assert (hits / trials < 0.995).all()


def test_more_architectures_give_narrower_intervals():
    widths = []
    for n in (20, 200, 2000):
        pearson = rank_correlation(*noisy(n), resamples=300).predictions.pearson
        widths.append(pearson.high - pearson.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_the_seed_fixes_the_resamples_and_nothing_else():
    x, y = noisy(30)
    first, again, other = (rank_correlation(x, y, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.predictions.pearson.value == other.predictions.pearson.value
    assert first.predictions.pearson.low != other.predictions.pearson.low


def test_an_opponent_equal_to_the_predictions_differs_by_exactly_nothing():
    x, y = noisy(30)
    versus = rank_correlation(x, y, opponents={"macs": x}).versus_macs
    assert (versus.pearson_difference.low, versus.pearson_difference.high) == (0, 0)
    assert (versus.kendall_difference.low, versus.kendall_difference.high) == (0, 0)


def test_a_difference_is_paired():
    truth = noisy(100)[1]
    rng = np.random.default_rng(1)
    macs = truth + rng.normal(size=100)
    better = macs - 0.2 * (macs - truth)
    report = rank_correlation(better, truth, opponents={"macs": macs})
    alone = report.predictions.pearson, report.opponents["macs"].pearson
    assert alone[0].low < alone[1].high
    assert report.versus_macs.pearson_difference.low > 0


def test_a_constant_opponent_ranks_nothing_but_spoils_nothing():
    x, y = noisy(12)
    report = rank_correlation(x, y, opponents={"macs": np.ones(12), "depth": x})
    assert report.opponents["macs"] is None
    assert report.versus_macs is None
    assert report.opponents["depth"] == report.predictions
    assert report.to_json()["baselines"]["macs"] is None


def test_ties_are_counted_on_both_sides():
    report = rank_correlation([1, 1, 2, 3, 3, 3], [1, 2, 3, 4, 5, 5])
    assert report.ties == {"predictions": 5, "truth": 2}


def test_equal_means_over_seeds_are_ties_whatever_rounding_says():
    # 1.2 in sum three times over, though not in binary fractions; then something else.
    truth = [[0.1, 0.5, 0.6], [0.2, 0.4, 0.6], [0.3, 0.3, 0.6], [0.9, 0.1, 0.8]]
    assert rank_correlation([1, 2, 3, 4], truth).ties == {"predictions": 0, "truth": 3}
    with pytest.raises(InputError, match="constant"):
        rank_correlation([1, 2, 3], truth[:3])


def test_three_architectures_promise_nothing():
    report = rank_correlation([1, 2, 3], [1, 2, 3])
    # 3 of the 27 draws repeat one architecture: about a ninth of the resamples.
    assert 0.08 < report.undefined_resamples / report.resamples < 0.15
    assert report.predictions.kendall.low == -1
    assert report.predictions.kendall.high == 1


def test_large_inputs_use_fewer_resamples_and_say_so():
    assert rank_correlation(*noisy(100)).resamples == 2000
    assert rank_correlation(*noisy(20_000)).resamples < 1000


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "predictions: all 3"),
        ([1, 2, 3], [0, 0, 0], "truth: all 3"),
        ([1, 2, math.nan], [1, 2, 3], "predictions hold a value that is not finite"),
        ([1, 2, 3], [1, math.inf, 3], "truth hold a value that is not finite"),
        ([1, 2, None], [1, 2, 3], "not finite"),
        (["a", "b", "c"], [1, 2, 3], "not an array of numbers"),
        ([1, 2], [1, 2], "at least 3"),
        ([], [], "shape"),
        (1, 2, "shape"),
        ([1, 2, 3], [1, 2, 3, 4], "not the same architectures"),
        ([[1, 2], [2, 3], [3, 5]], [1, 2, 3], "one number per architecture"),
        ([1, 2, 3], [[1, 3], [2, 2], [3, 1]], "truth: all 3"),
    ],
)
def test_what_cannot_be_correlated_is_an_input_error(predictions, truth, message):
    with pytest.raises(InputError, match=message):
        rank_correlation(predictions, truth)


@pytest.mark.parametrize("seeds", [2, 3, 4, 7, 8, 12])
def test_reliability_finds_the_share_of_signal_in_the_mean(seeds):
    # Signal and noise of equal variance: the mean of s seeds has reliability s / (s + 1).
    rng = np.random.default_rng(seeds)
    scores = rng.normal(size=(20_000, 1)) + rng.normal(size=(20_000, seeds))
    found = split_half_reliability(scores)
    assert found.reliability == pytest.approx(seeds / (seeds + 1), abs=0.02)


def test_the_ceiling_is_what_perfect_predictions_reach():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=20_000)
    truth = signal[:, None] + 1.5 * rng.normal(size=(20_000, 3))
    report = rank_correlation(signal, truth, resamples=2)
    assert report.predictions.pearson.value == pytest.approx(report.accuracy_reliability.ceiling, abs=0.02)


def test_reliability_at_its_ends():
    _, y = noisy(20)
    assert split_half_reliability(y) is None
    assert split_half_reliability(y[:, None]) is None
    assert split_half_reliability(np.stack([y, y, y], axis=1)).reliability == pytest.approx(1)
    opposed = split_half_reliability(np.stack([y, -y], axis=1))
    assert opposed.split_half == pytest.approx(-1)
    assert opposed.reliability == opposed.ceiling == 0
    blank = split_half_reliability(np.stack([y, np.ones(20)], axis=1))
    assert blank.split_half == blank.reliability == 0


def test_every_seed_counts_alike():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(10, 1)) + rng.normal(size=(10, 5))
    reordered = split_half_reliability(scores[:, [3, 1, 4, 0, 2]])
    assert reordered.reliability == pytest.approx(split_half_reliability(scores).reliability)


def test_the_document_holds_reliability_only_for_several_seeds():
    x, y = noisy(20)
    truth = np.stack([y, y + 0.1 * x, y - 0.1 * x], axis=1)
    several = rank_correlation(x, truth, losses=-truth).to_json()
    assert several["seeds"] == 3
    assert 0 < several["reliability"] < several["ceiling"] < 1
    assert several["split_half"]["losses"]["reliability"] == pytest.approx(several["reliability"])
    assert not {"reliability", "ceiling"} & rank_correlation(x, y).to_json().keys()
