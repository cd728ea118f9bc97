"""How a ladder's rows are measured: means over supernets, resampled with the architectures, against a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kit.correlation import rank_correlation
from kit.correlation.bootstrap import resampled_counts
from kit.correlation.ladder import _supernets, rank_rows
from kit.errors import InputError

N = 20


def made(seed, supernets=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(N, 2))
    macs = truth.mean(1) + rng.normal(size=N)
    params = np.exp(rng.normal(size=N))
    rows = {
        name: [truth.mean(1) + rng.normal(size=N) * noise for _ in range(supernets)]
        for name, noise in (("a", 0.5), ("b", 2))
    }
    return rows, truth, macs, {"params": np.log(params)}


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_one_supernet_is_ranked_as_everywhere(seed):
    rows, truth, macs, known = made(seed, supernets=1)
    more = {**known, "macs": macs}
    found = rank_rows(rows, truth, {"macs": macs}, given=known, given_all=more, top=[5], resamples=50)
    for name, [predictions] in rows.items():
        report = rank_correlation(predictions, truth, opponents={"macs": macs}, given=known, top=[5], resamples=50)
        assert found[name].predictions == report.predictions
        assert found[name].versus_macs == report.versus["macs"]
        assert found[name].partial == report.partial
        everything = rank_correlation(predictions, truth, given=more, resamples=50)
        assert found[name].partial_all == everything.partial
        [top], [expected] = found[name].top, report.top
        assert (top.precision, top.k, top.best_rank, top.regret) == (
            expected.precision,
            expected.k,
            expected.best_rank,
            expected.regret,
        )


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_row_is_the_mean_over_supernets_and_intervals_hold_it(seed, supernets):
    rows, truth, macs, known = made(seed, supernets)
    found = rank_rows(rows, truth, {"macs": macs}, given=known, resamples=50)
    for name, several in rows.items():
        alone = [rank_correlation(each, truth, resamples=20).predictions for each in several]
        for metric in ("pearson", "kendall", "spearman"):
            interval = getattr(found[name].predictions, metric)
            assert interval.value == pytest.approx(np.mean([getattr(each, metric).value for each in alone]), abs=1e-12)
            assert interval.low <= interval.value <= interval.high
    assert found["a"].versus_previous is None
    difference = found["b"].versus_previous.pearson_difference
    assert difference.value == pytest.approx(found["b"].predictions.pearson.value - found["a"].predictions.pearson.value)


def test_resamples_draw_architectures_and_supernets_as_a_plain_loop_does():
    rows, truth, macs, _ = made(3, supernets=3)
    found = rank_rows(rows, truth, {"macs": macs}, resamples=80)
    weights, shares = np.concatenate(list(resampled_counts(N, 80, 0))), _supernets(3, 80, 0)
    assert np.allclose(shares.sum(1), 1) and len(np.unique(shares.round(3), axis=0)) > 5
    draws = []
    for counts, share in zip(weights.astype(int), shares, strict=True):
        drawn = np.repeat(np.arange(N), counts)
        each = [stats.kendalltau(row[drawn], truth.mean(1)[drawn]).statistic for row in rows["a"]]
        draws.append(np.dot(share, each))
    interval = found["a"].predictions.kendall
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_constant_predictions_are_named():
    rows, truth, macs, _ = made(0)
    with pytest.raises(InputError, match="predictions of b"):
        rank_rows({**rows, "b": [np.ones(N)]}, truth, {"macs": macs})
