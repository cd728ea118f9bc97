import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.data import open_data
from kit.errors import InputError, StorageError
from kit.pool import draw_pool, write_predictions
from kit.ranking import truth_file
from kit.ranking.made_with import MadeWith
from kit.ranking.truth_file import Truth, find_truth, load_truth, misfit, shipped_truths, truth_for, write_truth
from kit.recipe import load_profile
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError

POOL = replace(draw_pool(PUBLISHED, 8, seed=0), accuracies=(0.5, 0.6, 0.55, 0.7, 0.65, 0.4, 0.45, 0.8))


MADE_WITH = MadeWith.of(load_profile("nano"), classes=10, source="ab" * 32)


def truth_of(pool, **changes):
    rows = tuple((accuracy, accuracy + 0.01 * (index % 3)) for index, accuracy in enumerate(pool.accuracies))
    return Truth(pool.codes, rows, tuple((1 - a, 1 - b) for a, b in rows), "imagenet", {"seeds": [0, 1]}, **changes)


def test_a_truth_survives_the_file(tmp_path):
    truth = truth_of(POOL)
    write_truth(tmp_path / "truth.json", truth)
    assert load_truth(tmp_path / "truth.json") == truth
    assert set(json.loads((tmp_path / "truth.json").read_text())) == {"profile", "provenance", "architectures"}
    told = replace(truth, made_with=MADE_WITH)
    write_truth(tmp_path / "truth.json", told)
    assert load_truth(tmp_path / "truth.json") == told
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
        ({"architectures": [row()], "made_with": 3}, "'made_with' needs 'search_space'"),
        (
            {"architectures": [row()], "made_with": MADE_WITH.to_json() | {"resolution": "8"}},
            "'made_with' needs 'resolution'",
        ),
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
        profile = load_profile(name)
        space = profile.search_space
        assert truth.profile == name
        assert (
            truth.codes == draw_pool(profile.published_space, profile.pool.size, profile.pool.seed).codes[: len(truth.codes)]
        )
        assert truth.made_with == MadeWith.of(profile, classes=profile.num_classes, source=truth.made_with.source)
        assert truth.provenance
        assert len({space.parse(code) for code in truth.codes}) >= 24
        assert truth.seeds >= 2


def test_the_truth_of_the_embedded_digits_fits_the_embedded_digits():
    nano = load_profile("nano")
    data = open_data("digits", resolution=nano.resolution, train_images=100)
    assert truth_for("nano", MadeWith.of(nano, classes=data.num_classes, source=data.source)).name == "nano.json"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": "cd" * 32}, "made with other data (source abababababab, here cdcdcdcdcdcd)"),
        ({"classes": 2}, "10 classes (here 2)"),
        ({"resolution": 16}, "resolution 8 (here 16)"),
        ({"search_space": {**MADE_WITH.search_space, "divisor": 8}}, "divisor 1 (here 8)"),
        ({"search_space": {**MADE_WITH.search_space, "new": 1}}, "new None (here 1)"),
        ({"classes": None, "source": None}, "does not say whether it used them"),
        ({"classes": None, "source": None, "fingerprint": "other images"}, "does not say whether it used them"),
    ],
)
def test_a_truth_fits_what_it_was_made_with_and_nothing_else(change, reason):
    truth = replace(truth_of(POOL), made_with=MADE_WITH, provenance={"data_fingerprint": "these images"})
    assert misfit(truth, MADE_WITH) == ""
    assert reason in misfit(truth, replace(MADE_WITH, **change))
    assert misfit(replace(truth, made_with=None), MADE_WITH).startswith("does not say")


def test_a_run_of_an_older_kit_names_its_images_by_their_fingerprint():
    truth = replace(truth_of(POOL), made_with=MADE_WITH, provenance={"data_fingerprint": "these images"})
    resolved = {"data_fingerprint": "these images"}
    assert misfit(truth, MadeWith.of_run(load_profile("nano"), resolved)) == ""
    assert misfit(truth, MadeWith.of_run(load_profile("nano"), resolved | {"data_source": "cd" * 32, "classes": 10}))
    assert "base_channels" in misfit(truth, MadeWith.of_run(load_profile("fashion"), resolved))


def test_the_profile_whose_truth_does_not_fit_is_told_why():
    nano = load_profile("nano")
    with pytest.raises(InputError, match=r"the truth nano\.json was made with resolution 8 \(here 9\) and other data"):
        truth_for("nano", MadeWith.of(nano.model_copy(update={"resolution": 9}), classes=10, source="ab" * 32))
    with pytest.raises(InputError, match="no truth is shipped for profile imagenet"):
        truth_for("imagenet", MadeWith.of(load_profile("imagenet"), classes=1000, source="ab" * 32))


def test_shipped_truths_are_those_that_were_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in truth_file.shipped_truths().values():
        assert load_truth(path).profile == path.stem
    copy = tmp_path / "truth"
    shutil.copytree(truth_file.shipped_folder(), copy)
    monkeypatch.setattr(truth_file, "shipped_folder", lambda: copy)
    edited = copy / "nano.json"
    edited.write_text(edited.read_text().replace("0.9", "0.8", 1))
    with pytest.raises(StorageError, match=r"nano\.json is not the file that kit was shipped with"):
        load_truth(edited)
    assert load_truth(copy / "fashion.json").profile == "fashion"
    elsewhere = tmp_path / "mine.json"
    shutil.copy(edited, elsewhere)
    assert load_truth(elsewhere).profile == "nano", "a file of one's own may say anything"
