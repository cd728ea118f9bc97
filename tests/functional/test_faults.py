"""Every operation under every fault: the catalogue of docs/reliability.md, and the tests behind it.

`python tests/functional/test_faults.py` writes the page anew. A fault of the operating system comes from `faults.c`, loaded
before libc, so that the kit and its libraries meet it where they would meet it in earnest.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import Small
from kit_process import PATIENCE
from PIL import Image

OPERATIONS = {
    "train": "`kit run recipe`: phases",
    "score": "`kit evaluate`, and the scoring of a run",
    "truth": "`kit run truth`",
    "build": "`kit submission build`",
    "check": "`kit submission check`",
    "dashboard": "`kit dashboard`",
}
FAULTS = {
    "kill": "SIGKILL",
    "term": "SIGTERM",
    "hup": "SIGHUP",
    "full": "disk full",
    "readonly": "read-only",
    "nolocks": "no locks",
    "clock": "clock back an hour",
    "torn": "torn last line",
    "flipped": "flipped bit",
    "memory": "out of memory",
    "lost": "worker lost",
    "hung": "worker hung",
    "changed": "data changed",
}

CONTINUES = "dies; the same command continues, with the same results"
STOPS = "saves, exit 143; the same command continues, with the same results"
HINT = "exit 3 with a hint; the same command continues, with the same results"
UNLOCKED = "exit 3 that says what is lost without locks; with `KIT_LOCKS=off` as ever"
READS = "only reads: the same answer"
ENDS = "ends; nothing has changed"
SAME = "the same results"
REDONE = "what is damaged is refused by name or done again; the same results"
SHOWN = "shows what can be read"
FOUND = "exit 1; the rule names the file"
HALVES = "smaller portions, the same scores; else exit 3 with a hint"
WAITED = "ends with a hint; the same command continues, with the same results"
REFUSED = "refused, naming the change; nothing is touched"
BESIDE = "another run, or another evaluation, beside the old one, which is not touched"


@dataclass(frozen=True)
class Cell:
    """What is promised of an operation under a fault, and where that is shown."""

    promise: str
    test: str = "test_faults.py::test_the_promise_is_kept"
    code: int = 0
    """The exit code under the fault; the same command without it ends with 0."""
    number: int = 0
    """What the fault counts; see `faults.c`."""


DAMAGE = "test_faults.py::test_damage_is_refused_or_mended"
TAMPERING = "test_submission_tampering.py::test_tampering_is_found_by_the_rule_that_is_about_it"
PROCESSES = "test_processes.py"
CATALOGUE: dict[tuple[str, str], Cell] = {
    ("train", "kill"): Cell(CONTINUES, "test_resume.py::test_sigkill_at_ten_moments_changes_nothing"),
    ("score", "kill"): Cell(CONTINUES, code=-9, number=4000),
    ("truth", "kill"): Cell(CONTINUES, code=-9, number=3000),
    ("build", "kill"): Cell(CONTINUES, "test_submission_build.py::test_a_stopped_build_leaves_nothing_half_done"),
    ("check", "kill"): Cell(ENDS, code=-9),
    ("dashboard", "kill"): Cell(ENDS, code=-9),
    ("train", "term"): Cell(STOPS, "test_terminal_gone.py::test_what_schedulers_send_saves"),
    ("score", "term"): Cell(STOPS, code=143, number=4000),
    ("truth", "term"): Cell(STOPS, code=143, number=3000),
    ("build", "term"): Cell(STOPS, "test_submission_build.py::test_a_stopped_build_leaves_nothing_half_done"),
    ("check", "term"): Cell(ENDS, code=-15),
    ("dashboard", "term"): Cell(ENDS, code=-15),
    ("train", "hup"): Cell(STOPS, "test_terminal_gone.py::test_what_schedulers_send_saves"),
    ("score", "hup"): Cell(STOPS, code=143, number=4000),
    ("truth", "hup"): Cell(STOPS, code=143, number=3000),
    ("build", "hup"): Cell(STOPS, code=143, number=100_000),
    ("check", "hup"): Cell(ENDS, code=-1),
    ("dashboard", "hup"): Cell(ENDS, code=-1),
    ("train", "full"): Cell(HINT, code=3, number=60_000),
    ("score", "full"): Cell(HINT, code=3, number=4000),
    ("truth", "full"): Cell(HINT, code=3, number=3000),
    ("build", "full"): Cell(HINT, code=3, number=100_000),
    ("check", "full"): Cell(READS),
    ("dashboard", "full"): Cell(READS),
    ("train", "readonly"): Cell(HINT, code=3),
    ("score", "readonly"): Cell(HINT, code=3),
    ("truth", "readonly"): Cell(HINT, code=3),
    ("build", "readonly"): Cell(HINT, code=3),
    ("check", "readonly"): Cell(READS),
    ("dashboard", "readonly"): Cell(READS),
    ("train", "nolocks"): Cell(UNLOCKED, code=3),
    ("score", "nolocks"): Cell(UNLOCKED, code=3),
    ("truth", "nolocks"): Cell(UNLOCKED, code=3),
    ("build", "nolocks"): Cell(UNLOCKED, code=3),
    ("check", "nolocks"): Cell(READS),
    ("dashboard", "nolocks"): Cell(READS),
    ("train", "clock"): Cell(SAME, number=20_000),
    ("score", "clock"): Cell(SAME, number=4000),
    ("truth", "clock"): Cell(SAME, number=3000),
    ("build", "clock"): Cell(SAME, number=100_000),
    ("check", "clock"): Cell(SAME),
    ("dashboard", "clock"): Cell(SAME),
    ("train", "torn"): Cell(REDONE, DAMAGE),
    ("score", "torn"): Cell(REDONE, "test_sweep.py::test_kills_torn_lines_and_another_pool_change_no_score"),
    ("truth", "torn"): Cell(REDONE, DAMAGE),
    ("build", "torn"): Cell(REDONE, DAMAGE),
    ("check", "torn"): Cell(FOUND, TAMPERING),
    ("dashboard", "torn"): Cell(SHOWN, DAMAGE),
    ("train", "flipped"): Cell(REDONE, DAMAGE),
    ("score", "flipped"): Cell(REDONE, DAMAGE),
    ("truth", "flipped"): Cell(REDONE, DAMAGE),
    ("build", "flipped"): Cell(REDONE, DAMAGE),
    ("check", "flipped"): Cell(FOUND, TAMPERING),
    ("dashboard", "flipped"): Cell(SHOWN, DAMAGE),
    ("train", "memory"): Cell(HINT, code=3, number=4000),
    ("score", "memory"): Cell(HALVES, code=3, number=4000),
    ("truth", "memory"): Cell(HINT, code=3, number=20_000),
    ("build", "memory"): Cell(HINT, code=3, number=4000),
    ("train", "lost"): Cell(
        WAITED, f"{PROCESSES}::test_without_restarts_a_lost_process_ends_the_command_and_the_next_one_continues"
    ),
    ("score", "lost"): Cell(SAME, f"{PROCESSES}::test_scores_do_not_depend_on_who_computed_them"),
    ("truth", "lost"): Cell(WAITED, "test_faults.py::test_a_lost_worker_of_a_truth"),
    ("train", "hung"): Cell(WAITED, f"{PROCESSES}::test_a_process_that_hangs_ends_the_command"),
    ("score", "hung"): Cell(WAITED, f"{PROCESSES}::test_a_hanging_worker_is_noticed_by_those_who_wait_for_it"),
    ("train", "changed"): Cell(BESIDE, "test_faults.py::test_changed_data_touch_nothing"),
    ("score", "changed"): Cell(BESIDE, "test_faults.py::test_changed_data_touch_nothing"),
    ("truth", "changed"): Cell(REFUSED, "test_faults.py::test_changed_data_touch_nothing"),
    ("build", "changed"): Cell(REFUSED, "test_faults.py::test_changed_data_touch_nothing"),
}


COMPUTED = ("weights/", "onnx/", "results/pool", "results/evaluations")
"""Members that training and scoring made. The others describe the run, and are packed as they are."""


@dataclass(frozen=True)
class World:
    """A finished small run with its archive, for one operation alone."""

    small: Small
    folder: Path
    name: str = "small-tiny-s0"

    def command(self, operation: str) -> list[str]:
        small, runs = self.small, ["--runs", str(self.small.runs)]
        run = str(small.runs / self.name)
        return {
            "train": small.arguments(),
            "score": ["evaluate", run, "--pool", str(self.folder / "pool.json"), "--json", *runs],
            "truth": ["run", "truth", "--profile", str(small.profile), "--json", *runs],
            "build": ["submission", "build", run, "--out", str(small.runs / "out.tar"), *runs],
            "check": ["submission", "check", str(small.runs / "small.tar"), "--json"],
            "dashboard": ["dashboard", run, "--once", "--size", "100x30", "--screen", "rank", *runs],
        }[operation]

    def result(self, operation: str, out: str) -> object:
        """What must not depend on any fault."""
        runs = self.small.runs
        if operation == "train":
            return self.small.results()
        if operation == "score":
            return Path(json.loads(out)["predictions"]).read_bytes()
        if operation == "truth":
            return json.loads((runs / "truth-tiny" / "truth.json").read_bytes())["architectures"]
        if operation == "build":
            with tarfile.open(runs / "out.tar") as archive:
                members = archive.getmembers()
                return {each.name: archive.extractfile(each).read() for each in members if each.name.startswith(COMPUTED)}
        return json.loads(out) if operation == "check" else out

    def run(self, operation: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kit.cli.main", *self.command(operation)]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in out + err, err
        assert not left_behind(process.pid), "nobody that a command started outlives it"
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def left_behind(session: int) -> list[int]:
    """Processes of a session that have not ended after some time."""
    for _ in range(100):
        members = [pid for pid in psutil.pids() if lives_in(session, pid)]
        if not members:
            break
        time.sleep(0.1)
    return members


def lives_in(session: int, pid: int) -> bool:
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that brings faults."""
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, built_archive: Path, make_small: Callable[[Path], Small]
) -> Path:
    """What every world is a copy of."""
    from kit.pool import draw_pool, write_predictions
    from kit.recipe import load_profile

    folder = tmp_path_factory.mktemp("model")
    make_small(folder)
    shutil.copytree(finished_run.parent, folder / "runs")
    shutil.copy(built_archive, folder / "runs" / "small.tar")
    pool = draw_pool(load_profile(str(folder / "tiny.toml")).published_space, 70, 7)
    write_predictions(folder / "pool.json", pool, [0.0] * 70)
    return folder


