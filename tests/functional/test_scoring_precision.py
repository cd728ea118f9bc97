"""The precision of scoring is a setting of its own: told with every result, and no part of what was trained."""

import json
from pathlib import Path

from kit.results import ResultsReader
from kit.submission.archive import unpack_archive


def test_it_is_told_and_leaves_the_runs_own_scores_alone(trained, kit):
    small = trained
    own = (small.run / "predictions.json").read_bytes()
    assert kit("evaluate", str(small.run), "--json").json["precision"] == "float32"
    low = kit("evaluate", str(small.run), "--set", "profile.evaluation.precision=bfloat16", "--json")
    assert low.code == 0, low.err
    found = low.json
    assert found["precision"] == "bfloat16" and found["scored_now"] == 60
    assert (small.run / "predictions.json").read_bytes() == own, "the run's own predictions stay"
    scores = json.loads(Path(found["predictions"]).read_text())
    assert scores.keys() == json.loads(own).keys() and found["predictions"] != str(small.run / "predictions.json")
    # Both lie beside each other under keys of their own, and are found again.
    again = kit("evaluate", str(small.run), "--set", "profile.evaluation.precision=bfloat16", "--json").json
    assert again["scored_now"] == 0 and again["predictions"] == found["predictions"]
    assert kit("evaluate", str(small.run), "--json").json["scored_now"] == 0
    # float32 is what was trained in, so naming it asks for the same scores.
    named = kit("evaluate", str(small.run), "--set", "profile.runtime.threads=1", "--json").json
    assert named["predictions"] == str(small.run / "predictions.json") and named["scored_now"] == 0
    reader = ResultsReader(small.run / "evaluations.jsonl")
    reader.look()
    assert len(reader.newest) == 60


def test_what_was_trained_cannot_be_set(trained, kit):
    for wrong in ("profile.network.divisor=2", "phases.D.epochs=2", "evaluation.precision=bfloat16"):
        refused = kit("evaluate", str(trained.run), "--set", wrong)
        assert refused.code == 2 and "only scoring can be set" in refused.err
    unknown = kit("evaluate", str(trained.run), "--set", "profile.evaluation.precision=float8")
    assert unknown.code == 2 and "evaluation.precision" in unknown.err


def test_a_budget_of_images_says_what_it_costs(trained, kit):
    small = trained
    own = (small.run / "predictions.json").read_bytes()
    outcome = kit("evaluate", str(small.run), "--images", "20", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert found["images"] == 20 and 0 < found["standard_error"] < 0.2
    assert -1 <= found["expected_kendall"] <= found["expected_pearson"] <= 1
    assert "scored on 20 of 60 images" in outcome.err and "agreement with all images expected" in outcome.err
    kept = json.loads(Path(found["predictions"]).with_suffix(".budget.json").read_text())
    assert (kept["images"], kept["of"], kept["pearson"]) == (20, 60, found["expected_pearson"])
    scores = [each["acc"] * 20 for each in json.loads(Path(found["predictions"]).read_text()).values()]
    assert all(abs(score - round(score)) < 1e-9 for score in scores)
    assert (small.run / "predictions.json").read_bytes() == own
    # The same images for every architecture and every way; a smaller draw lies inside a larger one.
    one = kit("evaluate", str(small.run), "--images", "20", "--method", "one-by-one", "--json").json
    assert json.loads(Path(one["predictions"]).read_text()) == json.loads(Path(found["predictions"]).read_text())
    whole = kit("evaluate", str(small.run), "--json")
    assert "standard_error" not in whole.json and "scored on" not in whole.err
    more = kit("evaluate", str(small.run), "--images", "61")
    assert more.code == 2 and "61 validation images are asked for, there are 60" in more.err


def test_an_archive_of_such_scores_says_so(small, kit, tmp_path):
    options = ["--set", "profile.evaluation.images=20", "--set", "profile.evaluation.precision=bfloat16"]
    run = kit(*small.arguments(*options, "--json"))
    assert run.code == 0, run.err
    archive = tmp_path / "small.tar"
    assert kit("submission", "build", run.json["path"], "--out", str(archive)).code == 0
    assert kit("submission", "check", str(archive)).code == 0
    unpack_archive(archive, tmp_path / "unpacked")
    text = (tmp_path / "unpacked" / "README.md").read_text()
    assert "20 validation images (a stratified draw, not all of them" in text and "in bfloat16" in text
    again = kit("submission", "reproduce", str(archive), "--sample", "5", "--json")
    assert again.code == 0 and again.json["exact"] == 5
