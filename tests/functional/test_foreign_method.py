"""A method from another package: installed, planned, trained, killed and continued; and what is said of bad ones."""

import json
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from event_logs import read_events
from kit_process import CODE

from kit.events import PhaseStarted, RunFinished, StepDone
from kit.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "data" / "annealed_method"
RECIPE = """
name = "mine"
title = "a method that kit does not know"

[[phases]]
name = "pretrain"
method = "pretrain"
epochs = 1
learning_rate = 0.1

[[phases]]
name = "annealed"
method = "annealed"
epochs = 6
learning_rate = 0.02
paths = 3
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip leaves it, entry point and all."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(PACKAGE)], check=True)
    return folder


@pytest.fixture
def mine(small: Any) -> Any:
    small.recipe.write_text(RECIPE)
    return small


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"}


def kit_with(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def run_of(small: Any, runs: Path) -> Path:
    [run] = runs.glob("mine-tiny-s0*")
    return run


@pytest.mark.slow
def test_it_is_validated_planned_trained_killed_and_continued(mine: Any, installed: Path, tmp_path: Path) -> None:
    assert kit_with(installed, "recipes", "validate", str(mine.recipe)).returncode == 0
    plan = kit_with(installed, *mine.arguments("--dry-run", "--json"))
    assert plan.returncode == 0, plan.stderr
    [_, phase] = json.loads(plan.stdout)["phases"]
    assert (phase["method"], phase["paths_per_step"], phase["passes"]) == ("annealed", 3, 36)
    undisturbed = tmp_path / "undisturbed"
    assert kit_with(installed, *mine.arguments(runs=undisturbed)).returncode == 0

    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *mine.arguments()],
        env=environment(installed),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        logs = list(mine.runs.glob("mine-*/events.jsonl"))
        if logs and any(isinstance(each, StepDone) and each.phase == "annealed" for each in read_events(logs[0])):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    done = kit_with(installed, *mine.arguments())
    assert done.returncode == 0, done.stderr
    assert mine.results(run_of(mine, mine.runs)) == mine.results(run_of(mine, undisturbed))

    run = run_of(mine, mine.runs)
    # A ladder takes it as it takes the kit's own, and finds what was trained already.
    where = ["--profile", str(mine.profile), "--runs", str(mine.runs), "--truth", str(run / "predictions.json")]
    ladder = kit_with(installed, "run", "ladder", "--recipes", str(mine.recipe), "--seeds", "1", *where, "--json")
    assert ladder.returncode == 0, ladder.stderr
    [row] = json.loads(ladder.stdout)["rows"]
    assert row["recipe"] == "mine" and row["error"] is None and row["kendall"]["value"] == 1
    # Where the package is not installed, whoever only reads still reads.
    listed = kit_with(tmp_path, "runs", "list", "--runs", str(mine.runs), "--json")
    assert listed.returncode == 0 and json.loads(listed.stdout)["runs"][0]["state"] == "finished"
    archive = tmp_path / "mine.tar"
    assert (built := kit_with(installed, "submission", "build", str(run), "--out", str(archive))).returncode == 0, (
        built.stderr
    )
    checked = kit_with(tmp_path, "submission", "check", str(archive), "--json")
    assert checked.returncode == 0, checked.stdout
    assert read_events(run / "events.jsonl")[-1].__class__ is RunFinished


def test_the_page_shows_this_very_method() -> None:
    assert (PACKAGE / "annealed_method.py").read_text() in (ROOT / "docs" / "methods.md").read_text()


def test_another_source_is_another_phase(mine: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for number, comment in enumerate(("", "\n# the same, told differently\n")):
        folder = tmp_path / f"source{number}"
        folder.mkdir()
        module = f"annealed_{number}"
        (folder / f"{module}.py").write_text((PACKAGE / "annealed_method.py").read_text() + comment)
        monkeypatch.syspath_prepend(str(folder))
        mine.recipe.write_text(RECIPE.replace("paths = 3", f'paths = 3\nmodule = "{module}"'))
        runs = tmp_path / f"runs{number}"
        assert kit(*mine.arguments(runs=runs)).code == 0
        started = [event for event in read_events(run_of(mine, runs) / "events.jsonl") if isinstance(event, PhaseStarted)]
        keys.append([event.key for event in started])
    assert keys[0][0] == keys[1][0] and keys[0][1] != keys[1][1]


def test_who_only_reads_imports_nothing(mine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    mine.recipe.write_text(RECIPE.replace("paths = 3", 'paths = 3\nmodule = "explosive"'))
    phase = load_recipe(str(mine.recipe)).phases[1]
    assert phase.method == "annealed" and phase.model_dump()["paths"] == 3
    # Whether it trains the cells together, only its source could say.
    cells = '[partition]\nstages = [4]\ncells = [["2"]]\nrest = true\n\n'
    mine.recipe.write_text(mine.recipe.read_text().replace("[[phases]]", cells + "[[phases]]", 1))
    assert load_recipe(str(mine.recipe)).partition is not None


BODY = """
from typing import Literal
import random
from kit.methods import Path, Phase, Sampler as Base

