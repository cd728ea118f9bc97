import json

import pytest

from kit.costs import pool_costs
from kit.errors import InputError, StorageError
from kit.pool import Pool, draw_pool, write_predictions
from kit.ranking.truth_file import Truth, find_truth, load_truth, rank_predictions, shipped_truths, write_truth
from kit.recipe import load_profile
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError, Scale

POOL = draw_pool(PUBLISHED, 8, seed=0).with_accuracies([0.5, 0.6, 0.55, 0.7, 0.65, 0.4, 0.45, 0.8])
SCALE = Scale(RESNET48, 224, 1000)


def truth_of(pool, **changes):
    rows = tuple((accuracy, accuracy + 0.01 * (index % 3)) for index, accuracy in enumerate(pool.accuracies))
    return Truth(pool.codes, rows, tuple((1 - a, 1 - b) for a, b in rows), "imagenet", {"seeds": [0, 1]}, **changes)


def test_a_truth_survives_the_file(tmp_path):
    truth = truth_of(POOL)
    write_truth(tmp_path / "truth.json", truth)
    assert load_truth(tmp_path / "truth.json") == truth
    assert set(json.loads((tmp_path / "truth.json").read_text())) == {"profile", "provenance", "architectures"}
    bare = Truth(truth.codes, truth.accuracies)
    write_truth(tmp_path / "truth.json", bare)
    assert load_truth(tmp_path / "truth.json") == bare


def test_a_challenge_file_is_a_truth_of_one_seed_on_an_unknown_profile(tmp_path):
    write_predictions(tmp_path / "truth.json.gz", POOL, POOL.accuracies)
    truth = load_truth(tmp_path / "truth.json.gz")
    assert truth.codes == POOL.codes
    assert truth.accuracies == tuple((accuracy,) for accuracy in POOL.accuracies)
    assert (truth.seeds, truth.profile, truth.losses) == (1, None, None)


def row(**changes):
    return {"arch": POOL.codes[0], "accuracies": [0.1, 0.2]} | changes


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"architectures": []}, "at least one architecture"),
        ({"architectures": 3}, "must be a list"),
        ({"architectures": [3]}, r"architectures\[1\] must be an object"),
        ({"architectures": [{"accuracies": [0.1]}]}, r"architectures\[1\] .*'arch'"),
        ({"architectures": [row(accuracies=[])]}, r"architectures\[1\] .*'accuracies'"),
        ({"architectures": [row(accuracies=0.5)]}, r"architectures\[1\] .*'accuracies'"),
        ({"architectures": [row(accuracies=[0.1, "0.2"])]}, "must be a number, found text"),
        ({"architectures": [row(accuracies=[float("nan")])]}, "must be finite"),
        ({"architectures": [row(), row()]}, "occurs twice"),
        ({"architectures": [row(), row(arch=POOL.codes[1], accuracies=[0.1])]}, "same number of seeds"),
        ({"architectures": [row(losses=[1.0])]}, "'losses' need one value per seed"),
        ({"architectures": [row(losses=[1.0, 2.0]), row(arch=POOL.codes[1])]}, "absent from all"),
        ({"architectures": [row()], "profile": 3}, "'profile' must be a name"),
        ({"a": {"arch": POOL.codes[0]}}, "no 'acc'"),
        ({"a": {"arch": POOL.codes[0], "acc": 1}, "b": {"arch": POOL.codes[0], "acc": 2}}, "occurs twice"),
        ([], "a list"),
    ],
)
def test_bad_truths_are_refused(tmp_path, document, message):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        load_truth(path)
    assert str(path) in str(caught.value)


def test_a_truth_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        load_truth(tmp_path / "absent.json")


def test_joined_by_code_whatever_names_and_order_are():
    truth = truth_of(POOL)
    shuffled = Pool(
        tuple(f"other{index}" for index in range(8)), POOL.architectures[::-1], tuple(a / 2 for a in POOL.accuracies[::-1])
    )
    joined, plain = (rank_predictions(each, truth, SCALE) for each in (shuffled, POOL))
    assert joined.report.predictions == plain.report.predictions
    assert (joined.predictions_only, joined.truth_only) == (0, 0)
    assert joined.report.predictions.kendall.value > 0.8


def test_what_only_one_side_knows_is_counted_and_left_out():
    truth = truth_of(POOL)
    stranger = draw_pool(PUBLISHED, 1, seed=99)
    wider = Pool(
        (*POOL.names[1:], "stranger"), (*POOL.architectures[1:], *stranger.architectures), (*POOL.accuracies[1:], 0.0)
    )
    joined = rank_predictions(wider, truth, SCALE)
    assert (joined.report.n, joined.predictions_only, joined.truth_only) == (7, 1, 1)
    same = rank_predictions(POOL.subset(POOL.codes[1:]), truth_of(POOL), SCALE)
    assert joined.report == same.report


def test_opponents_are_the_costs_of_the_joined_architectures():
    cost = pool_costs(POOL.codes, SCALE)
    for name, column in (("macs", cost.macs), ("params", cost.params), ("depth", cost.depth)):
        truth = Truth(POOL.codes, tuple((float(each),) for each in column))
        found = rank_predictions(POOL, truth, SCALE).report.opponents[name]
        assert [found.pearson.value, found.kendall.value, found.spearman.value] == pytest.approx([1, 1, 1])


def test_reliability_of_accuracies_and_losses_is_reported():
    report = rank_predictions(POOL, truth_of(POOL), SCALE).report
    assert report.seeds == 2
    assert report.accuracy_reliability.reliability > 0.9
    assert report.loss_reliability.reliability == pytest.approx(report.accuracy_reliability.reliability)


def test_too_little_in_common_is_an_input_error():
    truth = truth_of(POOL)
    disjoint = draw_pool(PUBLISHED, 8, seed=1).with_accuracies(POOL.accuracies)
    with pytest.raises(InputError, match="no architecture of the truth among the 8 predictions"):
        rank_predictions(disjoint, truth, SCALE)
    with pytest.raises(InputError, match="2 of the 8 architectures"):
        rank_predictions(POOL.head(2), truth, SCALE)
    with pytest.raises(InputError, match="no accuracies"):
        rank_predictions(Pool(POOL.names, POOL.architectures), truth, SCALE)
    broken = Truth((*POOL.codes[1:], "1" * 52), truth.accuracies)
    with pytest.raises(InvalidArchitectureError, match="truth: digit"):
        rank_predictions(POOL, broken, SCALE)


def test_a_truth_is_found_by_path_or_by_the_name_of_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no truth file 'nowhere'"):
        find_truth("nowhere")
    (tmp_path / "nowhere").write_text("{}")
    assert str(find_truth("nowhere")) == "nowhere"
    assert str(find_truth("absent.json")) == "absent.json"
    for name, path in shipped_truths().items():
        assert find_truth(name) == path


def test_shipped_truths_are_what_they_claim():
    for name, path in shipped_truths().items():
        truth = load_truth(path)
        space = load_profile(name).search_space
        assert truth.profile == name
        assert truth.provenance
        assert len({space.parse(code) for code in truth.codes}) >= 24
        assert truth.seeds >= 2
