"""Uniform draws: the full network alone (pretraining), one path a step (SPOS), several from a growing subspace (APS)."""

from typing import Literal, Self

from pydantic import model_validator

from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler
from kit.search_space import MIN_DEPTH, PUBLISHED, SLOTS, STAGES, SearchSpace
from kit.strict import PerStage, PositiveInt


class PretrainPhase(Phase):
    """Train the full network alone. Skipped when initial weights are given; its result is also the teacher."""

    method: Literal["pretrain"]
    cell: None = None

    pretrains = True

    @property
    def paths_per_step(self) -> int:
        return 1

    def subspace(self, space: SearchSpace) -> SearchSpace:
        return space.restrict(min_depths=space.largest.depths, max_digits=(1,) * STAGES)


class FullSampler(Sampler[PretrainPhase]):
    """The full network every step."""

    def paths(self, step: int) -> list[Path]:
        return [Path(self.scope.space.largest)]


class UniformPhase(Phase):
    """Per step, `paths` uniformly drawn sub-networks of a subspace; losses are summed (APS, P 3.2; SPOS with one path)."""

    method: Literal["uniform"]
    paths: PositiveInt = 4
    min_depths: PerStage = (MIN_DEPTH,) * STAGES
    max_depths: PerStage = SLOTS
    max_digits: PerStage = PUBLISHED.max_digits

    @property
    def paths_per_step(self) -> int:
        return self.paths

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        for stage, (low, high, limit) in enumerate(zip(self.min_depths, self.max_depths, SLOTS, strict=True), 1):
            if not MIN_DEPTH <= low <= high <= limit:
                raise ValueError(f"stage {stage} takes depths {MIN_DEPTH}..{limit}, this phase says {low}..{high}")
        for stage, digit in enumerate(self.max_digits, 1):
            if not 1 <= digit <= 7:
                raise ValueError(f"stage {stage} takes width digits 1..7, this phase says {digit}")
        return self

    def subspace(self, space: SearchSpace) -> SearchSpace:
        return space.restrict(min_depths=self.min_depths, max_depths=self.max_depths, max_digits=self.max_digits)


class UniformSampler(Sampler[UniformPhase]):
    """Independent uniform draws from the subspace."""

    def paths(self, step: int) -> list[Path]:
        draws = (self.random(step, path) for path in range(self.settings.paths))
        return [Path(self.scope.space.sample(rng)) for rng in draws]
