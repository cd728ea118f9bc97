"""What the dashboard's tests share: an app without a terminal, and frames that are compared with golden files."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from kit.dashboard.app import DashboardApp, Options
from kit.dashboard.once import frame_of
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


async def wait_for(pilot: Pilot[None], ready: Callable[[], object], seconds: float = 20) -> None:
    """Let the app work until `ready` says yes."""
    for _ in range(int(seconds / 0.02)):
        if ready():
            await pilot.pause()
            return
        await pilot.pause(0.02)
    raise AssertionError(f"waited {seconds} s in vain; on the screen:\n{text_of(pilot)}")


def text_of(pilot: Pilot[None]) -> str:
    """The screen as text."""
    app = pilot.app
    assert isinstance(app, DashboardApp)
    return frame_of(app).text


async def check_snapshot(pilot: Pilot[None], name: str, clean: Callable[[str], str] = str, seconds: float = 10) -> None:
    """Wait until the screen is `tests/snapshots/NAME.txt`; `KIT_UPDATE_SNAPSHOTS=1` writes that instead (look at it!).

    A busy machine paints late: what counts is what the screen comes to.
    """
    path = SNAPSHOTS / f"{name}.txt"
    text = clean(text_of(pilot))
    if os.environ.get("KIT_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert path.exists(), f"{path} is missing: run the test once with KIT_UPDATE_SNAPSHOTS=1"
    for _ in range(int(seconds / 0.1)):
        if text + "\n" == path.read_text(encoding="utf-8"):
            return
        await pilot.pause(0.1)
        text = clean(text_of(pilot))
    assert text + "\n" == path.read_text(encoding="utf-8")
