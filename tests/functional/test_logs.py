"""Logs of all kinds of runs: what they tell, that they have an end, and that nothing is written after it."""

import json

import pytest
from event_logs import read_events

from kit.events import EvaluationFinished, RunFinished, RunStarted, StepDone, SubnetEvaluated, TrainingDone
from kit.pool import load_pool
from kit.recipe import load_profile
from kit.run_dir import RunDirectory
from kit.watch.run_files import PoolReader

FILES = ("events.jsonl", "weights/supernet.safetensors", "predictions.json", "rank.json", "resolved.json")


def listed(kit, runs):
    return {entry["run"]: entry for entry in kit("runs", "list", "--runs", str(runs), "--json").json["runs"]}


def contents(run):
    return {name: (run / name).read_bytes() for name in FILES if (run / name).exists()}


def test_a_finished_run_answers_from_what_is_there(trained, kit):
    before = contents(trained.run)
    again = kit(*trained.arguments("--json"))
    assert again.code == 0 and again.json["state"] == "finished" and again.json["passes_done"] == again.json["passes"]
    assert kit(*trained.arguments()).out == str(trained.run / "predictions.json") + "\n"
    assert contents(trained.run) == before
    assert sorted(path.name for path in trained.run.glob("events*")) == ["events.jsonl"]


def test_what_is_missing_of_a_finished_run_is_told_in_a_log_of_its_own(trained, kit):
    before = contents(trained.run)
    (trained.run / "evaluations.jsonl").unlink()
    assert kit(*trained.arguments()).code == 0
    assert (trained.run / "events-1.jsonl").read_bytes() == before["events.jsonl"]
    assert (trained.run / "predictions.json").read_bytes() == before["predictions.json"]
    events = trained.events
    assert isinstance(events[0], RunStarted) and isinstance(events[-1], RunFinished)
    assert sum(isinstance(event, SubnetEvaluated) for event in events) == 60
    assert not any(isinstance(event, StepDone) for event in events)
    assert listed(kit, trained.runs)[trained.run.name]["passes_done"] == events[0].passes


@pytest.mark.slow
def test_an_evaluation_has_a_log_of_its_own(trained, kit, tmp_path):
    before = contents(trained.run)
    pool = tmp_path / "pool.json"
    pool.write_text(json.dumps(dict(list(json.loads((trained.run / "pool.json").read_text()).items())[:8])))
    command = ["evaluate", str(trained.run), "--runs", str(trained.runs), "--json", "--profile", str(trained.profile)]
    for options, count, scored in ((("--method", "one-by-one"), 60, 60), ((), 60, 0), (("--pool", str(pool)), 8, 0)):
        document = kit(*command, *options).json
        assert (document["subnets"], document["scored_now"]) == (count, scored)
        found = [RunDirectory(path) for path in trained.runs.glob("evaluation-*")]
        (run,) = [run for run in found if f'"{document["predictions"]}"' in run.resolved.read_text()][-1:]
        entry = listed(kit, trained.runs)[run.id]
        assert (entry["kind"], entry["recipe"], entry["profile"]) == ("evaluation", "small", "tiny")
        assert entry["state"] == "finished" and entry["passes"] == entry["passes_done"]
        view = PoolReader(run).read()
        assert view.error is None and view.rows is not None and view.scores.complete
        space = load_profile(str(trained.profile)).search_space
        assert view.scores.accuracies == dict(load_pool(document["predictions"], space).scores)
    assert len(found) == 3
    kept = {run.id: run.events.read_bytes() for run in found}
    assert kit(*command, "--pool", str(pool)).code == 0
    assert {run.id: run.events.read_bytes() for run in found} == kept
    events = read_events(run.events)
    assert isinstance(events[-2], EvaluationFinished) and isinstance(events[-1], RunFinished)
    assert contents(trained.run) == before
    assert kit("runs", "remove", run.id, "--runs", str(trained.runs)).code == 0


def test_a_truth_is_a_run_with_a_beginning_and_an_end(small, kit):
    command = ["run", "truth", "--profile", str(small.profile), "--runs", str(small.runs), "--workers", "1"]
    assert kit(*command, "--architectures", "2").code == 0
    run = RunDirectory(small.runs / "truth-tiny")
    entry = listed(kit, small.runs)[run.id]
    assert entry == entry | {"kind": "truth", "profile": "tiny", "seed": None, "state": "finished", "pearson": None}
    assert (entry["passes"], entry["passes_done"], entry["phase"]) == (4, 4, "trainings")
    first = run.events.read_bytes()
    done = [event for event in read_events(run.events) if isinstance(event, TrainingDone)]
    assert [event.step for event in done] == [0, 1, 2, 3] and entry["loss"] == done[-1].loss
    document = json.loads((run.path / "truth.json").read_text())
    assert {(event.code, event.accuracy) for event in done} == {
        (row["arch"], accuracy) for row in document["architectures"] for accuracy in row["accuracies"]
    }
    assert kit(*command, "--architectures", "2").code == 0
    assert run.events.read_bytes() == first, "a finished log is not lengthened"
    assert kit(*command, "--architectures", "3").code == 0
    assert (run.path / "events-1.jsonl").read_bytes() == first
    entry = listed(kit, small.runs)[run.id]
    assert (entry["state"], entry["passes"], entry["passes_done"]) == ("finished", 6, 6)
