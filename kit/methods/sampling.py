"""Which paths a step trains. Draws are functions of (seed, phase, step, path); a sampler with a memory saves it."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kit.methods.phase import Phase
from kit.search_space import Architecture, SearchSpace

P = TypeVar("P", bound=Phase)


@dataclass(frozen=True, slots=True)
class Path:
    """One architecture in a step, with the weights of its two losses."""

    architecture: Architecture
    weight: float = 1.0
    distillation: float = 0.0


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
    seed: int
    steps_per_epoch: int
    pool: tuple[Architecture, ...] = ()
    """The pool's architectures in `space`, for a method that uses it."""


class Sampler(Generic[P]):
    """A training method, seen from the trainer."""

    def __init__(self, settings: P, scope: Scope) -> None:
        self.settings = settings
        self.scope = scope

    def paths(self, step: int) -> list[Path]:
        """The paths of a step; asking again gives the same."""
        raise NotImplementedError

    def finish_step(self, step: int) -> Replacement | None:
        """Take note that the step was trained."""

    def state(self) -> dict[str, Any]:
        """The memory, as JSON."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        assert not state, "a sampler with a memory restores it"
