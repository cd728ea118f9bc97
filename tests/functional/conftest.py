"""A run that has every kind of phase and takes seconds: the recipe and profile of the functional tests."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from event_logs import read_events
from kit_process import CODE, PATIENCE, use_server

from kit.cli.main import main
from kit.events import Event

PROFILE = """
name = "tiny"
title = "for tests"
data = "digits"
num_classes = 10
resolution = 8
images = { augmentation = "shift", train = 200, validation = 60 }
training = { batch_size = 8, steps_per_epoch = 2, learning_rate_factor = 16.0 }
calibration = { batches = 2, batch_size = 16 }
evaluation = { batch_size = 32 }
pool = { size = 60 }
truth = { architectures = 3, seeds = 2, epochs = 1, batch_size = 50, learning_rate = 0.1 }
runtime = { threads = 1, checkpoint_seconds = 0.0, held_out_images = 0 }

[network]
base_channels = [3, 4, 5, 6]
ratios = [1, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4]
divisor = 1
stem = { kernel = 3, stride = 2, pool = false }
"""

RECIPE = """
name = "small"
title = "every kind of phase"

[partition]
stages = [4]
cells = [["2"]]
rest = true

[[phases]]
name = "pretrain"
method = "pretrain"
epochs = 2
learning_rate = 0.1

[[phases]]
name = "D"
method = "uniform"
epochs = 2
learning_rate = 0.004
paths = 2
max_digits = [1, 1, 1, 1]

[[phases]]
name = "W"
method = "uniform"
epochs = 2
learning_rate = 0.004
paths = 2

[[phases]]
name = "CPT"
method = "candidates"
epochs = 3
learning_rate = 0.004
candidates = 3
recent = 5

[[phases]]
name = "SSE-0"
method = "candidates"
cell = 0
epochs = 2
learning_rate = 0.004
candidates = 2
recent = 5
sampled_weight = 0.4
candidates_weight = 0.2
distillation = 0.4
"""


QUICK = """
name = "quick"
title = "one step, then another"

[[phases]]
name = "pretrain"
method = "pretrain"
epochs = 1
learning_rate = 0.1

[[phases]]
name = "W"
method = "uniform"
epochs = 1
learning_rate = 0.1
paths = 1
"""
CHEAP = (
    "pool.size=24",
    "training.steps_per_epoch=1",
    "training.batch_size=8",
    "calibration.batches=1",
    "calibration.batch_size=8",
)


def pytest_configure() -> None:
    use_server()


@dataclass(frozen=True)
class Small:
    """The small run's files and a place for runs."""

    recipe: Path
    profile: Path
    runs: Path

    @property
    def run(self) -> Path:
        """The run's directory; a run of several processes has a longer name."""
        found = [path.parent for path in self.runs.glob("small-tiny-s0*/resolved.json")]
        return found[0] if len(found) == 1 else self.runs / "small-tiny-s0"

    @property
    def events(self) -> list[Event]:
        return read_events(self.run / "events.jsonl")

    def arguments(self, *options: str, runs: Path | None = None) -> list[str]:
        where = ["--profile", str(self.profile), "--runs", str(runs or self.runs)]
        return ["run", "recipe", str(self.recipe), *where, *options]

    def results(self, run: Path | None = None) -> tuple[bytes, bytes]:
        """Bytes of the final weights and of the predictions."""
        folder = run or self.run
        return (folder / "weights" / "supernet.safetensors").read_bytes(), (folder / "predictions.json").read_bytes()


@pytest.fixture(scope="session")
def make_small() -> Callable[[Path], Small]:
    """Lay out the small run's files in a folder."""

    def make(folder: Path) -> Small:
        recipe, profile = folder / "small.toml", folder / "tiny.toml"
        recipe.write_text(RECIPE)
        profile.write_text(PROFILE)
        return Small(recipe, profile, folder / "runs")

    return make


@pytest.fixture
def small(tmp_path: Path, make_small: Callable[[Path], Small]) -> Small:
    return make_small(tmp_path)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, trained_once: Small) -> Path:
    """The directory of the finished small run, packed once. Read it, or copy it."""
    return Path(shutil.copytree(trained_once.runs, tmp_path_factory.mktemp("finished") / "runs")) / "small-tiny-s0"


@pytest.fixture(scope="session")
def built_archive(finished_run: Path) -> Path:
    """The archive of the finished small run."""
    archive = finished_run.parent.parent / "small.tar"
    succeed("submission", "build", str(finished_run), "--out", str(archive))
    return archive


def succeed(*arguments: str) -> None:
    """A command in this process that must not fail."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        assert not stop.code, arguments


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, make_small: Callable[[Path], Small]) -> Small:
    """The small run, finished; for copying."""
    small = make_small(tmp_path_factory.mktemp("trained"))
    succeed(*small.arguments())
    return small


@pytest.fixture
def trained(small: Small, trained_once: Small) -> Small:
    """The small run, finished, for one test alone."""
    shutil.copytree(trained_once.runs, small.runs)
    return small


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., list[str]]:
    """Arguments of a run on `nano` that takes half a second: two phases of one step, 24 architectures."""

    def arguments(name: str = "quick", **changes: str) -> list[str]:
        recipe = tmp_path / f"{name}.toml"
        text = QUICK.replace("quick", name)
        for old, new in changes.items():
            text = text.replace(f"{old} = ", f"{old} = {new} # ")
        recipe.write_text(text)
        cheap = [word for setting in CHEAP for word in ("--set", f"profile.{setting}")]
        return ["run", "recipe", str(recipe), "--runs", str(tmp_path / "runs"), *cheap]

    return arguments


@pytest.fixture
def settled_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The same clock, folder and dashboard settings wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("KIT_DASHBOARD", str(tmp_path / "none.toml"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def kit(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process, as the console script does."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run


class Process:
    """A `kit` process of its own, in its own group."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            command = [sys.executable, "-c", CODE, *arguments]
            self.popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True)

    def wait_for(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Whether `ready` became true before the process ended."""
        deadline = time.monotonic() + seconds
        while self.popen.poll() is None:
            asked = time.monotonic()
            if ready():
                return True
            assert asked < deadline, self.log.read_text()
            time.sleep(max(0.002, time.monotonic() - asked))  # Asking must not take the processor from who works.
        return False

    def send(self, number: signal.Signals) -> None:
        os.kill(self.popen.pid, number)

    def end(self, seconds: float = PATIENCE) -> int:
        return self.popen.wait(seconds)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[list[str]], Process]]:
    """Start `kit` processes; what still runs at the end of the test is killed."""
    processes: list[Process] = []

    def begin(arguments: list[str]) -> Process:
        processes.append(Process(arguments, tmp_path / f"process-{len(processes)}.log"))
        return processes[-1]

    yield begin
    for process in processes:
        if process.popen.poll() is None:
            process.send(signal.SIGKILL)
            process.end()
