import json

import pytest

from kit.errors import InputError, StorageError
from kit.pool import draw_pool, write_predictions
from kit.ranking.truth_file import Truth, find_truth, load_truth, shipped_truths, write_truth
from kit.recipe import load_profile
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError

POOL = draw_pool(PUBLISHED, 8, seed=0).with_accuracies([0.5, 0.6, 0.55, 0.7, 0.65, 0.4, 0.45, 0.8])


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


def test_a_part_of_a_truth_in_another_order():
    truth = truth_of(POOL)
    part = truth.take(POOL.codes[5:2:-1])
    assert part.codes == POOL.codes[5:2:-1]
    assert part.means == {code: truth.means[code] for code in part.codes}
    assert part.losses == truth.losses[5:2:-1]
    assert truth.take(truth.codes) == truth
    assert truth.means[POOL.codes[1]] == pytest.approx(POOL.accuracies[1] + 0.005)


def test_codes_of_another_space_are_named():
    truth_of(POOL).require_codes_of(RESNET48)
    broken = Truth((*POOL.codes[1:], "1" * 52), truth_of(POOL).accuracies)
    with pytest.raises(InvalidArchitectureError, match="truth: digit"):
        broken.require_codes_of(RESNET48)


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