@pytest.fixture
def world(tmp_path: Path, model: Path, make_small: Callable[[Path], Small]) -> Callable[[str], World]:
    """A copy of the model for an operation, always at the same path of a test."""

    def make(operation: str) -> World:
        folder = tmp_path / "world"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model, folder)
        if operation in ("train", "truth"):
            shutil.rmtree(folder / "runs")
        if operation == "build":
            shutil.rmtree(folder / "runs" / "small-tiny-s0" / "exports" / "weights")
        return World(make_small(folder), folder)

    return make


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, object]:
    """Results by operation, filled in by whoever needs one first."""
    return {}


def tried_here() -> Iterator[tuple[str, str]]:
    return ((operation, fault) for (operation, fault), cell in CATALOGUE.items() if cell.test == Cell.test)


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "fault"), [pytest.param(*pair, id="-".join(pair)) for pair in tried_here()])
def test_the_promise_is_kept(world, faults, undisturbed, operation, fault):
    cell = CATALOGUE[operation, fault]
    if operation not in undisturbed:
        quiet = world(operation)
        undisturbed[operation] = quiet.result(operation, quiet.run(operation).stdout)
    there = world(operation)
    world_with_fault = {"LD_PRELOAD": str(faults), "KIT_FAULT": f"{fault}:{cell.number}:{there.small.runs}"}
    disturbed = there.run(operation, **world_with_fault)
    assert disturbed.returncode == cell.code, disturbed.stderr
    if cell.code == 3:
        assert "\nhint: " in disturbed.stderr
    # Locks do not come back: the promise is that the command goes on without them where it is told to.
    after = {**world_with_fault, "KIT_LOCKS": "off"} if fault == "nolocks" else {}
    again = disturbed if cell.code == 0 else there.run(operation, **after)
    assert again.returncode == 0, again.stderr
    assert there.result(operation, again.stdout) == undisturbed[operation]


