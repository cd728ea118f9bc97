"""A ladder on the run screen: what every row does and why, its figures, and how both follow what the ladder writes."""

import json
from pathlib import Path

import pytest
from dashboard_tools import DATA, FASHION, SIZES, check_snapshot, open_app, shows, text_of, wait_for
from textual.widgets import Input

from kit.dashboard.widgets.dialogs import Ask
from kit.dashboard.widgets.ladder_panel import LadderPanel
from kit.events import EventLog, PhaseFailed, PhaseFinished, PhaseReused, PhaseStarted, RunStarted
from kit.files import write_json
from kit.ladder_files import AskedRow, DoneRow, LadderInputs, RowFolder, write_inputs
from kit.ranking.truth_file import shipped_truths
from kit.recipe import load_profile
from kit.run_dir import RunDirectory
from kit.watch.run_summary import read_state
from kit.watch.text import percent

pytestmark = pytest.mark.usefixtures("settled_world")
RECIPES = ("baseline", "biased", "cpt", "sse4", "full")


@pytest.fixture
def rows(checkout: Path) -> dict[str, DoneRow]:
    """Rows that the project keeps, by recipe."""
    kept = checkout / "docs" / "results" / "ladder-nano"
    return {name: DoneRow.model_validate_json((kept / f"{name}-s0.json").read_text()) for name in RECIPES}


@pytest.fixture
def ladder(tmp_path: Path, rows: dict[str, DoneRow]) -> RunDirectory:
    """A ladder half-way: one row found, one that its own run trains, one failed, one to come, one with a damaged file."""
    run = RunDirectory(tmp_path / "runs" / "ladder-nano")
    run.path.mkdir(parents=True)
    profile = load_profile("nano")
    settings = profile.model_dump(mode="json", exclude={"runtime", "data"})
    write_json(run.resolved, {"kind": "ladder", "profile": settings, "data_fingerprint": "x", "inputs": {"data": "digits"}})
    folder = RowFolder(tmp_path / "kept")
    asked = [AskedRow(recipe=name, seed=0, key=row.key, passes=row.passes) for name, row in rows.items()]
    write_inputs(
        run.ladder_inputs,
        LadderInputs(
            rows=tuple(asked),
            folder=str(folder.path),
            truth=str(shipped_truths()["nano"]),
            half=None,
            num_classes=10,
            opponents={"upside-down": {code: -value for code, value in rows["biased"].predictions.items()}},
        ),
    )
    folder.write(rows["baseline"])
    folder.write(rows["full"])
    damaged = folder.file("full", 0)
    damaged.write_text(damaged.read_text()[:200])
    names = tuple(f"{name} s0" for name in RECIPES)
    own = RunDirectory(run.path.parent / "biased-nano-s0")
    own.path.mkdir()
    lines = (DATA / FASHION / "events.jsonl").read_text().splitlines(keepends=True)
    own.events.write_text("".join(lines[:150]))
    started = RunStarted(
        time=100, run=run.id, recipe="", profile="nano", seed=0, pid=1, phases=names, passes=9000, continued=False,
        run_kind="ladder",
    )  # fmt: skip
    sizes = {"epochs": 1, "steps": 1487, "first_step": 0, "subspace": ""}
    with EventLog(run.events) as log:
        log.append(started)
        log.append(PhaseReused(time=101, phase="baseline s0", key=rows["baseline"].key, steps=rows["baseline"].passes))
        log.append(PhaseFailed(time=102, phase="cpt s0", reason="non-finite [red]loss[/red] in phase D1"))
        log.append(PhaseStarted(time=103, phase="biased s0", key="", method="recipe", run=own.id, **sizes))  # type: ignore[arg-type]
    return run


async def test_a_ladder_is_followed_row_by_row(
    ladder: RunDirectory, rows: dict[str, DoneRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.dashboard.screens.run_ladder.POLL", 0.1)
    with ladder.locked():
        async with open_app(ladder.path.parent, screen="rank", size=(140, 40)) as (app, pilot):
            await pilot.press("8")
            # Its figures are those that docs/rank-consistency.md tells of this row.
            await shows(pilot, "+0.775 [+0.712, +0.828]")
            panel = app.screen.query_one(LadderPanel)
            states = {line.name: line.doing for line in panel.table.items if line.status}
            own = read_state(RunDirectory(ladder.path.with_name("biased-nano-s0")))
            assert states.pop("biased") == f"{own.phase} {percent(own.fraction)}"
            assert states == {"baseline": "found", "cpt": "failed", "sse4": "waiting", "full": "failed"}
            text = text_of(pilot)
            assert "one training alone" in text and "the ceiling" in text and "upside-down" in text
            await pilot.press("down", "down")
            await shows(pilot, "non-finite [red]loss[/red] in phase D1")
            await pilot.press("down", "down")
            await shows(pilot, "full-s0.json is not valid JSON")
            await pilot.press("up", "up", "up")
            await check_snapshot(pilot, "ladder-normal")
            await pilot.resize_terminal(*SIZES["narrow"])
            await check_snapshot(pilot, "ladder-narrow")
            await pilot.resize_terminal(140, 40)

            # What the ladder writes is there without a key, and the row of the cursor stays.
            RowFolder(tmp_path / "kept").write(rows["biased"])
            with EventLog(ladder.events) as log:
                log.append(PhaseFinished(phase="biased s0", key=rows["biased"].key, steps=1487, loss=1.0))
            await shows(pilot, "+0.894 [+0.866, +0.919]")
            await shows(pilot, "minus upside-down")
            await pilot.press("enter")
            await shows(pilot, "seed 0")
            await pilot.press("enter", "c")
            await wait_for(pilot, lambda: "Pearson r\t0.89" in app.clipboard)
            await pilot.press("e")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "out.json"
            await pilot.press("enter")
            await wait_for(pilot, (tmp_path / "out.json").exists)
            exported = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())}
            assert exported["biased"]["minus the row above low"] > 0.05 and "not valid JSON" in exported["full"]["why"]
            await pilot.press("slash", *"failed")
            await wait_for(pilot, lambda: [line.name for line in panel.table.items] == ["cpt", "full"])
            await pilot.press("escape", "v")
            await shows(pilot, "cpt s0 failed, the others go on")


@pytest.mark.parametrize("content", ["{", json.dumps({"rows": 3}), None])
async def test_a_ladder_that_does_not_say_what_it_was_asked_for_is_shown(ladder: RunDirectory, content: str | None) -> None:
    ladder.ladder_inputs.unlink() if content is None else ladder.ladder_inputs.write_text(content)
    ladder.ladder.write_text("[]")
    async with open_app(ladder.path.parent, run=ladder.id, screen="run", size=SIZES["narrow"]) as (app, pilot):
        states = {line.name: line.doing for line in app.screen.query_one(LadderPanel).table.items}
        assert states == {"baseline": "found", "biased": "stopped", "cpt": "failed", "sse4": "waiting", "full": "waiting"}
        assert content is None or "ladder-inputs.json is " in text_of(pilot)
