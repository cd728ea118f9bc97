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
)
from kit.rank_report import read_figures

PLAIN_INTERVAL = 10.0
SMOOTHING = 0.05


class Ticker:
    """Progress of one countable job: rate, time left, and either a live bar or a line every ten seconds."""

    def __init__(self, unit: str, *, live: bool | None = None) -> None:
        self.unit = unit
        self.done = 0
        self.total = 0
        self._rate: float | None = None
        self._said_at = 0.0
        self._bar: Any = None
        self._live = sys.stderr.isatty() if live is None else live

    def start(self, total: int, done: int = 0) -> None:
        """Count `total` things, `done` of which are done already."""
        self.total, self.done, self._rate = total, done, None

    def advance(self, count: int, seconds: float, text: str) -> None:
        """`count` more things took `seconds`."""
        self.done += count
        if seconds > 0:
            rate = count / seconds
            self._rate = rate if self._rate is None else (1 - SMOOTHING) * self._rate + SMOOTHING * rate
        self._show(text)

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the recent rate; None before anything was measured."""
        return None if not self._rate else max(0, self.total - self.done) / self._rate

    def _show(self, text: str) -> None:
        if self._live:
            self._show_bar(text)
        elif time.monotonic() - self._said_at >= PLAIN_INTERVAL:
            self._said_at = time.monotonic()
            left = self.seconds_left
            narrate(f"{text}, {self.done:,} of {self.total:,} {self.unit}" + (f", {duration(left)} left" if left else ""))

    def _show_bar(self, text: str) -> None:
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
        left = self.seconds_left
        shown = duration(left) if left is not None else "?"
        self._bar.update(0, description=text, completed=self.done, total=self.total, left=shown, unit=self.unit)

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
    """Tells a recipe run's events."""

    def __init__(self, ticker: Ticker) -> None:
        self.ticker = ticker
        self.position = 0
        self.phases = 0
        self._phase: PhaseStarted | None = None

    def tell(self, event: Event) -> None:
        """Say what an event means, if it means something to a person."""
        match event:
            case RunStarted():
                self.phases = len(event.phases)
                how = "continues" if event.continued else "starts"
                narrate(f"run {event.run} {how}: {self.phases} phases, {event.passes:,} sub-network passes")
                self.ticker.unit = "passes"
                self.ticker.start(event.passes)
            case PhaseReused():
                self.position += 1
                self.ticker.done += round(event.steps * event.paths_per_step)
                self._say(f"{event.phase}: there already ({event.key[:12]})")
            case PhaseStarted():
                self.position += 1
                self._phase = event
                self.ticker.done += round(event.first_step * event.paths_per_step)
                continued = f", continued after step {event.first_step}" if event.first_step else ""
                networks = f"{event.paths_per_step:.3g} sub-network{'s' if event.paths_per_step > 1 else ''} a step"
                self._say(f"{event.phase}: {event.steps:,} steps, {networks}, {event.subspace}{continued}")
            case StepDone():
                assert self._phase is not None
                loss = sum(event.losses) / len(event.losses)
                text = f"{event.phase} step {event.step + 1:,}/{self._phase.steps:,}, loss {loss:.3f}"
                self.ticker.advance(len(event.codes), event.seconds, text)
            case PhaseFinished():
                self._say(f"{event.phase}: done, loss {event.loss:.4f}")
            case EvaluationStarted():
                self._tell_evaluation(event)
            case SubnetEvaluated():
                self.ticker.advance(1, event.seconds, f"scoring, last {event.correct / event.images:.4f}")
            case EvaluationFinished():
                self.ticker.close()
                narrate(f"predictions: {event.predictions}")
            case Note():
                narrate(event.message)
            case RankSoFar():
                self._tell_rank(event)
            case _:
                pass

    def _tell_evaluation(self, event: EvaluationStarted) -> None:
        self.ticker.close()
        already = f" ({event.done:,} already)" if event.done else ""
        narrate(
            f"scoring {event.subnets:,} sub-networks{already}: "
            f"BN calibrated on {event.calibration_images:,} training images, top-1 on {event.images:,} validation images"
        )
        self.ticker.unit = "sub-networks"
        self.ticker.start(event.subnets, event.done)

    def _tell_rank(self, event: RankSoFar) -> None:
        figures = read_figures({"pearson": event.pearson, "kendall": event.kendall})
        r, tau = f"Pearson r {figures['pearson']:+.3f}", f"Kendall tau {figures['kendall']:+.3f}"
        self.ticker.close()
        narrate(f"rank so far: {r}, {tau} ({event.n:,} of {event.scored:,} scored sub-networks have a known truth)")

    def _say(self, message: str) -> None:
        self.ticker.close()
        narrate(f"[{self.position}/{self.phases}] {message}")


def duration(seconds: float) -> str:
    """A time span as people say it: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"
