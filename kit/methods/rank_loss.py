"""Sandwich with pairs whose losses should lie as their costs do (3rd place of the challenge)."""

from dataclasses import dataclass
from typing import Any, Literal

from kit.costs import costs
from kit.methods.sampling import Path
from kit.methods.sandwich import Sandwich, SandwichSampler
from kit.strict import PositiveInt

HIGHEST_WEIGHT = 2.0
EPOCHS_TO_ONE = 10
"""The weight of a pair grows by 1 in so many epochs, up to the highest."""


class RankLossPhase(Sandwich):
    """A sandwich and, a step, some random pairs: of each the first goes forward only, the second is moved to its place."""

    method: Literal["rank-loss"]
    pairs: PositiveInt = 2

    @property
    def paths_per_step(self) -> float:
        return 2 + self.between + 1.5 * self.pairs


@dataclass(frozen=True, slots=True)
class Hinge:
    """Makes `weight * loss` into a loss with the gradient of `weight * relu(sign * (loss - other loss))`."""

    given: tuple[int]
    sign: int
    """1: the path costs more than the other, so its loss should not lie above; -1: less, so not below; 0: the same."""
    weight: float

    def __call__(self, own: Any, other: Any) -> Any:
        return self.weight * self.sign * (self.sign * (own - other) > 0).to(own.dtype)


class RankLossSampler(SandwichSampler):
    """A sandwich, then each pair's path that is only measured and the one that is trained against it."""

    settings: RankLossPhase

    def paths(self, step: int) -> list[Path]:
        paths = super().paths(step)
        weight = min(HIGHEST_WEIGHT, step // self.scope.steps_per_epoch / EPOCHS_TO_ONE)
        for pair in range(self.settings.pairs):
            rng = self.random(step, "pair", pair)
            first, second = self.scope.space.sample(rng), self.scope.space.sample(rng)
            macs = [costs(each, self.scope.scale).macs for each in (first, second)]
            sign = (macs[1] > macs[0]) - (macs[1] < macs[0])
            paths += [Path(first, trained=False), Path(second, factor=Hinge((len(paths),), sign, weight))]
        return paths
