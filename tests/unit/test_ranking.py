"""Predictions against a truth: joined by code, beside what ranks without a supernet, in a report that survives its JSON."""

import json
import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from equal_numbers import difference
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.correlation import rank_correlation
from kit.costs import costs
from kit.errors import InputError
from kit.pool import Pool, draw_pool
from kit.rank_report import METRICS, Interval, RankReport, read_figures
from kit.ranking.joining import join
from kit.ranking.opponents import OPPONENTS, columns, label_of
from kit.ranking.truth_file import Truth
from kit.ranking.words import HEADER, describe, table
from kit.search_space import PUBLISHED, RESNET48, Scale

SCALE = Scale(RESNET48, 224, 1000)
POOL = replace(draw_pool(PUBLISHED, 8, seed=0), accuracies=(0.5, 0.6, 0.55, 0.7, 0.65, 0.4, 0.45, 0.8))
TRUTH = Truth(POOL.codes, tuple((accuracy, accuracy + 0.01 * (index % 3)) for index, accuracy in enumerate(POOL.accuracies)))


@given(st.sets(st.sampled_from("abcdefgh")), st.permutations("abcdefgh"), st.integers(0, 8), st.booleans())
def test_a_join_holds_what_both_sides_know_in_the_order_of_one(known, order, predicted, as_predicted):
    truth = Truth(tuple(sorted(known)), tuple((ord(code), ord(code) + 1.0) for code in sorted(known)))
    predictions = {code: float(ord(code)) for code in order[:predicted]}
    joined = join(predictions, truth, as_predicted=as_predicted)
    assert list(joined.codes) == [
        code for code in (predictions if as_predicted else truth.codes) if code in known & set(predictions)
    ]
    assert (
        joined.predictions == tuple(row[0] for row in joined.truth.accuracies) == tuple(map(float, map(ord, joined.codes)))
    )
    assert joined.predictions_only + len(joined.codes) == len(predictions)
    assert joined.truth_only + len(joined.codes) == len(known)


def test_names_and_order_of_the_predictions_do_not_matter():
    scores = dict(random.Random(0).sample(sorted(POOL.scores.items()), 8))
    assert join(scores, TRUTH).rank(SCALE) == join(POOL.scores, TRUTH).rank(SCALE)


def test_opponents_are_the_costs_of_the_joined_architectures():
    found = columns(POOL.codes, SCALE)
    assert list(found) == [opponent.name for opponent in OPPONENTS] == ["macs", "params", "depth"]
    for index, architecture in enumerate(POOL.architectures):
        own = costs(architecture, SCALE)
        assert [column[index] for column in found.values()] == [own.macs, own.params, own.depth]
    for name, column in found.items():
        truth = Truth(POOL.codes, tuple((float(each),) for each in column))
        perfect = join(POOL.scores, truth).rank(SCALE).opponents[name]
        assert [figure.value for figure in perfect.figures.values()] == pytest.approx([1, 1, 1])
    assert (label_of("macs"), label_of("a file's")) == ("multiply-adds", "a file's")


def test_too_little_in_common_is_an_input_error():
    disjoint = replace(draw_pool(PUBLISHED, 8, seed=1), accuracies=POOL.accuracies)
    with pytest.raises(InputError, match="none of the 8 architectures of the truth has a prediction"):
        join(disjoint.scores, TRUTH).rank()
    with pytest.raises(InputError, match="only 2 of the 8 architectures of the truth have"):
        join(POOL.head(2).scores, TRUTH).rank()
    with pytest.raises(InputError, match="no accuracies"):
        Pool(POOL.names, POOL.architectures).scores  # noqa: B018


