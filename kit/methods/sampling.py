"""Which paths a step trains. Draws are functions of (seed, phase, step, path); a sampler with a memory saves it."""

import math
import random
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from kit.methods.phase import Phase
from kit.randomness import derive_random
from kit.search_space import Architecture, Scale, SearchSpace

P = TypeVar("P", bound=Phase)


class Factor(Protocol):
    """What a path's weight is multiplied with, when it depends on losses measured in the step."""

    @property
    def given(self) -> tuple[int, ...]:
        """Positions of the other paths whose losses it wants."""

    def __call__(self, own: Any, *given: Any) -> Any:
        """The factor, from the detached cross-entropies of the path itself and of those others: torch's scalars."""


@dataclass(frozen=True, slots=True)
class Path:
    """One architecture in a step, with the weights of its two losses."""

    architecture: Architecture
    weight: float = 1.0
    """Of the cross-entropy to the labels."""
    distillation: float = 0.0
    """Of the cross-entropy to the softmax of the teacher's logits, temperature 1."""
    source: int | None = None
    """Position of the path of this step that is the teacher instead, with its detached output."""
    factor: Factor | None = None
    """Of `weight`, from losses of this step."""
    smoothing: float = 0.0
    """Label smoothing of the first loss."""
    trained: bool = True
    """False: the path only goes forward, and its loss is measured for others."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One candidate left the group, one recent sub-network entered it."""

    removed: Architecture
    added: Architecture


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a phase draws from, and the scale at which it runs."""

    space: SearchSpace
    """The phase's subspace."""
    scale: Scale
    """Of the whole space, for methods that ask what an architecture costs."""
    seed: int
    steps_per_epoch: int
    cells: tuple[SearchSpace, ...] = ()
    """All cells of the partition, for a method that trains them together."""
    pool: tuple[Architecture, ...] = ()
    """The pool's architectures in `space`, for a method that uses it."""


def learning_rate_at(first: float, epoch: int, epochs: int) -> float:
    """The rate of `epoch` (from 0) of `epochs`: .5 first (1 + cos(pi epoch / epochs)), constant within an epoch (C)."""
    return 0.5 * first * (1 + math.cos(math.pi * epoch / epochs))


class Sampler(Generic[P]):
    """A training method, seen from the trainer."""

    def __init__(self, settings: P, scope: Scope) -> None:
        self.settings = settings
        self.scope = scope

    @property
    def steps(self) -> int:
        """Optimizer steps of the phase."""
        return self.settings.epochs * self.scope.steps_per_epoch

    def random(self, *parts: int | str) -> random.Random:
        """A generator of its own for these parts (a step, a path): a function of seed, phase and parts."""
        return derive_random(self.scope.seed, self.settings.name, *parts)

    def paths(self, step: int) -> list[Path]:
        """The paths of a step; asking again gives the same."""
        raise NotImplementedError

    def learning_rate(self, step: int, first: float) -> float:
        """The rate of a step, from the phase's first one: cosine per epoch to 0 (C)."""
        return learning_rate_at(first, step // self.scope.steps_per_epoch, self.settings.epochs)

    def momentum_group(self, step: int) -> str:
        """Which momentum buffers a step reads and writes; each group of sub-networks that has a name has its own."""
        return ""

    def finish_step(self, step: int) -> Replacement | None:
        """Take note that the step was trained."""

    def state(self) -> dict[str, Any]:
        """The memory, as JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        assert not state, "a sampler with a memory restores it"
