"""Run directories: which state a run is in, how it is found, and when it must be left alone."""

import json
import os
import re

import pytest

from kit.errors import InputError, StorageError
from kit.events import EventLog, PhaseFinished, PhaseReused, PhaseStarted, RunFinished, RunStarted, RunStopped, StepDone
from kit.files import write_json
from kit.run_dir import (
    RunDirectory,
    all_runs,
    check_same_settings,
    find_run,
    remove_run,
    require_directory,
    write_environment,
)
from kit.watch.run_summary import describe_run

CODES = ("1" * 52, "2" * 52)


@pytest.fixture
def make(tmp_path):
    def make(name, *events, modified=None):
        run = RunDirectory(tmp_path / "runs" / name)
        write_json(run.resolved, {"kind": "recipe", "recipe": {"name": "full"}, "profile": {"name": "nano"}, "seed": 3})
        with EventLog(run.events) as log:
            for event in events:
                log.append(event)
        if modified is not None:
            os.utime(run.resolved, (modified, modified))
        return run

    return make


def started(moment=1.0):
    return RunStarted(
        time=moment, run="r", recipe="full", profile="nano", seed=3, pid=1, phases=("A", "B"), passes=20, continued=False
    )


def phase(name, **changes):
    values = {"epochs": 1, "steps": 5, "paths_per_step": 2, "first_step": 0, "subspace": ""} | changes
    return PhaseStarted(phase=name, key="k", method="uniform", **values)


def step(name, number):
    return StepDone(
        phase=name, step=number, epoch=0, learning_rate=0.1, seconds=1, data_seconds=0, losses=(1.0, 2.0), codes=CODES
    )


FINISHED_A = PhaseFinished(phase="A", key="k", steps=5, loss=1.0)


@pytest.mark.parametrize(
    ("events", "state", "passes"),
    [
        ([], "queued", 0),
        ([started()], "crashed", 0),
        ([started(), phase("A"), step("A", 0)], "crashed", 2),
        ([started(), phase("A"), step("A", 0), RunStopped(run="r", reason="x", exit_code=130)], "stopped", 2),
        # killed after step 2, continued from a checkpoint at step 1: the step done twice counts once
        (
            [started(), phase("A"), step("A", 0), step("A", 1), started(), phase("A", first_step=1), step("A", 1)],
            "crashed",
            4,
        ),
        ([started(), phase("A"), FINISHED_A, RunFinished(run="r")], "finished", 10),
        ([started(), PhaseReused(phase="A", key="k", steps=5, paths_per_step=2), phase("B"), step("B", 0)], "crashed", 12),
    ],
)
def test_state_and_progress_come_from_the_events(make, events, state, passes):
    described = describe_run(make("r", *events)).to_json()
    assert (described["state"], described["passes_done"]) == (state, passes)
    assert (described["run"], described["recipe"], described["profile"], described["seed"]) == ("r", "full", "nano", 3)


def test_a_run_that_is_locked_is_running_and_stays(make):
    run = make("r", started())
    assert not run.is_locked
    with run.locked():
        assert run.is_locked and describe_run(run).status == "running"
        with pytest.raises(StorageError, match="in use by another process"):
            remove_run(run)
    assert run.path.exists() and describe_run(run).status == "crashed"
    remove_run(run)
    assert not run.path.exists()


def test_runs_are_found_newest_first_and_phases_are_none(make, tmp_path):
    runs = tmp_path / "runs"
    for name, moment in (("old", 1), ("new", 3), ("middle", 2)):
        make(name, modified=moment)
    (runs / "phases" / "key").mkdir(parents=True)
    assert [run.id for run in all_runs(runs)] == ["new", "middle", "old"]
    assert all_runs(tmp_path / "none") == []


def test_a_run_is_found_by_id_and_by_path(make, tmp_path, monkeypatch):
    run = make("r")
    elsewhere = tmp_path / "none"
    assert find_run("r", run.path.parent) == find_run(str(run.path), elsewhere) == run
    monkeypatch.chdir(tmp_path)
    assert find_run("runs/r", elsewhere) == run
    with pytest.raises(InputError) as caught:
        find_run("q", run.path.parent)
    assert "'q'" in str(caught.value) and "there are: r" in caught.value.hint
    with pytest.raises(InputError) as caught:
        find_run("q", elsewhere)
    assert "--runs" in caught.value.hint


@pytest.mark.parametrize(
    ("current", "named"),
    [
        ({"seed": 1, "phases": [{"name": "D", "epochs": 2}]}, "seed 0 -> 1"),
        ({"seed": 0, "phases": [{"name": "D", "epochs": 3}]}, "phases.D.epochs 2 -> 3"),
        ({"seed": 0, "phases": []}, "phases"),
        ({"seed": 0, "phases": [{"name": "D", "epochs": 2}], "new": True}, "new None -> True"),
    ],
)
def test_changed_settings_are_named(tmp_path, current, named):
    stored = {"seed": 0, "phases": [{"name": "D", "epochs": 2}]}
    run = RunDirectory(tmp_path / "r")
    check_same_settings(stored, stored, run)
    with pytest.raises(InputError, match=re.escape(named)) as caught:
        check_same_settings(stored, current, run)
    assert "--fresh" in caught.value.hint


def test_a_file_is_no_place_for_runs(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(StorageError, match="cannot create"):
            require_directory(path)


def test_the_environment_names_versions_but_no_person_and_no_machine(tmp_path):
    write_environment(tmp_path / "environment.json")
    text = (tmp_path / "environment.json").read_text()
    assert {"torch", "timm", "numpy"} <= set(json.loads(text)["packages"])
    assert os.uname().nodename not in text and str(tmp_path.home()) not in text
