"""The sandwich rule: the largest, the smallest and some in between, which learn from the largest (once-for-all, BigNAS)."""

from typing import Annotated, Literal

from pydantic import Field

from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler
from kit.strict import PositiveInt


class Sandwich(Phase):
    """What every method that begins with a sandwich has in common."""

    between: PositiveInt = 2
    """Uniformly drawn sub-networks beside the largest and the smallest one."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing of the largest one's cross-entropy."""

    @property
    def paths_per_step(self) -> float:
        return 2 + self.between


class SandwichPhase(Sandwich):
    """The largest learns from the labels; the smallest and the others from its outputs of the same step."""

    method: Literal["sandwich"]


class SandwichSampler(Sampler[Sandwich]):
    """The largest and the smallest of the phase's subspace, and uniform draws."""

    def paths(self, step: int) -> list[Path]:
        settings, space = self.settings, self.scope.space
        draws = (self.random(step, path) for path in range(settings.between))
        learning = (space.smallest, *(space.sample(rng) for rng in draws))
        return [
            Path(space.largest, smoothing=settings.smoothing),
            *(Path(each, weight=0.0, distillation=1.0, source=0) for each in learning),
        ]
