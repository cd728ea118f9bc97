"""A run's events for people at a terminal: a live bar, or plain lines where there is none. All of it on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self

from kit import events
from kit.cli.output import narrate, shown
from kit.events import Event
from kit.watch.event_text import describe
from kit.watch.run_fold import RunFold
from kit.watch.run_state import RunState
from kit.watch.text import duration

PLAIN_INTERVAL = 10.0
Counted = events.StepDone | events.TrainingDone | events.BatchScored | events.SubnetEvaluated
"""What a job makes one after the other."""


class Ticker:
    """How far a countable job is: a live bar, or a line every ten seconds."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._said_at = 0.0
        self._bar: Any = None
        self._live = sys.stderr.isatty()

    def show(self, text: str, done: int, total: int, seconds_left: float | None) -> None:
        """`done` of `total` are done; `text` says what was done last."""
        text = shown(text)
        if self._live:
            self._show_bar(text, done, total, duration(seconds_left) if seconds_left is not None else "?")
        elif time.monotonic() - self._said_at >= PLAIN_INTERVAL:
            self._said_at = time.monotonic()
            left = f", {duration(seconds_left)} left" if seconds_left else ""
            narrate(f"{text}, {done:,} of {total:,} {self.unit}{left}")

    def _show_bar(self, text: str, done: int, total: int, left: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}, {task.fields[left]} left · {task.description}", markup=False),
                console=Console(stderr=True, markup=False, emoji=False, highlight=False),
                transient=True,
            )
            self._bar.add_task(text, unit=self.unit, left="?")
            self._bar.start()
        self._bar.update(0, description=text, completed=done, total=total, left=left, unit=self.unit)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def narrated(happening: Iterable[Event], unit: str = "passes") -> Iterator[Event]:
    """The events of a run of any kind, each told when it comes; how far the run is comes from the fold of every list."""
    fold = RunFold()
    with Ticker(unit) as ticker:
        for event in happening:
            fold.fold(event, sampled=False)
            if isinstance(event, events.EvaluationStarted):
                ticker.unit = "sub-networks"
            if isinstance(event, Counted):
                state = fold.state()
                scoring = state.evaluation
                done, total = (state.passes_done, state.passes) if scoring is None else (scoring.done, scoring.subnets)
                ticker.show(_progress(event, state), done, total, state.seconds_left)
            elif message := _message(event, fold):
                ticker.close()
                narrate(message)
            yield event


def _progress(event: Counted, state: RunState) -> str:
    """What a line that is overwritten again and again says of the newest event."""
    match event:
        case events.StepDone():
            steps = 0 if state.current is None else state.current.steps
            loss = "-" if state.loss is None else f"{state.loss:.3f}"
            return f"{event.phase} step {event.step + 1:,}/{steps:,}, loss {loss}"
        case events.TrainingDone():
            return f"{event.code} seed {event.seed}: {event.accuracy:.4f}"
        case events.BatchScored():
            return f"{event.phase}, best {event.accuracy:.4f}"
        case events.SubnetEvaluated():
            return f"scoring, last {event.correct / event.images:.4f}"


def _message(event: Event, fold: RunFold) -> str:
    """What is said of a milestone; nothing of what only a log needs."""
    match event:
        case events.PhaseStarted() | events.PhaseReused() | events.PhaseFinished():
            phases = fold.state().phases
            return f"[{sum(phase.status != 'waiting' for phase in phases)}/{len(phases)}] {describe(event)}"
        case events.RunStarted() | events.EvaluationStarted() | events.EvaluationFinished():
            return describe(event)
        case events.RankSoFar() | events.Note() | events.PhaseFailed():
            return describe(event)
    return ""
