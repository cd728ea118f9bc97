"""The list of runs: found at once, described in the background, looked at again as rarely as their state allows."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from kit.errors import StorageError
from kit.run_dir import RunDirectory, runs_by_path
from kit.watch.liveness import Liveness
from kit.watch.log_reader import HEAD_START, LogReader, first_look, is_long
from kit.watch.run_state import RunState
from kit.watch.run_summary import RunSummary, summarize

INTERVAL = 1.0
SETTLED_INTERVAL = 5.0
POST_EVERY = 0.25


class _Watched:
    """A run in the list, with what was read of it so far."""

    def __init__(self, run: RunDirectory, created: float) -> None:
        self.run = run
        self.created = created
        self.reader = LogReader(run.events, curves=False)
        self.liveness = Liveness(run)
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
        changed = self.reader.catch_up(stop)
        if not changed and self.liveness.status(self.reader.fold.outcome) == self.summary.status:
            self.due = now + self._pause(self.summary.status)
            return False
        return self._tell(self.reader.fold.state(), self.reader.complaint, now)

    def _tell(self, state: RunState, problem: str, now: float) -> bool:
        summary = summarize(self.run, state, self.liveness, created=self.created, problem=problem)
        self.due = now + self._pause(summary.status)
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
        return runs_by_path(runs), ""
    except StorageError as error:
        return {}, str(error)
