"""Large sub-networks first: of two draws the one with more multiply-adds is kept, less and less often."""

from typing import Annotated, Literal

from pydantic import Field

from kit.costs import costs
from kit.methods import Path, Phase
from kit.methods import Sampler as AnySampler


class Settings(Phase):
    """What a recipe says about a phase of this method, beside name, epochs, learning_rate and cell."""

    method: Literal["annealed"]
    paths: Annotated[int, Field(ge=1)] = 2
    start: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How often the larger one is kept at first; it falls to 0 on a line."""

    @property
    def paths_per_step(self) -> int:
        return self.paths


class Sampler(AnySampler[Settings]):
    """Every draw is a function of seed, phase, step and path: a run that was killed continues with the same ones."""

    def paths(self, step: int) -> list[Path]:
        often = self.settings.start * (1 - step / self.steps)
        return [self._path(step, number, often) for number in range(self.settings.paths)]

    def _path(self, step: int, number: int, often: float) -> Path:
        rng = self.random(step, number)
        draws = [self.scope.space.sample(rng), self.scope.space.sample(rng)]
        if rng.random() < often:
            draws.sort(key=lambda each: costs(each, self.scope.scale).macs, reverse=True)
        return Path(draws[0])
