"""What a rank report says beside correlations: partial correlation, the top, single trainings, tables of any space."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from kit.correlation import parse_count, rank_correlation
from kit.errors import InputError
from kit.ranking.table_file import read_table

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=25)


def residuals(values, columns):
    design = np.stack([np.ones(len(values)), *columns], axis=1)
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def data(seed, n, seeds=1):
    rng = np.random.default_rng(seed)
    macs, params = rng.normal(size=n), rng.normal(size=n)
    truth = macs + 0.5 * params + 0.3 * rng.normal(size=(seeds, n))
    return truth.mean(axis=0) + macs + rng.normal(size=n), truth.T, {"macs": macs, "params": params}


@given(st.integers(0, 999), st.integers(6, 40))
@settings(max_examples=25)
def test_partial_is_the_correlation_of_residuals(seed, n):
    predictions, truth, costs = data(seed, n)
    partial = rank_correlation(predictions, truth, given=costs, resamples=20).partial
    x, y = (residuals(side, costs.values()) for side in (predictions, truth[:, 0]))
    assert partial.given == ("macs", "params")
    assert partial.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert partial.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)


def test_partial_ignores_what_counting_explains():
    _, truth, costs = data(3, 200)
    rng = np.random.default_rng(0)
    counting = costs["macs"] + 0.1 * rng.normal(size=200)  # good, but for nothing that counting does not know
    knowing = truth[:, 0] + 0.1 * rng.normal(size=200)
    measured = [rank_correlation(each, truth, given=costs).partial.pearson for each in (counting, knowing)]
    assert [each.sign for each in measured] == [0, 1]


@pytest.mark.parametrize("n", [3, 4, 12])
def test_partial_is_absent_where_nothing_is_left(n):
    _, truth, costs = data(1, n)
    assert rank_correlation(2 * costs["macs"] - costs["params"], truth, given=costs, resamples=5).partial is None


def test_a_resample_of_the_partial_is_the_drawn_elements():
    from kit.correlation.partial import PartialCorrelation

    predictions, truth, costs = data(5, 12)
    counts = np.bincount(np.random.default_rng(2).integers(0, 12, 12), minlength=12).astype(float)
    drawn = np.repeat(np.arange(12), counts.astype(int))
    x, y = (residuals(side[drawn], [each[drawn] for each in costs.values()]) for side in (predictions, truth[:, 0]))
    [[pearson, kendall]] = PartialCorrelation(predictions, truth[:, 0], costs).statistics(counts[None])
    assert pearson == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert kendall == pytest.approx(stats.kendalltau(np.round(x, 9), np.round(y, 9)).statistic, abs=1e-9)


@given(PAIRS, st.integers(1, 25))
@settings(max_examples=80)
def test_the_top_is_what_sorting_says(pairs, count):
    predicted, true = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assume(np.ptp(predicted) > 0 and np.ptp(true) > 0 and count <= len(pairs))
    [top] = rank_correlation(predicted, true, top=[count], resamples=9).top
    border = sorted(predicted, reverse=True)[count - 1]
    chosen = [place for place, value in enumerate(predicted) if value >= border]
    ranks = [1 + int((true > true[place]).sum()) for place in chosen]
    assert (top.k, top.best_rank, top.worst_rank) == (len(chosen), min(ranks), max(ranks))
    assert top.precision.value == sum(rank <= len(chosen) for rank in ranks) / len(chosen)
    assert top.regret == true.max() - true[chosen].max()
    assert 0 <= top.precision.low <= top.precision.value <= top.precision.high <= 1
    if np.ptp(predicted[chosen]) == 0 or np.ptp(true[chosen]) == 0:
        assert top.kendall is None
    else:
        assert top.kendall == pytest.approx(stats.kendalltau(predicted[chosen], true[chosen]).statistic, abs=1e-12)


def test_a_resample_of_the_top_is_the_drawn_elements():
    from kit.correlation.comparison import Variable
    from kit.correlation.top import Choice

    rng = np.random.default_rng(4)
    predicted, true = rng.integers(0, 7, (2, 20)).astype(float)
    counts = np.bincount(rng.integers(0, 20, 20), minlength=20).astype(float)
    drawn = np.repeat(np.arange(20), counts.astype(int))
    [[found]] = Choice(Variable("p", predicted), Variable("t", true), 6).statistics(counts[None])
    border = np.sort(predicted[drawn])[-6]
    chosen = drawn[predicted[drawn] >= border]
    good = [(true[drawn] > true[place]).sum() < len(chosen) for place in chosen]
    assert found == pytest.approx(np.mean(good))


def test_shares_are_rounded_up_and_small_ones_left_out():
    predictions, truth, _ = data(0, 100)
    assert [each.k for each in rank_correlation(predictions, truth, resamples=5).top] == [5, 10]
    assert [each.k for each in rank_correlation(predictions, truth, resamples=5, top=[Fraction(7, 300)]).top] == [3]
    with pytest.raises(InputError, match="only 100 architectures"):
        rank_correlation(predictions, truth, resamples=5, top=[101])


@pytest.mark.parametrize(("text", "count"), [("10", 10), ("5%", Fraction(1, 20)), (" 2.5% ", Fraction(1, 40)), ("100%", 1)])
def test_counts_are_read(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "101%", "0%", "x", "", "%", "nan%", "1/0%"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(InputError, match="no count"):
        parse_count(text)


def test_weighted_tau_and_single_trainings_are_scipys():
    predictions, truth, _ = data(7, 30, seeds=3)
    report = rank_correlation(predictions, truth, resamples=50)
    assert report.weighted_tau == pytest.approx(stats.weightedtau(predictions, truth.mean(axis=1)).statistic, abs=1e-12)
    others = [(truth[:, s], np.delete(truth, s, axis=1).mean(axis=1)) for s in range(3)]
    assert report.single_training.pearson == pytest.approx(np.mean([stats.pearsonr(*each).statistic for each in others]))
    assert report.single_training.kendall == pytest.approx(np.mean([stats.kendalltau(*each).statistic for each in others]))
    interval = report.reliability_interval
    assert interval.value == report.accuracy_reliability.reliability and interval.low < interval.value < interval.high
    assert rank_correlation(predictions, truth[:, :1], resamples=5).single_training is None


def test_every_opponent_has_its_difference():
    predictions, truth, costs = data(2, 30)
    report = rank_correlation(predictions, truth, opponents=costs, resamples=50)
    macs = rank_correlation(predictions, truth, opponents={"macs": costs["macs"]}, resamples=50)
    assert set(report.versus) == {"macs", "params"} and report.versus_macs == macs.versus_macs


@pytest.fixture
def table(tmp_path):
    """A CSV table as other benchmarks have it: any names, several seeds, accuracies in percent."""
    predictions, truth, costs = data(11, 60, seeds=2)
    path = tmp_path / "table.csv"
    columns = {"score": predictions, "a": 90 + truth[:, 0], "b": 90 + truth[:, 1], "flops": np.exp(costs["macs"])}
    rows = [",".join(["name", *columns])]
    rows += [",".join([f"net{row}", *(repr(float(each[row])) for each in columns.values())]) for row in range(60)]
    path.write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    return path, predictions, truth, costs


def test_a_table_is_ranked_like_its_columns(table):
    path, predictions, truth, costs = table
    report = read_table(path).rank("score", ["a", "b"], ["flops"])
    expected = rank_correlation(predictions, 90 + truth, opponents={"flops": costs["macs"]}, given={"flops": costs["macs"]})
    assert report.predictions.pearson.value == pytest.approx(expected.predictions.pearson.value, abs=1e-12)
    assert report.partial.pearson.value == pytest.approx(expected.partial.pearson.value, abs=1e-9)
    assert report.seeds == 2 and set(report.versus) == {"flops"}


def test_a_table_in_the_terminal(table, kit):
    path = str(table[0])
    columns = ["--prediction", "score", "--truth", "a,b", "--opponent", "flops", "--top", "4", "--top", "10%"]
    document = kit("rank", path, *columns, "--json").json
    assert document["baselines"] == {} and set(document["opponents"]) == {"flops"} and document["truth"] == ["a", "b"]
    assert [each["k"] for each in document["top"]] == [4, 6] and document["partial"]["given"] == ["flops"]
    printed = kit("rank", path, *columns)
    assert printed.out.rstrip().splitlines()[-1].startswith("Given flops, r is ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("flops", "a", 1), "two columns are called 'a'"),
        (lambda text: text.replace("net3,", "net3,,", 1), "row 5 has 6 cells"),
        (lambda text: text.replace("flops", "flop", 1), "did you mean 'flop'?"),
        (lambda text: text.splitlines()[0], "a row for each architecture"),
        (lambda text: "\n".join([*text.splitlines(), "net60,1,,2,3"]), "row 62, column 'a': expected a finite number"),
        (lambda text: "\n".join([*text.splitlines(), "net60,1,inf,2,3"]), "found 'inf'"),
    ],
)
def test_a_bad_table_is_told(table, kit, change, message):
    path = table[0]
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    refused = kit("rank", str(path), "--prediction", "score", "--truth", "a,b", "--opponent", "flops")
    assert refused.code == 2 and message in refused.err


def test_further_opponents_are_challenge_files(kit, tmp_path, finished_run):
    predictions = json.loads((finished_run / "predictions.json").read_text())
    other, truth = (
        {name: {**e, "acc": -(k % 7) + k * f} for k, (name, e) in enumerate(predictions.items())} for f in (1, 0.3)
    )
    for name, document in (("other", other), ("truth", truth)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    profile = str(finished_run / "profile.toml")
    where = ["rank", str(finished_run / "predictions.json"), "--truth", str(tmp_path / "truth.json"), "--profile", profile]
    document = kit(*where, "--opponent", f"other={tmp_path / 'other.json'}", "--json").json
    assert set(document["opponents"]) == {"macs", "params", "depth", "other"} == set(document["versus"])
    assert set(document["baselines"]) == {"macs", "params", "depth"} and document["partial"]["given"] == ["macs", "params"]
    (tmp_path / "few.json").write_text(json.dumps(dict(list(predictions.items())[:5])))
    assert "no value for 55 of 60" in kit(*where, "--opponent", f"few={tmp_path / 'few.json'}").err
    assert kit(*where, "--opponent", "macs=x").code == kit(*where, "--opponent", "x").code == 2
