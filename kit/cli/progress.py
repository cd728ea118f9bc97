"""A run's events for people at a terminal: a live bar, or plain lines where there is none. All of it on stderr."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from kit.cli.output import narrate
from kit.events import (
    EvaluationFinished,
    EvaluationStarted,
    Event,
    Note,
    PhaseFinished,
    PhaseReused,
    PhaseStarted,
    RankSoFar,
    RunStarted,
    StepDone,
    SubnetEvaluated,
    TrainingDone,
)
from kit.rank_report import read_figures
from kit.watch.run_fold import RunFold
from kit.watch.text import duration

PLAIN_INTERVAL = 10.0


class Ticker:
    """How far a countable job is: a live bar, or a line every ten seconds."""

    def __init__(self, unit: str, *, live: bool | None = None) -> None:
        self.unit = unit
        self._said_at = 0.0
        self._bar: Any = None
        self._live = sys.stderr.isatty() if live is None else live

    def show(self, text: str, done: int, total: int, seconds_left: float | None) -> None:
        """`done` of `total` are done; `text` says what was done last."""
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
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class RunNarrator:
    """Tells the events of a run of any kind; how far it is comes from the fold that every list of runs shows."""

    def __init__(self, ticker: Ticker) -> None:
        self.ticker = ticker
        self.fold = RunFold()

    def tell(self, event: Event) -> None:
        """Say what an event means, if it means something to a person."""
        self.fold.fold(event, sampled=False)
        match event:
            case StepDone():
                state = self.fold.state()
                steps = 0 if state.current is None else state.current.steps
                loss = "-" if state.loss is None else f"{state.loss:.3f}"
                self._tick(f"{event.phase} step {event.step + 1:,}/{steps:,}, loss {loss}")
            case TrainingDone():
                self._tick(f"{event.code} seed {event.seed}: {event.accuracy:.4f}")
            case SubnetEvaluated():
                self._tick(f"scoring, last {event.correct / event.images:.4f}")
            case _:
                message = self._message(event)
                if message:
                    self.ticker.close()
                    narrate(message)

    def _tick(self, text: str) -> None:
        state = self.fold.state()
        scoring = state.evaluation
        done, total = (state.passes_done, state.passes) if scoring is None else (scoring.done, scoring.subnets)
        self.ticker.show(text, done, total, state.seconds_left)

    def _message(self, event: Event) -> str:
        match event:
            case RunStarted():
                return self._start(event)
            case PhaseReused():
                return self._of_phase(f"{event.phase}: there already ({event.key[:12]})")
            case PhaseStarted():
                continued = f", continued after step {event.first_step}" if event.first_step else ""
                networks = f"{event.paths_per_step:.3g} sub-network{'s' if event.paths_per_step > 1 else ''} a step, "
                alone = event.method == "alone"
                return self._of_phase(
                    f"{event.phase}: {event.steps:,} steps, {'' if alone else networks}{event.subspace}{continued}"
                )
            case PhaseFinished():
                return self._of_phase(f"{event.phase}: done, loss {event.loss:.4f}")
            case EvaluationStarted():
                self.ticker.unit = "sub-networks"
                already = f" ({event.done:,} already)" if event.done else ""
                return (
                    f"scoring {event.subnets:,} sub-networks{already}: BN calibrated on "
                    f"{event.calibration_images:,} training images, top-1 on {event.images:,} validation images"
                )
            case EvaluationFinished():
                return f"predictions: {event.predictions}"
            case RankSoFar():
                return _rank(event)
            case Note():
                return event.message
            case _:
                return ""

    def _start(self, event: RunStarted) -> str:
        how = "continues" if event.continued else "starts"
        if event.run_kind == "evaluation":
            return ""
        if event.run_kind == "truth":
            return f"run {event.run} {how}: {event.passes:,} trainings of one architecture each"
        self.ticker.unit = "passes"
        return f"run {event.run} {how}: {len(event.phases)} phases, {event.passes:,} sub-network passes"

    def _of_phase(self, message: str) -> str:
        phases = self.fold.state().phases
        return f"[{sum(phase.status != 'waiting' for phase in phases)}/{len(phases)}] {message}"


def _rank(event: RankSoFar) -> str:
    figures = read_figures({"pearson": event.pearson, "kendall": event.kendall})
    r, tau = f"Pearson r {figures['pearson']:+.3f}", f"Kendall tau {figures['kendall']:+.3f}"
    return f"rank so far: {r}, {tau} ({event.n:,} of {event.scored:,} scored sub-networks have a known truth)"
