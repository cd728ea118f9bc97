"""Uniform draws of which mostly the wide and deep ones are trained (1st place of the challenge)."""

from typing import Literal

from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler
from kit.search_space import Choices, SearchSpace
from kit.strict import PositiveInt

STAGE_WEIGHTS = (64.0, 70.4, 108.8, 121.6)
EVERY = 3
"""Every third step trains one more sub-network, uniformly drawn."""


class BiasedPhase(Phase):
    """Per step the largest of many draws, and now and then one that nobody chose; labels and teacher in equal parts."""

    method: Literal["biased"]
    draws: PositiveInt = 400
    kept: PositiveInt = 4

    @property
    def paths_per_step(self) -> float:
        return self.kept + 1 / EVERY

    @property
    def needs_teacher(self) -> bool:
        return True


class BiasedSampler(Sampler[BiasedPhase]):
    """The draws that are kept, in the order they were drawn; the uniform one comes last."""

    def paths(self, step: int) -> list[Path]:
        settings, space = self.settings, self.scope.space
        rng = self.random(step)
        drawn = [space.draw(rng) for _ in range(settings.draws)]
        sizes = [size(choices, space) for choices in drawn]
        largest = sorted(range(len(drawn)), key=lambda position: (-sizes[position], position))[: settings.kept]
        chosen = [space.build(*drawn[position]) for position in sorted(largest)]
        if step % EVERY == EVERY - 1:
            chosen.append(space.sample(self.random(step, "uniform")))
        return [Path(each, weight=0.5, distillation=0.5) for each in chosen]


def size(choices: Choices, space: SearchSpace) -> float:
    """Sum over blocks of stage weight * (conv1 ratio + conv2 ratio)."""
    _, outs, mids = choices
    ratios = space.ratios
    return sum(
        weight * (ratios[mid - 1] + ratios[out - 1])
        for weight, out, stage in zip(STAGE_WEIGHTS, outs, mids, strict=True)
        for mid in stage
    )
