"""Candidate plasticity training: a sampled sub-network beside constraint candidates (CPT), also inside cells (SSE)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kit.errors import InputError
from kit.methods.candidate_group import CandidateGroup
from kit.methods.phase import Phase
from kit.methods.sampling import Path, Replacement, Sampler, Scope
from kit.search_space import Architecture
from kit.strict import PositiveInt


class CandidatePhase(Phase):
    """Candidate plasticity training (P 2.4, 3.3), alone (CPT) or inside one cell of the partition (SSE)."""

    method: Literal["candidates"]
    sampled_weight: Annotated[float, Field(ge=0)] = 0.5
    candidates_weight: Annotated[float, Field(ge=0)] = 0.5
    """Total weight of the candidates' mean cross-entropy."""
    distillation: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sampled sub-network's soft cross-entropy to the teacher, temperature 1."""
    candidates: PositiveInt = 10
    recent: PositiveInt = 100
    neighbours: PositiveInt = 10
    distance: Literal["paper", "as-released"] = "paper"
    """`paper`: L1 over stem and 46 slot digits; `as-released`: without the last digit, divided by 47."""
    redraw_steps: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Steps of every epoch at which C draws the whole group anew from the pool."""
    sample_from: Literal["space", "pool"] = "space"
    """`space`: uniformly from the published subspace; `pool`: the pool's codes, shuffled, each once a pass (C)."""
    allow_duplicates: bool = False
    """Whether a sub-network may enter the group twice, and the sampled one may enter it at once (C)."""

    uses_pool = True

    @property
    def paths_per_step(self) -> int:
        return 1 + self.candidates

    @property
    def needs_teacher(self) -> bool:
        return self.distillation > 0

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if self.sampled_weight + self.candidates_weight + self.distillation <= 0:
            raise ValueError("all loss weights are 0: nothing would be trained")
        return self


class CandidateSampler(Sampler[CandidatePhase]):
    """One sampled sub-network and the group of constraint candidates a step (CPT, SSE)."""

    def __init__(self, settings: CandidatePhase, scope: Scope) -> None:
        super().__init__(settings, scope)
        needed = 1 if settings.allow_duplicates else settings.candidates
        if len(scope.pool) < needed:
            raise InputError(
                f"phase {settings.name} needs {needed} architectures of the pool"
                + (f" in cell {settings.cell}" if settings.cell is not None else "")
                + f", there are {len(scope.pool)}",
                hint="use a larger pool (--pool FILE, or --set profile.pool.size=N)",
            )
        self.group = CandidateGroup(
            self._draw(0),
            recent=settings.recent,
            neighbours=settings.neighbours,
            as_released_distance=settings.distance == "as-released",
            allow_duplicates=settings.allow_duplicates,
        )

    def paths(self, step: int) -> list[Path]:
        settings = self.settings
        if step and step % self.scope.steps_per_epoch in settings.redraw_steps:
            self.group.members = self._draw(step)
        sampled = Path(self._sampled(step), settings.sampled_weight, settings.distillation)
        share = settings.candidates_weight / settings.candidates
        return [sampled, *(Path(candidate, share) for candidate in self.group.members)]

    def finish_step(self, step: int) -> Replacement | None:
        return self.group.update(self._sampled(step))

    def state(self) -> dict[str, Any]:
        return {
            "members": [member.code for member in self.group.members],
            "recent": [architecture.code for architecture in self.group.recent],
        }

    def restore(self, state: dict[str, Any]) -> None:
        whole = self.scope.space.whole
        self.group.members = [whole.parse(code) for code in state["members"]]
        self.group.recent.extend(whole.parse(code) for code in state["recent"])

    def _sampled(self, step: int) -> Architecture:
        if self.settings.sample_from == "space":
            return self.scope.space.sample(self.random(step, 0))
        passes, position = divmod(step, len(self.scope.pool))
        order = list(range(len(self.scope.pool)))
        self.random("pool", passes).shuffle(order)
        return self.scope.pool[order[position]]

    def _draw(self, step: int) -> list[Architecture]:
        rng = self.random("candidates", step)
        if self.settings.allow_duplicates:
            return rng.choices(self.scope.pool, k=self.settings.candidates)
        return rng.sample(self.scope.pool, self.settings.candidates)
