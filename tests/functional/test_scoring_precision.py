"""The precision of scoring is a setting of its own: told with every result, and no part of what was trained."""

import json
from pathlib import Path

from kit.results import ResultsReader


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
