"""What a run's events add up to: the one value that every screen shows. Knows nothing of terminals or files."""

from dataclasses import dataclass
from typing import Literal

from kit.events import CandidateReplaced, RankMeasured, RankSoFar, Validated
from kit.rank_report import Interval, read_figures
from kit.watch.series import NO_CURVE, Curve

Outcome = Literal["queued", "running", "finished", "stopped"]
PhaseStatus = Literal["waiting", "running", "done", "reused", "failed"]


@dataclass(frozen=True)
class PhaseState:
    """One phase of the pipeline; `step` counts finished steps, `loss` is the last epoch's mean once it is done."""

    name: str
    status: PhaseStatus = "waiting"
    method: str = ""
    key: str = ""
    epochs: int = 0
    steps: int = 0
    paths_per_step: float = 1
    step: int = 0
    epoch: int = 0
    subspace: str = ""
    loss: float | None = None
    losses: Curve = NO_CURVE
    rates: Curve = NO_CURVE
    best: tuple[str, float] | None = None
    """Of a search: the best architecture so far, and its accuracy."""
    found: Curve = NO_CURVE
    """Of a search: the best accuracy after so many evaluations."""
    run: str = ""
    """Of a row of a ladder: the id of its own run."""
    reason: str = ""
    """Why it failed."""

    @property
    def fraction(self) -> float:
        """Done part, 0..1."""
        if self.status in ("done", "reused"):
            return 1.0
        return min(1.0, self.step / self.steps) if self.steps else 0.0

    @property
    def passes_done(self) -> int:
        return round((self.steps if self.status in ("done", "reused") else self.step) * self.paths_per_step)


@dataclass(frozen=True)
class EvaluationState:
    """Scoring of the pool: how far it is, and the accuracies as they came."""

    subnets: int
    done: int = 0
    finished: bool = False
    best: tuple[str, float] | None = None
    accuracies: Curve = NO_CURVE

    @property
    def fraction(self) -> float:
        return 1.0 if self.finished else min(1.0, self.done / self.subnets) if self.subnets else 0.0


@dataclass(frozen=True)
class RankFigures:
    """A rank figure as value, low and high, of the whole pool (`final`) or of the `scored` sub-networks so far."""

    final: bool
    scored: int
    kendall: Interval | None
    pearson: Interval | None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run as of its last event that was read. `complete` is false while the log's middle is still being read."""

    outcome: Outcome = "queued"
    kind: str = "recipe"
    recipe: str = ""
    profile: str = ""
    seed: int | None = None
    pid: int | None = None
    phases: tuple[PhaseState, ...] = ()
    phase: str | None = None
    """The phase that is running or was the last to."""
    passes: int = 0
    evaluation: EvaluationState | None = None
    ranks: tuple[RankMeasured, ...] = ()
    ranks_so_far: tuple[RankSoFar, ...] = ()
    """As the pool is being scored, oldest first."""
    loss: float | None = None
    """Mean cross-entropy of the last step's paths."""
    codes: tuple[str, ...] = ()
    code_losses: tuple[float, ...] = ()
    learning_rate: float | None = None
    seconds_per_step: float | None = None
    passes_per_second: float | None = None
    data_share: float | None = None
    """Part of a step's time that it waited for data, 0..1."""
    candidates: tuple[str, ...] = ()
    replacements: tuple[CandidateReplaced, ...] = ()
    replaced: int = 0
    validated: tuple[Validated, ...] = ()
    """Sub-networks on held-out images, oldest first."""
    no_rank: str = ""
    """Why it was not ranked, where its log says so."""
    stop_reason: str = ""
    started: float | None = None
    updated: float | None = None
    elapsed: float = 0.0
    """Seconds that processes worked on the run; a clock that jumps back counts as no time."""
    seconds_left: float | None = None
    unknown: int = 0
    """Events of a kind this version does not know."""
    complete: bool = True

    @property
    def current(self) -> PhaseState | None:
        """The phase named by `phase`."""
        return next((phase for phase in self.phases if phase.name == self.phase), None)

    @property
    def passes_done(self) -> int:
        """Of an evaluation, which trains nothing: sub-networks."""
        if self.kind == "evaluation":
            return 0 if self.evaluation is None else self.evaluation.done
        return sum(phase.passes_done for phase in self.phases)

    @property
    def unit(self) -> str:
        """What `passes` counts."""
        units = {"search": "evaluations", "truth": "trainings", "alone": "steps", "evaluation": "sub-networks"}
        return units.get(self.kind, "passes")

    @property
    def fraction(self) -> float | None:
        """Done part of the passes, 0..1; None before a run says how much there is."""
        return min(1.0, self.passes_done / self.passes) if self.passes else None

    @property
    def rank(self) -> RankMeasured | None:
        return self.ranks[-1] if self.ranks else None

    @property
    def rank_so_far(self) -> RankSoFar | None:
        return self.ranks_so_far[-1] if self.ranks_so_far else None

    @property
    def rank_figures(self) -> RankFigures | None:
        """The newest figures there are: of the whole pool, else of what was scored so far."""
        if self.rank is not None:
            report, scored, final = self.rank.report, 0, True
        elif self.rank_so_far is not None:
            event = self.rank_so_far
            report, scored, final = {"pearson": event.pearson, "kendall": event.kendall}, event.scored, False
        else:
            return None
        figures = read_figures(report)
        return RankFigures(final, scored, figures.get("kendall"), figures.get("pearson"))
