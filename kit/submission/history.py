"""One pass over a run's events: what figures draw and checks compare, whatever the log's length."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kit import events
from kit.events import Event

BUCKETS = 100


@dataclass
class PhaseHistory:
    """A phase as the log tells it; `losses` are sums and counts over hundredths of its steps."""

    method: str = ""
    epochs: int = 0
    steps: int = 0
    paths: float = 0
    steps_seen: int = 0
    finished: bool = False
    reused: bool = False
    losses: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)] * BUCKETS)

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Mean loss against the share of the phase's steps."""
        return [((index + 0.5) / BUCKETS, total / count) for index, (total, count) in enumerate(self.losses) if count]


@dataclass
class History:
    """Everything that later members must agree with."""

    starts: list[events.RunStarted] = field(default_factory=list)
    phases: dict[str, PhaseHistory] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    scored: int | None = None
    rank: dict[str, Any] | None = None
    finished: bool = False
    before_rank: frozenset[str] | None = None
    """The phases that had ended when the truth was first opened; None if that was before any score, or never."""

    @classmethod
    def read(cls, events: Iterable[Event]) -> "History":
        """Digest events, oldest first."""
        history = cls()
        for event in events:
            history.add(event)
        return history

    def add(self, event: Event) -> None:
        match event:
            case events.StepDone():
                self._add_step(event)
            case events.SubnetEvaluated():
                self.counts[event.code] = (event.correct, event.images)
            case events.PhaseStarted():
                phase = self._phase(event.phase)
                phase.method, phase.epochs = event.method, event.epochs
                phase.steps, phase.paths = event.steps, event.paths_per_step
            case events.PhaseReused():
                phase = self._phase(event.phase)
                phase.reused, phase.steps, phase.paths = True, event.steps, event.paths_per_step
            case events.PhaseFinished():
                self._phase(event.phase).finished = True
            case events.RunStarted():
                self.starts.append(event)
            case events.EvaluationFinished():
                self.scored = event.subnets
            case events.RankMeasured():
                if self.rank is None and self.scored is not None:
                    self.before_rank = frozenset(
                        name for name, phase in self.phases.items() if phase.finished or phase.reused
                    )
                self.rank = event.report
            case events.RunFinished():
                self.finished = True

    def _add_step(self, event: events.StepDone) -> None:
        phase = self._phase(event.phase)
        phase.steps_seen = max(phase.steps_seen, event.step + 1)
        loss = sum(event.losses) / max(1, len(event.losses))
        if phase.steps and 0 <= event.step < phase.steps and math.isfinite(loss):
            bucket = event.step * BUCKETS // phase.steps
            total, count = phase.losses[bucket]
            phase.losses[bucket] = (total + loss, count + 1)

    def _phase(self, name: str) -> PhaseHistory:
        return self.phases.setdefault(name, PhaseHistory())
