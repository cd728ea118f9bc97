"""A run in one row: logs of the first version, of a later one, of every kind of run, as `kit runs list --json` has them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli.main import main
from kit.events import EvaluationStarted, EventLog, RankSoFar, RunStarted, SubnetEvaluated
from kit.files import write_json
from kit.run_dir import RunDirectory
from kit.watch.run_summary import describe_run, read_state

RECORDED = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"
FIELDS = [
    "run", "kind", "recipe", "profile", "seed", "state", "started", "updated", "phase", "passes", "passes_done", "loss",
    "pearson", "kendall", "path",
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
