"""Novelty search: the archive from which CPT's constraint candidates come (NSAS)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from kit.methods.candidate_group import coordinates
from kit.methods.phase import Phase
from kit.methods.sampling import Path, Replacement, Sampler, Scope
from kit.search_space import Architecture


class NoveltyPhase(Phase):
    """A sampled sub-network beside an archive of others, which novelty search keeps far apart."""

    method: Literal["novelty"]
    sampled_weight: Annotated[float, Field(gt=0)] = 0.5
    archive_weight: Annotated[float, Field(ge=0)] = 0.5
    """Total weight of the members' mean cross-entropy."""
    members: Annotated[int, Field(ge=2)] = 10
    draws: Annotated[int, Field(ge=1)] = 100
    """Uniform draws a step, of which the farthest may enter."""

    @property
    def paths_per_step(self) -> int:
        return 1 + self.members


class NoveltySampler(Sampler[NoveltyPhase]):
    """The sampled sub-network, then the archive; after the step one member may give way."""

    def __init__(self, settings: NoveltyPhase, scope: Scope) -> None:
        super().__init__(settings, scope)
        rng = self.random("archive")
        self.members = [scope.space.sample(rng) for _ in range(settings.members)]

    def paths(self, step: int) -> list[Path]:
        share = self.settings.archive_weight / self.settings.members
        return [Path(self._sampled(step), self.settings.sampled_weight), *(Path(each, share) for each in self.members)]

    def finish_step(self, step: int) -> Replacement | None:
        """The member nearest to the sampled sub-network gives way to the draw farthest from the others, if it is farther."""
        nearest = int(hamming([self._sampled(step)], self.members)[0].argmin())
        removed, others = self.members[nearest], self.members[:nearest] + self.members[nearest + 1 :]
        rng = self.random(step, "draws")
        drawn = [self.scope.space.sample(rng) for _ in range(self.settings.draws)]
        novelty = hamming([removed, *drawn], others).mean(axis=1)
        best = 1 + int(novelty[1:].argmax())
        if not novelty[best] > novelty[0]:
            return None
        self.members[nearest] = drawn[best - 1]
        return Replacement(removed, drawn[best - 1])

    def state(self) -> dict[str, Any]:
        return {"members": [member.code for member in self.members]}

    def restore(self, state: dict[str, Any]) -> None:
        self.members = [self.scope.space.whole.parse(code) for code in state["members"]]

    def _sampled(self, step: int) -> Architecture:
        return self.scope.space.sample(self.random(step, 0))


def hamming(a: Sequence[Architecture], b: Sequence[Architecture]) -> npt.NDArray[np.int64]:
    """In how many of stem and 46 slot digits they differ: `(len(a), len(b))`."""
    rows, columns = (np.stack([coordinates(each) for each in group]) for group in (a, b))
    counts: npt.NDArray[np.int64] = (rows[:, None] != columns[None]).sum(axis=2)
    return counts
