"""A run of a recipe is watched while its pool is scored: what the sweep writes reaches screens 3 and 4."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_tools import open_app, shows, text_of, wait_for
from textual.pilot import Pilot

from kit.dashboard.app import DashboardApp
from kit.dashboard.screens.architectures import ArchitecturesScreen
from kit.events import EvaluationFinished, Event, RankMeasured, RunFinished, SubnetEvaluated
from kit.pipeline.recipe_run import RecipeRun
from kit.pipeline.request import RunRequest, resolve
from kit.pipeline.signals import StopFlag
from kit.recipe import load_profile, load_recipe

POOL = 40
pytestmark = pytest.mark.usefixtures("settled_world")


def sweep_until(events: Iterator[Event], done: int) -> float:
    """Let the run go on until so many are scored, or to the end of scoring; the best accuracy of these."""
    best = 0.0
    for event in events:
        if isinstance(event, SubnetEvaluated):
            best = max(best, event.correct / event.images)
        if isinstance(event, EvaluationFinished) or (isinstance(event, SubnetEvaluated) and event.done == done):
            break
    return best


def scored(pilot: Pilot[None]) -> int:
    """What screen 3 says."""
    found = re.search(r" (\d+) scored", text_of(pilot))
    return int(found[1]) if found else 0


def accuracies(pilot: Pilot[None]) -> list[float]:
    """The accuracies on screen 4, from above."""
    return [float(text) for text in re.findall(r"(?m)^\W*arch\d+ +(0\.\d{4}) ", text_of(pilot))]


async def go_to(app: DashboardApp, pilot: Pilot[None], screen: str) -> None:
    app.show(screen)
    await wait_for(pilot, lambda: app.is_settled)


@pytest.mark.slow
async def test_screens_3_and_4_grow_with_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.dashboard.screens.pool_screen.PAUSE", 0.05)
    recipe = load_recipe("baseline")
    once = load_recipe("baseline", [f"phases.{phase.name}.epochs=1" for phase in recipe.phases])
    small = ["training.steps_per_epoch=1", "images.train=200", "images.validation=200", f"pool.size={POOL}"]
    request = RunRequest(recipe=once, profile=load_profile("nano", small), runs=tmp_path / "runs")
    run = RecipeRun(resolve(request), StopFlag())
    events = run.execute()
    best = sweep_until(events, 1)
    async with open_app(request.runs, run=run.directory.id, screen="rank", size=(160, 60)) as (app, pilot):
        assert 0 < scored(pilot) < 3
        await shows(pilot, "known truth: ranks appear here from 3 on")
        for done in (12, 25, POOL):
            best = max(best, sweep_until(events, done))
            assert not run.directory.predictions.exists()
            await go_to(app, pilot, "rank")
            await wait_for(pilot, lambda done=done: scored(pilot) >= done and "Kendall τ" in text_of(pilot))
            await go_to(app, pilot, "architectures")
            assert isinstance(app.screen, ArchitecturesScreen)
            await wait_for(pilot, lambda done=done: len(accuracies(pilot)) >= done)
            shown = accuracies(pilot)
            assert shown == sorted(shown, reverse=True)
            assert shown[0] >= round(best, 4)
        assert len(shown) == POOL
        sweep_until(events, POOL)
        assert run.directory.predictions.exists()
        await go_to(app, pilot, "rank")
        await wait_for(pilot, lambda: scored(pilot) == POOL and app.reading.state.evaluation.finished)
    assert [type(event) for event in events] == [RankMeasured, RunFinished]
    assert not run.directory.is_locked
