"""The list of runs: found at once, described in the background, looked at again as rarely as their state allows."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import StorageError
from kit.files import read_json
from kit.run_dir import RunDirectory
from kit.watch.liveness import Liveness
from kit.watch.log_reader import BREATH, HEAD_START, LogReader, first_look, is_long
from kit.watch.run_state import RunState

INTERVAL = 1.0
SETTLED_INTERVAL = 5.0
POST_EVERY = 0.25


@dataclass(frozen=True)
class RunSummary:
    """A row of the list of runs. `known` is false until the run was looked at."""

    run: RunDirectory
    status: str = ""
    """`queued`, `running`, `finished`, `stopped`, `crashed`, or `damaged`."""
    recipe: str = ""
    profile: str = ""
    state: RunState = field(default_factory=RunState)
    created: float = 0.0
    known: bool = False
    problem: str = ""

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def pearson(self) -> float | None:
        """Rank so far, or in the end."""
        figures = self.state.rank_figures
        return None if figures is None or figures.pearson is None else figures.pearson[0]

    @property
    def kendall(self) -> float | None:
        """Rank so far, or in the end."""
        figures = self.state.rank_figures
        return None if figures is None or figures.kendall is None else figures.kendall[0]


class _Watched:
    """A run in the list, with what was read of it so far."""

    def __init__(self, run: RunDirectory, created: float) -> None:
        self.run = run
        self.created = created
        self.reader = LogReader(run.events, curves=False)
        self.liveness = Liveness(run)
        self.names: tuple[str, str] | None = None
        self.summary = RunSummary(run, created=created)
        self.due = 0.0
        self.looked_at = False

    def look(self, now: float, stop: threading.Event) -> bool:
        """Read what is new; whether the summary changed."""
        if not self.looked_at:
            self.looked_at = True
            if is_long(self.run.events):
                # What its two ends say comes first, the rest when the screen has been painted.
                changed = self._tell(first_look(self.run.events).state, "", now)
                self.due = now + HEAD_START
                return changed
        changed = self.reader.poll()
        while self.reader.behind and not stop.is_set():
            stop.wait(BREATH)
            changed |= self.reader.poll()
        if not changed and self.liveness.status(self.reader.fold.outcome) == self.summary.status:
            self.due = now + self._pause(self.summary.status)
            return False
        return self._tell(self.reader.fold.state(), self.reader.problem, now)

    def _tell(self, state: RunState, problem: str, now: float) -> bool:
        status = self.liveness.status(state.outcome)
        if self.names is None:
            try:
                self.names = _names(self.run)
            except StorageError as error:
                status, problem = "damaged", str(error)
        self.due = now + self._pause(status)
        recipe, profile = self.names or (state.recipe, state.profile)
        summary = RunSummary(self.run, status, recipe, profile, state, self.created, True, problem)
        changed = summary != self.summary
        self.summary = summary
        return changed

    @staticmethod
    def _pause(status: str) -> float:
        # What has ended may be continued later; what never started may start any moment.
        return INTERVAL if status in ("running", "queued") else SETTLED_INTERVAL


def follow_runs(
    runs: Path, post: Callable[[tuple[RunSummary, ...], bool, str], None], stop: threading.Event, interval: float = INTERVAL
) -> None:
    """Post the runs in a folder, newest first, until `stop` is set: their names at once, what they do as it is read."""
    watched: dict[Path, _Watched] = {}
    first, was_complete = True, False
    while not stop.is_set():
        found, problem = _find(runs)
        changed = first or problem != "" or found.keys() != watched.keys()
        watched = {path: watched.get(path) or _Watched(RunDirectory(path), found[path]) for path in found}
        order = sorted(watched.values(), key=lambda item: (item.created, item.run.id), reverse=True)
        if first and order:
            post(tuple(item.summary for item in order), False, problem)
        posted = time.monotonic()
        for item in order:
            if stop.is_set():
                return
            if item.due <= (now := time.monotonic()):
                changed |= item.look(now, stop)
                if changed and now - posted > POST_EVERY:
                    post(tuple(other.summary for other in order), False, problem)
                    posted = now
        is_complete = all(item.summary.state.complete for item in order)
        if changed or is_complete != was_complete:
            post(tuple(item.summary for item in order), is_complete, problem)
        first, was_complete = False, is_complete
        stop.wait(interval)


def _find(runs: Path) -> tuple[dict[Path, float], str]:
    """Run directories with the time they were made, and why the folder cannot be read."""
    try:
        return dict(_entries(runs)), ""
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"cannot read {runs}: {error.strerror}"


def _entries(runs: Path) -> Iterator[tuple[Path, float]]:
    with os.scandir(runs) as entries:
        for entry in entries:
            path = Path(entry.path)
            try:
                yield path, (path / "resolved.json").stat().st_mtime
            except OSError:
                continue


def _names(run: RunDirectory) -> tuple[str, str]:
    resolved = read_json(run.resolved, kind=str, profile=dict)
    recipe = resolved.get("recipe")
    name = recipe.get("name", "") if isinstance(recipe, dict) else resolved["kind"]
    return str(name), str(resolved["profile"].get("name", ""))