def damage(operation: str, world: World) -> list[Path]:
    """Files of each kind that an operation reads, among those that a run makes."""
    run, phases = world.small.runs / "small-tiny-s0", world.small.runs / "phases"
    if operation == "truth":
        return [path for path in (world.small.runs / "truth-tiny").iterdir() if path.stat().st_size]
    files = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size and "exports" not in path.parts]
    if operation == "dashboard":
        files = [path for path in files if path.suffix in (".json", ".jsonl") and path.name != "environment.json"]
    if operation == "train":
        files += [path for path in sorted(phases.glob("*"))[0].iterdir() if path.stat().st_size]
    return sorted(files)


def tear(data: bytes) -> bytes:
    return data[:-7]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "fault"), [pair for pair, cell in CATALOGUE.items() if cell.test == DAMAGE])
def test_damage_is_refused_or_mended(world, kit, undisturbed, operation, fault):
    """In each kind of file that the operation reads, one after the other: no traceback, and never another result."""
    there = world("check" if operation == "train" else operation)
    if operation in ("train", "truth"):
        assert kit(*there.command(operation)).code == 0
    expected = there.result(operation, kit(*there.command(operation)).out)
    for path in damage(operation, there):
        if fault == "torn" and path.suffix != ".jsonl":
            continue
        whole = path.read_bytes()
        path.write_bytes((tear if fault == "torn" else flip)(whole))
        try:
            outcome = kit(*there.command(operation))
            assert outcome.code in (0, 2, 3), (path, outcome)
            if outcome.code:
                assert path.name in outcome.err or path.parent.name in outcome.err, (path, outcome.err)
            elif operation != "dashboard":
                assert there.result(operation, outcome.out) == expected, path
        finally:
            path.write_bytes(whole)


