"""A run in one row: logs of the first version, of a later one, of every kind of run, as `kit runs list --json` has them."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli.main import main
from kit.events import EvaluationStarted, EventLog, RankSoFar, RunStarted, SubnetEvaluated
from kit.files import write_json
from kit.run_dir import RunDirectory
from kit.watch.run_list import follow_runs
from kit.watch.run_summary import RunSummary, describe_run, read_state

RECORDED = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"
FIELDS = [
    "run", "kind", "recipe", "profile", "seed", "state", "started", "updated", "phase", "passes", "passes_done", "loss",
    "pearson", "kendall", "path", "note",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    shutil.copytree(RECORDED, tmp_path / "runs" / RECORDED.name)
    return RunDirectory(tmp_path / "runs" / RECORDED.name)


def listed(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What `kit runs list --json` says of the one run there is."""
    with pytest.raises(SystemExit) as end:
        main(["runs", "list", "--runs", str(run.path.parent), "--json"])
    assert not end.value.code
    (entry,) = json.loads(capsys.readouterr().out)["runs"]
    return entry


def recorded(run: RunDirectory) -> dict[str, object]:
    """What the recorded run's files say, read without the kit."""
    events = [json.loads(line) for line in (RECORDED / "events.jsonl").read_text().splitlines()]
    rank = json.loads((RECORDED / "rank.json").read_text())
    (last,) = [event for event in events if event["kind"] == "StepDone"][-1:]
    return {
        "run": RECORDED.name,
        "kind": "recipe",
        "recipe": "full",
        "profile": "fashion",
        "seed": 0,
        "state": "finished",
        "started": events[0]["time"],
        "updated": events[-1]["time"],
        "phase": last["phase"],
        "passes": events[0]["passes"],
        "passes_done": events[0]["passes"],
        "loss": pytest.approx(sum(last["losses"]) / len(last["losses"])),
        "pearson": rank["pearson"]["value"],
        "kendall": rank["kendall"]["value"],
        "path": str(run.path),
        "note": "",
    }


def test_a_log_of_the_first_version(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    entry = listed(run, capsys)
    assert list(entry) == FIELDS
    assert entry == recorded(run)


def test_a_log_with_fields_and_kinds_that_nobody_knows(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for line in run.events.read_text().splitlines():
        event = json.loads(line)
        lines += [json.dumps({"shiny": [1, {}], **event, "colour": "red"})]
        lines += [json.dumps({"kind": "Teleported", "time": event["time"], "where": None, "phase": 7})]
    run.events.write_text("\n".join(lines) + "\n")
    assert listed(run, capsys) == recorded(run)
    assert read_state(run).unknown == len(lines) // 2


@pytest.mark.parametrize(
    "name", ["epoch", "learning_rate", "seconds", "data_seconds", "profile", "pid", "subspace", "truth"]
)
def test_a_log_without_a_field(run: RunDirectory, capsys: pytest.CaptureFixture[str], name: str) -> None:
    events = [json.loads(line) for line in run.events.read_text().splitlines()]
    kept = [{key: value for key, value in event.items() if key != name} for event in events]
    run.events.write_text("".join(json.dumps(event) + "\n" for event in kept))
    assert listed(run, capsys) == recorded(run)


def test_an_evaluation_counts_sub_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "runs" / "evaluation-x")
    write_json(run.resolved, {"kind": "evaluation", "profile": {"name": "nano"}, "seed": 0})
    figure = {"value": 0.5, "low": 0.25, "high": 0.75}
    with EventLog(run.events) as log:
        log.append(
            RunStarted(
                run=run.id, recipe="", profile="nano", seed=0, pid=1, phases=(), passes=9, continued=False,
                run_kind="evaluation",
            )
        )  # fmt: skip
        log.append(EvaluationStarted(subnets=9, done=3, images=10, calibration_images=10))
        log.append(SubnetEvaluated(code="1", correct=1, images=10, done=4, subnets=9, seconds=1.0))
        log.append(RankSoFar(scored=4, n=4, pearson=figure, kendall=figure))
    entry = listed(run, capsys)
    assert entry == entry | {"kind": "evaluation", "recipe": "evaluation", "state": "crashed", "passes": 9}
    assert (entry["passes_done"], entry["pearson"], entry["kendall"], entry["loss"]) == (4, 0.5, 0.5, None)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: run.resolved.write_text("{"), "damaged"),
        (lambda run: run.events.write_bytes(b"\xff\x00" * 1000), "queued"),
        (lambda run: run.events.unlink(), "queued"),
        (lambda run: (run.events.unlink(), run.events.mkdir()), "damaged"),
    ],
)
def test_damage_is_a_state(run: RunDirectory, damage: Callable[[RunDirectory], object], said: str) -> None:
    damage(run)
    assert describe_run(run).to_json()["state"] == said


def unreadable(path: Path) -> None:
    """What nobody can open, not even root."""
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cannot-be-opened": (lambda run: unreadable(run / "resolved.json"), "cannot read"),
    "is-a-loop": (lambda run: (shutil.rmtree(run), run.symlink_to(run.name)), "cannot read"),
    "settings-torn": (lambda run: (run / "resolved.json").write_bytes(b'{"kind": "rec'), "is not valid JSON"),
    "settings-no-text": (lambda run: (run / "resolved.json").write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
    "log-cannot-be-opened": (lambda run: unreadable(run / "events.jsonl"), "cannot read"),
    "log-no-text": (lambda run: (run / "events.jsonl").write_bytes(b"\xff\x00\n" * 9), "no line of"),
}


def test_an_unreadable_run_is_listed_as_such_beside_the_others(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = run.path.parent
    for name, (damage, _) in DAMAGES.items():
        shutil.copytree(run.path, runs / name)
        damage(runs / name)
    (run.path / ".lock").write_bytes(b"\xff\xfe")
    (runs / "notes.txt").write_text("no run")
    (runs / "lost+found").symlink_to("lost+found")
    with pytest.raises(SystemExit) as end:
        main(["runs", "list", "--runs", str(runs), "--json"])
    assert not end.value.code
    found = {entry["run"]: entry for entry in json.loads(capsys.readouterr().out)["runs"]}
    assert found.keys() == {*DAMAGES, run.id}
    assert (found[run.id]["state"], found[run.id]["note"]) == ("finished", "")
    seen: dict[str, tuple[str, str]] = {}
    stop = threading.Event()

    def post(summaries: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
        seen.update({summary.id: (summary.status, summary.problem) for summary in summaries})
        if complete:
            stop.set()

    follow_runs(runs, post, stop, 0.01)
    for name, (_, problem) in DAMAGES.items():
        assert found[name]["state"] == "damaged" and problem in found[name]["note"], name
        assert seen[name] == ("damaged", found[name]["note"])
    with pytest.raises(SystemExit):
        main(["runs", "list", "--runs", str(runs)])
    told = capsys.readouterr()
    assert all(name in told.out and f"{name}: " in told.err for name in DAMAGES)