# Reports as they come: with and without seeds, losses, opponents that rank nothing, resamples without a correlation.
def reports(seed: int, n: int, seeds: int, kinds: tuple[str, ...]) -> RankReport:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 9, (n, seeds)) + np.arange(n)[:, None]
    every = {"macs": rng.permutation(n), "flat": np.ones(n)}
    opponents = {name: every[name] for name in kinds if name in every}
    losses = -truth if "losses" in kinds else None
    given = {"macs": every["macs"]} if "given" in kinds else None
    options = {"losses": losses, "given": given, "top": [n // 2, Fraction(1, 3)]}
    return rank_correlation(rng.permutation(n), truth, opponents=opponents, resamples=30, **options)


KINDS = st.sets(st.sampled_from(["macs", "flat", "losses", "given"])).map(tuple)
REPORTS = st.builds(reports, st.integers(0, 99), st.integers(3, 9), st.integers(1, 4), KINDS)


@given(REPORTS)
@settings(max_examples=40)
def test_a_report_survives_its_json(report):
    document = json.loads(json.dumps(report.to_json()))
    assert RankReport.from_json(document) == report
    assert RankReport.from_json({**document, "later": {"of": "a later version"}}) == report
    assert read_figures(document) == report.predictions.figures
    assert not difference(RankReport.from_json(document).to_json(), document)


@given(REPORTS, st.data())
@settings(max_examples=40)
def test_a_report_of_another_version_is_read_as_far_as_it_goes(report, data):
    document = report.to_json()
    for key in data.draw(st.sets(st.sampled_from(sorted(document.keys() - {"n", *METRICS})))):
        del document[key]
    found = RankReport.from_json(document)
    assert (found.n, found.predictions) == (report.n, report.predictions)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("n"),
        lambda d: d.pop("kendall"),
        lambda d: d["kendall"].pop("low"),
        lambda d: d["kendall"].update(value="high"),
        lambda d: d["kendall"].update(value=float("nan")),
        lambda d: d["kendall"].update(high=1.5),
        lambda d: d["kendall"].update(value=True),
        lambda d: d.update(seeds="3"),
        lambda d: d.update(n=3.0),
        lambda d: d.update(opponents=[]),
        lambda d: d.update(opponents={"macs": 3}),
        lambda d: d.update(versus={"macs": {"pearson": 1}}),
        lambda d: d.update(split_half={"accuracies": {}}),
        lambda d: d.update(n=None),
    ],
)
def test_what_is_no_report_is_told(change):
    document = json.loads(json.dumps(reports(0, 6, 2, ("macs",)).to_json()))
    change(document)
    with pytest.raises(InputError, match="no rank report"):
        RankReport.from_json(document)
    assert read_figures(document).keys() <= set(METRICS)


def test_figures_that_are_absent_or_damaged_are_left_out():
    whole = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert read_figures({"pearson": whole, "kendall": {"value": 0.5}, "other": 3}) == {"pearson": Interval(0.5, 0.25, 0.75)}
    report = {"baselines": {"macs": {"kendall": whole}}}
    assert read_figures(report, "baselines", "macs") == {"kendall": Interval(0.5, 0.25, 0.75)}
    assert read_figures(report, "baselines", "depth") == read_figures(report, "n", "macs") == {}
    assert read_figures(None) == read_figures([]) == read_figures({"pearson": 3}) == {}
    assert f"{Interval(0.5, -0.25, 0.75):+.2f}" == "+0.50 [-0.25, +0.75]"


def test_the_table_has_a_row_for_everything_that_ranks():
    report = reports(0, 8, 1, ("macs", "flat"))
    rows = table(report)
    assert [row[0] for row in rows] == ["supernet", "multiply-adds", "flat", "supernet minus multiply-adds"]
    assert {len(row) for row in rows} == {len(HEADER)}
    assert rows[0][1] == f"{report.predictions.pearson:+.3f}"
    assert rows[2][1:] == ["constant"] * 3


def test_words_follow_the_numbers():
    rng = random.Random(0)
    truth = [rng.random() for _ in range(40)]
    noise = [rng.random() for _ in range(40)]
    opposite = [-value for value in truth]
    better = describe(rank_correlation(truth, truth, opponents={"macs": noise}))
    assert "ranks better than counting multiply-adds" in better
    assert "one seed" in better
    assert "ranks worse" in describe(rank_correlation(noise, truth, opponents={"macs": truth}))
    assert "does not show whether" in describe(rank_correlation(truth, truth, opponents={"macs": truth}))
    disagreeing = [[value, other] for value, other in zip(truth, (1 - 0.9 * value for value in truth), strict=True)]
    assert "do not agree" in describe(rank_correlation(truth, disagreeing))
    assert "assume the worst" in describe(rank_correlation([1, 2, 3], opposite[:3]))