class Settings(Phase):
    method: Literal["odd"]

    @property
    def paths_per_step(self):
        return 1

class Sampler(Base):
    def paths(self, step):
        return {answer}
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[]", "paths(0) returned no paths"),
        ("[1]", "1 as path 0, not a Path"),
        ("[Path(self.scope.space.largest, weight=-1.0)]", "must be finite and not negative"),
        ("[Path(self.scope.space.largest, weight=float('nan'))]", "must be finite and not negative"),
        ("[Path(self.scope.space.largest, weight=0.0)]", "nothing to train"),
        ("[Path(self.scope.space.whole.smallest)]", "which is not in the phase's space"),
        ("[Path(self.scope.space.sample(random.Random()))]", "another answer when asked again"),
        ("[Path(self.scope.space.largest, distillation=1.0)]", "needs_teacher is false"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_it_returned_is_told(
    mine: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: str
) -> None:
    module = f"odd_{zlib.crc32(answer.encode())}"
    (tmp_path / f"{module}.py").write_text(BODY.format(answer=answer))
    monkeypatch.syspath_prepend(str(tmp_path))
    mine.recipe.write_text(RECIPE.split('[[phases]]\nname = "annealed"')[0] + _odd(module))
    failed = kit(*mine.arguments())
    assert failed.code == 2 and f"{module}.py" in failed.err and expected in failed.err


OBJECTIVE = (
    BODY.format(answer="[Path(self.scope.space.largest)]")
    + """
from kit.training.objective import Objective as Base

class Objective(Base):
    def loss(self, path, logits, cross_entropy):
        return {answer}
"""
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (OBJECTIVE.format(answer="logits"), "a tensor of shape (8, 10), not one number with a gradient"),
        (OBJECTIVE.format(answer="cross_entropy.detach()"), "not one number with a gradient"),
        (OBJECTIVE.format(answer="3.0"), "loss(...) returned 3.0"),
        (OBJECTIVE.format(answer="logits[100]"), "loss(...) failed: IndexError"),
        (BODY.format(answer="[Path(self.scope.space.largest)]") + "\nObjective = 5\n", "Objective must be a"),
    ],
)
def test_what_its_objective_gives_is_told(
    mine: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    module = f"goal_{zlib.crc32(source.encode())}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    mine.recipe.write_text(RECIPE.split('[[phases]]\nname = "annealed"')[0] + _odd(module))
    failed = kit(*mine.arguments())
    assert failed.code == 2 and f"{module}.py" in failed.err and expected in failed.err


def _odd(module: str) -> str:
    return f'[[phases]]\nname = "odd"\nmethod = "odd"\nmodule = "{module}"\nepochs = 1\nlearning_rate = 0.1\n'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "there is no module 'absent'"),
        ("import nothing_that_is_there", "it cannot be imported: ModuleNotFoundError"),
        ("Settings = 3", "it has no Settings that is a Phase (found 3)"),
    ],
)
def test_a_module_that_is_no_method_is_refused_by_name(
    mine: Any, kit: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, expected: str
) -> None:
    module = "absent"
    if source is not None:
        module = f"broken_{len(source)}"
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
    mine.recipe.write_text(RECIPE.split('[[phases]]\nname = "annealed"')[0] + _odd(module))
    refused = kit("recipes", "validate", str(mine.recipe))
    assert refused.code == 2 and expected in refused.err and "phases.odd.method" in refused.err
