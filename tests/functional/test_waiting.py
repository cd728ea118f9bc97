"""Two runs of an array need the same phase: the second waits for the first and uses what it leaves."""

import json
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from kit_process import PATIENCE

from kit.files import exclusive_lock
from kit.pipeline import phases
from kit.run_dir import phases_folder


@pytest.fixture
def pretrain(quick, kit, tmp_path):
    """The folder of the phase that every quick run begins with."""
    plan = kit(*quick(), "--dry-run", "--json").json
    return phases_folder(tmp_path / "runs") / plan["phases"][0]["key"]


@pytest.fixture
def until_a_run_waits(tmp_path, monkeypatch):
    """Returns once a run says that it waits: a busy machine takes long to get there."""
    monkeypatch.setattr(phases, "LOOK_AGAIN", 0.02)

    def wait():
        end = time.monotonic() + PATIENCE
        while not any("waiting" in log.read_text() for log in (tmp_path / "runs").glob("*/events.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait


@contextmanager
def held(folder, during):
    """The phase in the hands of another run until `during` has returned."""
    taken = threading.Event()

    def hold():
        with exclusive_lock(folder / ".lock", holder="phase", user="run other-nano-s7"):
            taken.set()
            during()

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(PATIENCE)
    yield
    thread.join()


def kinds(tmp_path, name):
    [log] = (tmp_path / "runs").glob(f"{name}-nano-s0*/events.jsonl")
    return [(event["kind"], event.get("phase")) for event in map(json.loads, log.read_text().splitlines())]


def test_a_run_waits_for_the_phase_that_another_one_trains_and_reuses_it(quick, kit, pretrain, tmp_path, until_a_run_waits):
    assert kit(*quick("first")).code == 0
    manifest = pretrain / phases.MANIFEST
    done = manifest.read_bytes()
    manifest.unlink()

    def finish():
        until_a_run_waits()
        manifest.write_bytes(done)

    with held(pretrain, finish):
        outcome = kit(*quick("second"))
    assert outcome.code == 0
    assert outcome.err.count("waiting: phase pretrain") == 1 and "run other-nano-s7" in outcome.err
    assert ("PhaseReused", "pretrain") in kinds(tmp_path, "second") and ("StepDone", "pretrain") not in kinds(
        tmp_path, "second"
    )


def test_a_run_trains_what_the_one_that_it_waited_for_did_not_finish(quick, kit, pretrain, tmp_path, until_a_run_waits):
    with held(pretrain, until_a_run_waits):
        outcome = kit(*quick())
    assert outcome.code == 0 and "waiting: phase pretrain" in outcome.err
    assert ("PhaseFinished", "pretrain") in kinds(tmp_path, "quick")


def test_a_signal_ends_the_wait(quick, kit, pretrain, until_a_run_waits):
    def stop():
        until_a_run_waits()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)

    with held(pretrain, stop):
        outcome = kit(*quick())
    assert outcome.code == 143 and "waiting: phase pretrain" in outcome.err and "run the same command again" in outcome.err


@pytest.mark.slow
def test_processes_wait_longer_than_their_patience_with_each_other(quick, start, tmp_path):
    impatient = [*quick(), "--nproc-per-node", "2", "--set", "profile.runtime.timeout_seconds=4"]
    endless = [*impatient, "--set", "profile.training.steps_per_epoch=100000"]
    stopped, released = start(endless), threading.Event()
    assert stopped.wait_for(lambda: list((tmp_path / "runs").glob("phases/*/checkpoint.json")))
    stopped.send(signal.SIGTERM)
    assert stopped.end() == 143
    [folder] = (tmp_path / "runs" / "phases").iterdir()
    with held(folder, released.wait):
        try:
            waiting = start([*quick("second"), *endless[len(quick()) :]])
            assert waiting.wait_for(lambda: "waiting: phase pretrain" in waiting.log.read_text())
            time.sleep(6)
            assert waiting.popen.poll() is None, waiting.log.read_text()
            waiting.send(signal.SIGTERM)
            assert waiting.end() == 143 and "Traceback" not in waiting.log.read_text()
        finally:
            released.set()
