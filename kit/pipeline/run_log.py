"""A run's log as its process writes it: an event is on disk before anybody sees it, and none follows after the end."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from kit import events
from kit.errors import KitError
from kit.evaluation.memory import memory_errors
from kit.events import Event, EventLog
from kit.files import storage_errors
from kit.run_dir import RunDirectory
from kit.watch.run_summary import read_state

DURABLE = (events.PhaseFinished, events.RunFinished, events.RunStopped)
NOTHING_NEW = (
    events.RunStarted, events.PhaseReused, events.Validated, events.EvaluationStarted, events.RankSoFar,
    events.EvaluationFinished, events.RankMeasured, events.Note, events.PhaseFailed, events.RunFinished, events.RunStopped,
)  # fmt: skip
"""What there is to tell where everything is done already."""


def record(
    run: RunDirectory,
    work: Iterator[Event],
    check_stop: Callable[[], None],
    *,
    kind: str,
    profile: str,
    passes: int,
    phases: Iterable[str] = (),
    recipe: str = "",
    seed: int = 0,
    fresh: bool = False,
) -> Iterator[Event]:
    """Do `work` on a run that is locked, between the events that say when it began, with what, and how it ended.

    The log of a finished run is closed: a process that finds everything done writes nothing, one that finds something to do
    begins a new log. `check_stop` raises what ends the run early.
    """
    continued = run.events.exists()
    with ExitStack() as stack:
        log = RunLog(run, stack, fresh=fresh)
        try:
            started = events.RunStarted(
                run=run.id,
                recipe=recipe,
                profile=profile,
                seed=seed,
                pid=os.getpid(),
                phases=tuple(phases),
                passes=passes,
                continued=continued,
                run_kind=kind,
            )
            yield log.write(started)
            with memory_errors():
                for event in work:
                    yield log.write(event)
            check_stop()
            yield log.write(events.RunFinished(run=run.id))
        except KitError as error:
            yield log.write(events.RunStopped(run=run.id, reason=str(error), exit_code=int(error.exit_code)))
            raise


def told(messages: Iterable[str]) -> Iterator[Event]:
    """What a user should know of data and weights, for log and console."""
    return (events.Note(message=message) for message in messages)


class RunLog:
    """The log, held back as long as the run is finished and nothing new was done."""

    def __init__(self, run: RunDirectory, stack: ExitStack, *, fresh: bool) -> None:
        self.path = run.events
        self._rank = run.rank
        self._stack = stack
        self._log: EventLog | None = None
        self._held: list[Event] = []
        is_finished = read_state(run).outcome == "finished"
        if fresh:
            self._set_aside()
        if fresh or not is_finished:
            self._open()

    def write(self, event: Event) -> Event:
        """Put an event on disk; returns it."""
        if self._log is None:
            self._held.append(event)
            if isinstance(event, NOTHING_NEW):
                return event
            self._set_aside()
            log = self._open()
            for each in self._held:
                log.append(each)
        else:
            self._log.append(event, durable=isinstance(event, DURABLE))
        return event

    def _set_aside(self) -> None:
        set_aside(self.path)
        self._rank.unlink(missing_ok=True)  # what that log told; the new one may tell of none

    def _open(self) -> EventLog:
        self._log = self._stack.enter_context(EventLog(self.path))
        return self._log


def set_aside(log: Path) -> None:
    """Keep a log under another name, so that a new one can begin: `events-1.jsonl`, `events-2.jsonl`, ..."""
    if log.exists():
        number = 1
        while (kept := log.with_name(f"{log.stem}-{number}{log.suffix}")).exists():
            number += 1
        with storage_errors("rename", log):
            log.rename(kept)
