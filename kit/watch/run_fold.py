"""Adds up events to a `RunState`. Knows nothing of terminals or files."""

import math
from collections import deque
from dataclasses import dataclass, field

from kit import events
from kit.events import Event
from kit.rank_report import NO_RANK
from kit.watch.run_state import EvaluationState, Outcome, PhaseState, RunState
from kit.watch.series import Series

REMEMBERED = 200
MOST_VALIDATED = 5000
SMOOTHING = 0.05


@dataclass
class _Phase:
    """A phase while it is being folded."""

    state: PhaseState
    losses: Series = field(default_factory=Series)
    rates: Series = field(default_factory=Series)
    found: Series = field(default_factory=Series)

    def view(self) -> PhaseState:
        curves = {name: getattr(self, name).curve for name in ("losses", "rates", "found")}
        if any(getattr(self.state, name) is not curve for name, curve in curves.items()):
            self.change(**curves)
        return self.state

    def change(self, **values: object) -> None:
        # `dataclasses.replace` is several times slower, and this happens at every step.
        self.state = PhaseState(**{**self.state.__dict__, **values})


class RunFold:
    """Adds up events. `fold` takes one, `state` is the sum so far."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._start_event: events.RunStarted | None = None
        self._no_rank = ""
        self._stop_reason = ""
        self._outcome: Outcome = "queued"
        self._phase: str | None = None
        self._passes = 0
        self._evaluation: EvaluationState | None = None
        self._accuracies = Series()
        self._step: events.StepDone | None = None
        self._loss: float | None = None
        self._seconds_per_pass: float | None = None
        self._seconds_per_step: float | None = None
        self._seconds_per_subnet: float | None = None
        self._data_share: float | None = None
        self._ranks: list[events.RankMeasured] = []
        self._ranks_so_far: deque[events.RankSoFar] = deque(maxlen=REMEMBERED)
        self._replacements: deque[events.CandidateReplaced] = deque(maxlen=REMEMBERED)
        self._validated: deque[events.Validated] = deque(maxlen=MOST_VALIDATED)
        self._replaced = 0
        self._unknown = 0
        self._elapsed = 0.0
        self._updated: float | None = None
        self._started: float | None = None

    def fold(self, event: Event, *, sampled: bool = True) -> None:
        """Add one event. One that is not `sampled` moves the run forward but leaves no point in a curve."""
        self._tick(event)
        match event:
            case events.StepDone():
                self._fold_step(event, sampled)
            case events.SubnetEvaluated():
                self._fold_subnet(event, sampled)
            case events.TrainingDone():
                self._fold_training(event, sampled)
            case events.BatchScored():
                self._fold_batch(event)
            case events.RunStarted():
                self._start(event)
            case events.PhaseStarted() | events.PhaseReused() | events.PhaseFinished() | events.PhaseFailed():
                self._fold_phase(event)
            case events.EvaluationStarted() | events.EvaluationFinished():
                self._fold_evaluation(event)
            case events.RunFinished() | events.RunStopped():
                self._end(event)
            case events.UnknownEvent():
                self._unknown += 1
            case _:
                self._keep(event)

    @property
    def outcome(self) -> Outcome:
        return self._outcome

    def count_replacements(self, total: int) -> None:
        """There are `total` of them in the log, also those that were not folded."""
        self._replaced = total

    def state(self, *, complete: bool = True) -> RunState:
        """Everything so far, as a value that stays as it is."""
        step, start = self._step, self._start_event
        phases = tuple(phase.view() for phase in self._phases.values())
        current = self._phases.get(self._phase or "")
        grouped = step is not None and current is not None and current.state.method == "candidates"
        if self._evaluation is not None:
            self._evaluation = EvaluationState(**{**self._evaluation.__dict__, "accuracies": self._accuracies.curve})
        return RunState(
            kind="recipe" if start is None else start.run_kind,
            recipe="" if start is None else start.recipe,
            profile="" if start is None else start.profile,
            seed=None if start is None else start.seed,
            pid=None if start is None else start.pid,
            no_rank=self._no_rank,
            stop_reason=self._stop_reason,
            outcome=self._outcome,
            phases=phases,
            phase=self._phase,
            passes=self._passes,
            evaluation=self._evaluation,
            ranks=tuple(self._ranks),
            ranks_so_far=tuple(self._ranks_so_far),
            loss=self._loss,
            codes=() if step is None else step.codes,
            code_losses=() if step is None else step.losses,
            learning_rate=None if step is None else step.learning_rate,
            seconds_per_step=self._seconds_per_step,
            passes_per_second=1 / self._seconds_per_pass if self._seconds_per_pass else None,
            data_share=self._data_share,
            candidates=step.codes[1:] if grouped and step is not None else (),
            replacements=tuple(self._replacements),
            validated=tuple(self._validated),
            replaced=max(self._replaced, len(self._replacements)),
            started=self._started,
            updated=self._updated,
            elapsed=self._elapsed,
            seconds_left=self._seconds_left(),
            unknown=self._unknown,
            complete=complete,
        )

    def _keep(self, event: Event) -> None:
        match event:
            case events.CandidateReplaced():
                self._replacements.append(event)
            case events.Validated():
                self._validated.append(event)
            case events.Note() if event.message.startswith(NO_RANK):
                self._no_rank = event.message
            case events.RankMeasured():
                self._ranks.append(event)
            case events.RankSoFar():
                # Scoring that began anew makes what it had reached before obsolete.
                while self._ranks_so_far and self._ranks_so_far[-1].scored >= event.scored:
                    self._ranks_so_far.pop()
                self._ranks_so_far.append(event)

    def _tick(self, event: Event) -> None:
        if self._updated is not None and not isinstance(event, events.RunStarted):
            self._elapsed += max(0.0, event.time - self._updated)
        self._updated = event.time

    def _start(self, event: events.RunStarted) -> None:
        self._started = event.time if self._started is None else self._started
        self._outcome, self._passes = "running", event.passes
        self._start_event, self._stop_reason = event, ""
        known = self._phases
        self._phases = {name: known.get(name) or _Phase(PhaseState(name)) for name in event.phases}
        self._seconds_per_pass = self._seconds_per_step = self._seconds_per_subnet = None

    def _end(self, event: events.RunFinished | events.RunStopped) -> None:
        self._outcome = "finished" if isinstance(event, events.RunFinished) else "stopped"
        self._stop_reason = event.reason if isinstance(event, events.RunStopped) else ""

    def _fold_phase(
        self, event: events.PhaseStarted | events.PhaseReused | events.PhaseFinished | events.PhaseFailed
    ) -> None:
        phase = self._of(event.phase)
        if isinstance(event, events.PhaseStarted):
            self._phase = event.phase
            names = ("key", "method", "epochs", "steps", "paths_per_step", "subspace", "run")
            phase.change(status="running", step=event.first_step, **{name: getattr(event, name) for name in names})
            self._seconds_per_step = None
        elif isinstance(event, events.PhaseFinished):
            phase.change(status="done", key=event.key, steps=event.steps, step=event.steps, loss=_finite(event.loss) or None)
        elif isinstance(event, events.PhaseFailed):
            phase.change(status="failed", reason=event.reason)
        else:
            status = "done" if phase.state.status == "done" else "reused"
            sizes = {"steps": event.steps, "step": event.steps, "paths_per_step": event.paths_per_step}
            phase.change(status=status, key=event.key, **sizes)

    def _fold_step(self, event: events.StepDone, sampled: bool) -> None:
        phase = self._of(event.phase)
        # A log whose beginning was not read yet: the phase runs, whatever its size.
        self._phase, self._step, self._loss = event.phase, event, _mean(event.losses)
        running: dict[str, object] = {"step": event.step + 1, "epoch": event.epoch}
        if phase.state.status == "waiting":
            running |= {"status": "running", "paths_per_step": max(1, len(event.codes))}
        phase.change(**running)
        if event.codes and event.seconds > 0:
            self._seconds_per_pass = _smooth(self._seconds_per_pass, event.seconds / len(event.codes))
            self._seconds_per_step = _smooth(self._seconds_per_step, event.seconds)
            self._data_share = _smooth(self._data_share, min(1.0, max(0.0, event.data_seconds / event.seconds)))
        if sampled:
            if self._loss is not None:
                phase.losses.add(event.step + 1, self._loss)
            phase.rates.add(event.step + 1, event.learning_rate)

    def _fold_training(self, event: events.TrainingDone, sampled: bool) -> None:
        phase = self._of(event.phase)
        self._phase, self._loss = event.phase, _finite(event.loss)
        phase.change(status="running", step=event.step + 1)
        if event.seconds > 0:
            self._seconds_per_pass = _smooth(self._seconds_per_pass, event.seconds)
        if sampled and self._loss is not None:
            phase.losses.add(event.step + 1, self._loss)

    def _fold_batch(self, event: events.BatchScored) -> None:
        self._phase = event.phase
        phase = self._of(event.phase)
        phase.change(status="running", step=event.step, best=(event.best, event.accuracy))
        phase.found.add(event.step, event.accuracy)
        if event.seconds > 0 and event.evaluations > 0:
            self._seconds_per_pass = _smooth(self._seconds_per_pass, event.seconds / event.evaluations)

    def _fold_evaluation(self, event: events.EvaluationStarted | events.EvaluationFinished) -> None:
        if isinstance(event, events.EvaluationStarted):
            previous = self._evaluation if event.done else None
            if previous is None:
                self._accuracies = Series()
            best = previous.best if previous else None
            self._evaluation = EvaluationState(event.subnets, done=event.done, best=best)
        else:
            base = self._evaluation or EvaluationState(event.subnets)
            values = {**base.__dict__, "finished": True, "done": event.subnets, "subnets": event.subnets}
            self._evaluation = EvaluationState(**values)

    def _fold_subnet(self, event: events.SubnetEvaluated, sampled: bool) -> None:
        base = self._evaluation or EvaluationState(event.subnets)
        accuracy = event.correct / event.images if event.images > 0 else 0.0
        best = (event.code, accuracy) if base.best is None or accuracy > base.best[1] else base.best
        self._evaluation = EvaluationState(**{**base.__dict__, "done": event.done, "subnets": event.subnets, "best": best})
        if event.seconds > 0:
            self._seconds_per_subnet = _smooth(self._seconds_per_subnet, event.seconds)
        if sampled:
            self._accuracies.add(event.done, accuracy)

    def _of(self, name: str) -> _Phase:
        return self._phases.setdefault(name, _Phase(PhaseState(name)))

    def _seconds_left(self) -> float | None:
        if self._outcome != "running":
            return None
        evaluation = self._evaluation
        if evaluation is not None and not evaluation.finished:
            per_subnet = self._seconds_per_subnet
            return None if per_subnet is None else per_subnet * max(0, evaluation.subnets - evaluation.done)
        if self._seconds_per_pass is None or not self._passes:
            return None
        done = sum(phase.state.passes_done for phase in self._phases.values())
        return self._seconds_per_pass * max(0, self._passes - done)


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else (1 - SMOOTHING) * old + SMOOTHING * new


def _mean(values: tuple[float, ...]) -> float | None:
    return _finite(sum(values) / len(values)) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
