"""Which paths a step trains. Draws are functions of (seed, phase, step, path); only the candidate group has a memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kit.errors import InputError
from kit.randomness import derive_random
from kit.recipe import CandidatePhase
from kit.search_space import Architecture, SearchSpace
from kit.training.candidates import CandidateGroup, Replacement
from kit.training.losses import Path


class PathSampler(Protocol):
    """A training method, seen from the trainer."""

    def paths(self, step: int) -> list[Path]:
        """The paths of a step; asking again gives the same."""

    def finish_step(self, step: int) -> Replacement | None:
        """Take note that the step was trained."""

    def state(self) -> dict[str, Any]:
        """The memory, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""


class _Memoryless:
    def finish_step(self, step: int) -> Replacement | None:
        return None

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        assert not state


@dataclass(frozen=True)
class FixedSampler(_Memoryless):
    """The same architecture every step (pretraining)."""

    architecture: Architecture

    def paths(self, step: int) -> list[Path]:
        return [Path(self.architecture)]


@dataclass(frozen=True)
class UniformSampler(_Memoryless):
    """`count` independent uniform draws from a subspace a step (APS, SPOS)."""

    space: SearchSpace
    count: int
    seed: int
    phase: str

    def paths(self, step: int) -> list[Path]:
        return [Path(self.space.sample(derive_random(self.seed, self.phase, step, path))) for path in range(self.count)]


@dataclass
class CandidateSampler:
    """One sampled sub-network and the group of constraint candidates a step (CPT, SSE)."""

    settings: CandidatePhase
    space: SearchSpace
    pool: Sequence[Architecture]
    seed: int
    steps_per_epoch: int
    group: CandidateGroup = field(init=False)

    def __post_init__(self) -> None:
        needed = 1 if self.settings.allow_duplicates else self.settings.candidates
        if len(self.pool) < needed:
            raise InputError(
                f"phase {self.settings.name} needs {needed} architectures of the pool"
                + (f" in cell {self.settings.cell}" if self.settings.cell is not None else "")
                + f", there are {len(self.pool)}",
                hint="use a larger pool (--pool FILE, or --set profile.pool.size=N)",
            )
        self.group = CandidateGroup(
            self._draw(0),
            recent=self.settings.recent,
            neighbours=self.settings.neighbours,
            as_released_distance=self.settings.distance == "as-released",
            allow_duplicates=self.settings.allow_duplicates,
        )

    def paths(self, step: int) -> list[Path]:
        settings = self.settings
        if step and step % self.steps_per_epoch in settings.redraw_steps:
            self.group.redraw(self._draw(step))
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
        self.group.redraw([self.space.whole.parse(code) for code in state["members"]])
        self.group.restore_recent([self.space.whole.parse(code) for code in state["recent"]])

    def _sampled(self, step: int) -> Architecture:
        if self.settings.sample_from == "space":
            return self.space.sample(derive_random(self.seed, self.settings.name, step, 0))
        passes, position = divmod(step, len(self.pool))
        order = list(range(len(self.pool)))
        derive_random(self.seed, self.settings.name, "pool", passes).shuffle(order)
        return self.pool[order[position]]

    def _draw(self, step: int) -> list[Architecture]:
        rng = derive_random(self.seed, self.settings.name, "candidates", step)
        if self.settings.allow_duplicates:
            return rng.choices(self.pool, k=self.settings.candidates)
        return rng.sample(list(self.pool), self.settings.candidates)
