"""A run outlives its terminal: what it would have said is lost, what it trains is not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KIT = [sys.executable, "-m", "kit.cli.main"]


def finished(small) -> bool:
    return type(small.events[-1]).__name__ == "RunFinished"


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>&-", ">&-", ">&- 2>&- <&-", "2>/dev/full", "2> >(head -c 1 >/dev/null)"])
def test_streams_that_take_nothing(small, redirection: str) -> None:
    command = " ".join([*KIT, *small.arguments(), redirection])
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and finished(small), done
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_full_standard_output_is_an_error_after_the_run(small) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*KIT, *small.arguments()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False
        )
    assert done.returncode == 3 and finished(small)
    assert "standard output" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_what_schedulers_send_saves(small, number: signal.Signals, processes: int) -> None:
    options = ["--nproc-per-node", "2"] if processes == 2 else []
    many = ["--set", "profile.training.steps_per_epoch=200"]
    process = subprocess.Popen([*KIT, *small.arguments(*many, *options)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not any(small.runs.glob("phases/*/checkpoint.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 143, said
    [run] = [path.parent for path in small.runs.glob("small-tiny-s0*/resolved.json")]
    last = json.loads((run / "events.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "RunStopped" and "Traceback" not in said


@pytest.mark.slow
def test_nohup_keeps_its_word(small) -> None:
    process = subprocess.Popen(["nohup", *KIT, *small.arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not any(small.runs.glob("phases/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    assert process.wait(300) == 0 and finished(small)


def test_code_in_the_current_folder_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')\n")
    (tmp_path / "tempfile.py").write_text("raise SystemExit('shadowed')\n")
    script = Path(sys.executable).with_name("kit")
    done = subprocess.run(
        [script, "run", "recipe", "spos", "--dry-run", "--nproc-per-node", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
