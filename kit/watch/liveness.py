"""Whether a process works on a run: who holds the lock, and which process that is."""

import os

from kit.errors import StorageError
from kit.files import stamp
from kit.run_dir import RunDirectory


class Liveness:
    """The status of one run. Looks at the lock as rarely as it can, since looking takes the lock for an instant."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._crashed_at: tuple[tuple[int, int], ...] | None = None

    def status(self, outcome: str) -> str:
        """`outcome`, or `crashed` for a run that neither ended nor is being worked on."""
        if outcome != "running":
            self._crashed_at = None
            return outcome
        # A process that takes over writes its id into the lock file; until then nobody needs to look again.
        signature = tuple(stamp(path) for path in (self.run.lock, self.run.events))
        if signature == self._crashed_at:
            return "crashed"
        if self.run.is_locked:
            return "running"
        self._crashed_at = signature
        return "crashed"


def holder(run: RunDirectory) -> int | None:
    """The id of the process that holds the run's lock, None when nobody does."""
    if not run.is_locked:
        return None
    try:
        text = run.lock.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def check_may_signal(run: RunDirectory, pid: int | None) -> int:
    """The process to stop: the one that `RunStarted` named, if it is the one that holds the lock.

    Raises `StorageError` when it is not: its number may belong to a stranger by now, or to another machine.
    """
    holding = holder(run)
    if holding is None:
        raise StorageError(f"no process works on run {run.id}", hint="it has stopped already; continue it if you like")
    if pid is None or pid != holding:
        raise StorageError(
            f"run {run.id} is being worked on by process {holding}, its log names {pid}",
            hint="look at the process yourself before you stop it",
        )
    try:
        os.kill(pid, 0)
    except OSError as error:
        raise StorageError(
            f"process {pid} of run {run.id} cannot be reached: {error.strerror}",
            hint="it may run on another machine or belong to another user; stop it there",
        ) from error
    return pid
