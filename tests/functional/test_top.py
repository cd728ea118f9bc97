"""`kit evaluate --top K`: the best of a pool without scoring all of it on all images."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from kit.evaluation import Evaluator
from kit.records import read_records


def top(small, *options):
    return ["evaluate", str(small.run), *options]


def test_it_finds_the_full_sweeps_best_in_fewer_passes_either_way(trained, kit):
    small = trained
    own = (small.run / "predictions.json").read_bytes()
    outcome = kit(*top(small, "--top", "5%", "--json"))
    assert outcome.code == 0, outcome.err
    found = outcome.json
    best = found["top"]
    whole = {entry["arch"]: entry["acc"] for entry in json.loads(own).values()}
    border = sorted(whole.values())[-3]
    assert best["k"] == len(best["codes"]) == 3 and best["settled"] and best["confidence"] == 0.95
    assert all(whole[code] >= border for code in best["codes"]), "with the last of them equal ones count, too"
    assert [each["images"] for each in best["rounds"]] == [40, 60]
    assert best["rounds"][0]["subnets"] == found["subnets"] == 60
    assert best["full_image_passes"] == 60 * (32 + 60)
    # Every sub-network is calibrated once, whatever round it gets to.
    assert best["image_passes"] == 60 * (32 + 40) + best["rounds"][1]["subnets"] * 20 < best["full_image_passes"]
    assert [each["image_passes"] for each in best["rounds"]] == [60 * 72, best["rounds"][1]["subnets"] * 20]
    # What is approximate is told beside the predictions, which are the whole pool's, and not the run's own.
    predictions = json.loads(Path(found["predictions"]).read_text())
    kept = json.loads(Path(found["predictions"]).with_suffix(".top.json").read_text())
    assert {name: entry["arch"] for name, entry in predictions.items()} == {
        name: entry["arch"] for name, entry in json.loads(own).items()
    }
    assert set(kept["images"].values()) <= {40, 60} and {kept["images"][code] for code in best["codes"]} <= {40, 60}
    for entry in predictions.values():
        if kept["images"][entry["arch"]] == 60:
            assert entry["acc"] == whole[entry["arch"]], "on all images scores are the full sweep's"
    assert (small.run / "predictions.json").read_bytes() == own
    assert kit("evaluate", str(small.run), "--json").json["scored_now"] == 0, "the run's own scores are still there"
    one = kit(*top(small, "--top", "3", "--method", "one-by-one", "--json")).json
    assert one["top"] == best and not list(small.run.glob("statistics-*"))
    assert json.loads(Path(one["predictions"]).read_text()) == predictions
    again = kit(*top(small, "--top", "3", "--json")).json
    assert again["scored_now"] == 0 and again["predictions"] == found["predictions"] and again["top"] == best


def test_people_see_the_rounds_and_the_best(trained, kit):
    outcome = kit(*top(trained, "--top", "2"))
    assert outcome.code == 0, outcome.err
    assert "image passes" in outcome.out and "the best 2 on all images, at 95% confidence" in outcome.out
    assert "round 1: 60 sub-networks on 40 of 60 images" in outcome.err
    listed = kit("runs", "list", "--runs", str(trained.runs), "--json").json["runs"]
    assert [run["state"] for run in listed if run["kind"] == "evaluation"] == ["finished"]


def test_the_waiting_of_all_rounds_counts(trained, kit, monkeypatch):
    monkeypatch.setattr(Evaluator, "waited", 5.0)
    found = kit(*top(trained, "--top", "5%", "--json")).json
    assert len(found["top"]["rounds"]) == 2
    assert found["idle_share"] * found["seconds"] == pytest.approx(10.0)


def test_all_of_a_pool_need_one_round(trained, kit):
    found = kit(*top(trained, "--top", "100%", "--limit", "7", "--json")).json["top"]
    assert found["k"] == 7 and found["settled"] and len(found["rounds"]) == 1


@pytest.mark.slow
def test_what_was_killed_goes_on_to_the_same_bytes(trained, kit, start, tmp_path):
    small, other = trained, tmp_path / "undisturbed"
    shutil.copytree(small.runs, other)
    arguments = ["--top", "3", "--method", "one-by-one", "--json"]
    answers = small.run / "answers.jsonl"
    process = start(top(small, *arguments))
    assert process.wait_for(lambda: answers.exists() and answers.read_bytes().count(b"\n") > 20)
    process.send(signal.SIGKILL)
    process.end()
    after = len(read_records(answers))
    resumed = kit(*top(small, *arguments)).json
    scored = sum(each["subnets"] for each in resumed["top"]["rounds"])
    assert 20 < after < scored == len(read_records(answers)), "no sub-network is scored twice on the same images"
    undisturbed = kit("evaluate", str(other / small.run.name), *arguments).json
    for suffix in (".json", ".top.json"):
        one, two = (Path(each["predictions"]).with_suffix(suffix) for each in (resumed, undisturbed))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_two_processes_find_the_same(trained, kit, start):
    arguments = ["--top", "3", "--method", "one-by-one"]
    both = start(top(trained, *arguments, "--nproc-per-node", "2"))
    assert both.end() == 0, both.log.read_text()
    (written,) = trained.run.glob("*.top.json")
    expected = written.read_bytes()
    assert kit(*top(trained, *arguments, "--fresh", "--json")).json["scored_now"] == 60
    assert written.read_bytes() == expected and not list(trained.run.glob("answers.rank*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top", "0"], "no count like 10"),
        (["--top", "101%"], "no count like 10"),
        (["--top", "61"], "there are only 60 architectures"),
        (["--top", "3", "--images", "20"], "leave --images out"),
        (["--top", "3", "--until-ci", "0.1"], "--until-ci cannot stand with --top"),
        (["--top", "3", "--truth", "nano"], "--truth cannot stand with --top"),
        (["--top", "3", "--confidence", "95"], "a fraction from 0.5 to 0.99"),
        (["--top", "3", "--confidence", "nan"], "a fraction from 0.5 to 0.99"),
        (["--confidence", "0.9"], "add --top K"),
    ],
)
def test_what_cannot_be_is_refused(finished_run, kit, options, message):
    refused = kit("evaluate", str(finished_run), *options)
    assert refused.code == 2 and message in refused.err