@pytest.mark.slow
def test_a_lost_worker_of_a_truth(world, kit, start):
    there = world("truth")
    many = ["--architectures", "12", "--set", "profile.truth.epochs=4", "--workers", "2"]
    process = start([*there.command("truth"), *many])
    trainings = there.small.runs / "truth-tiny" / "trainings.jsonl"
    assert process.wait_for(lambda: trainings.exists() and trainings.read_bytes().count(b"\n") >= 2)
    psutil.Process(process.popen.pid).children()[-1].kill()
    assert process.end() == 4 and "hint: run the same command again" in process.log.read_text()
    assert kit(*there.command("truth"), *many).code == 0
    assert len(json.loads((there.small.runs / "truth-tiny" / "truth.json").read_bytes())["architectures"]) == 12


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image folder."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("images") / "images"
    for split, count in (("train", 20), ("val", 6)):
        for name in map(str, range(10)):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    return folder


@pytest.mark.slow
def test_changed_data_touch_nothing(world, kit, images, tmp_path):
    data = ["--data", f"folder:{shutil.copytree(images, tmp_path / 'images')}"]
    there = world("train")
    for operation in ("train", "truth"):
        assert kit(*there.command(operation), *data).code == 0
    [run] = there.small.runs.glob("small-tiny-s0-*")
    with Image.open(tmp_path / "images" / "train" / "3" / "5.png") as image:
        changed = Image.fromarray(255 - np.asarray(image))
    changed.save(tmp_path / "images" / "train" / "3" / "5.png")
    before = {path: path.read_bytes() for path in there.small.runs.rglob("*") if path.is_file() and path.name != ".lock"}
    there = replace(there, name=run.name)
    assert kit(*there.command("train"), *data).code == 0 and len(list(there.small.runs.glob("small-tiny-s0-*"))) == 2
    assert kit(*there.command("score")).code == 0
    for operation in ("truth", "build"):
        refused = kit(*there.command(operation), *(data if operation == "truth" else []))
        assert refused.code in (2, 3) and "data" in refused.err and "hint: " in refused.err, (operation, refused)
    assert all(path.read_bytes().startswith(content) for path, content in before.items()), "at most, records are added"


def page() -> str:
    """The catalogue as a page of the documentation."""
    lines = [
        "# What happens when something goes wrong",
        "",
        "Written by `python tests/functional/test_faults.py`; do not edit. Each row is shown by the test that it names, in",
        "`tests/functional` or `tests/unit`. A combination that is missing cannot occur: `check` and `dashboard` have no",
        "workers, for instance.",
        "",
    ]
    for operation, title in OPERATIONS.items():
        lines += [f"## {title}", "", "| fault | what is promised | test |", "|---|---|---|"]
        for fault, words in FAULTS.items():
            if cell := CATALOGUE.get((operation, fault)):
                lines.append(f"| {words} | {cell.promise} | `{cell.test}` |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def page_path(checkout: Path) -> Path:
    return checkout / "docs" / "reliability.md"


def test_the_page_is_the_catalogue(checkout):
    assert page_path(checkout).read_text() == page(), "run: python tests/functional/test_faults.py"


def test_every_cell_has_its_test(checkout):
    for cell in CATALOGUE.values():
        file, name = cell.test.split("::")
        [path] = (checkout / "tests").glob(f"*/{file}")
        assert name in {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


if __name__ == "__main__":
    page_path(Path(__file__).resolve().parents[2]).write_text(page())
