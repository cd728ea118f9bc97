"""What the dashboard's tests share: an app without a terminal, and frames that are compared with golden files."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from kit.dashboard import once
from kit.dashboard.app import DashboardApp
from kit.dashboard.host import Options
from kit.run_dir import RunDirectory

DATA = Path(__file__).resolve().parent.parent / "data" / "runs"
SNAPSHOTS = Path(__file__).resolve().parent.parent / "snapshots"
FASHION = "full-fashion-s0"
SIZES = {"narrow": (80, 24), "wide": (200, 60), "tiny": (20, 5)}


def copy_runs(folder: Path) -> Path:
    """A folder of runs with the recorded one: a real fashion run, its steps thinned to every twentieth."""
    runs = folder / "runs"
    shutil.copytree(DATA, runs)
    return runs


@asynccontextmanager
async def open_app(
    runs: Path, *, run: str | None = None, screen: str = "runs", size: tuple[int, int] = (120, 40), **options: Any
) -> AsyncIterator[tuple[DashboardApp, Pilot[None]]]:
    """The app over a folder of runs, once everything on the disk is on the screen."""
    chosen = None if run is None else RunDirectory(runs / run)
    app = DashboardApp(Options(runs=runs, run=chosen, screen=screen, **options))
    async with app.run_test(size=size, notifications=True) as pilot:
        await wait_for(pilot, lambda: app.is_settled)
        await pilot.pause()
        yield app, pilot


async def wait_for(pilot: Pilot[None], ready: Callable[[], object], seconds: float = 90) -> None:
    """Let the app work until `ready` says yes. It is asked less and less often: asking may paint the whole screen."""
    waited, pause = 0.0, 0.02
    while waited < seconds:
        if ready():
            await pilot.pause()
            return
        await pilot.pause(pause)
        waited, pause = waited + pause, min(0.2, pause * 1.1)
    raise AssertionError(f"waited {seconds} s in vain; on the screen:\n{text_of(pilot)}")


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until the screen shows `text`: a busy machine paints late."""
    await wait_for(pilot, lambda: text in text_of(pilot))


async def hides(pilot: Pilot[None], text: str) -> None:
    """Wait until the screen no longer shows `text`."""
    await wait_for(pilot, lambda: text not in text_of(pilot))


def text_of(pilot: Pilot[None]) -> str:
    """The screen as text, as it is now: what is still being painted is awaited by `shows`."""
    app = pilot.app
    assert isinstance(app, DashboardApp)
    return once.text_of(app)


async def check_snapshot(pilot: Pilot[None], name: str, clean: Callable[[str], str] = str, seconds: float = 40) -> None:
    """Wait until the screen is `tests/snapshots/NAME.txt`. A busy machine paints late: what counts is what it comes to.

    `KIT_UPDATE_SNAPSHOTS=1` writes the file anew and fails: nothing was compared. Look at it, then run the test again.
    """
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("KIT_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(clean(await stable_text(pilot)) + "\n", encoding="utf-8")
        pytest.fail(f"{path.name} was written, not compared: look at it, then run the test without KIT_UPDATE_SNAPSHOTS")
    assert path.exists(), f"{path} is missing: KIT_UPDATE_SNAPSHOTS=1 writes it"
    expected = path.read_text(encoding="utf-8")
    for _ in range(int(seconds / 0.1)):
        if clean(text_of(pilot)) + "\n" == expected:
            return
        await pilot.pause(0.1)
    assert clean(text_of(pilot)) + "\n" == expected


async def stable_text(pilot: Pilot[None], seconds: float = 10) -> str:
    """The screen as text, once it has not changed for a second."""
    texts = [text_of(pilot)]
    for _ in range(int(seconds / 0.1)):
        await pilot.pause(0.1)
        texts = [*texts[-9:], text_of(pilot)]
        if len(texts) == 10 and len(set(texts)) == 1:
            return texts[0]
    raise AssertionError(f"the screen does not come to rest:\n{texts[-1]}")
