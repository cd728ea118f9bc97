"""Strict fairness (FairNAS): seven paths a step that together train every width digit of every layer alike."""

import random
from typing import Literal

from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler
from kit.search_space import ALL_DIGITS, Architecture, SearchSpace

PATHS = len(ALL_DIGITS)
"""As many as the longest list of digits: each gets one."""


class FairPhase(Phase):
    """Seven paths a step, among which a permutation of the digits of every layer is dealt."""

    method: Literal["fair"]

    @property
    def paths_per_step(self) -> int:
        return PATHS


class FairSampler(Sampler[FairPhase]):
    """In a step no digit of a layer is trained more than once more than another one of it."""

    def paths(self, step: int) -> list[Path]:
        return [Path(each) for each in deal(self.scope.space, self.random(step))]


def deal(space: SearchSpace, rng: random.Random) -> list[Architecture]:
    """Seven architectures: uniform depths; digits from one permutation per layer. A path drops those of blocks it lacks."""
    depths = [rng.choice(space.depth_choices) for _ in range(PATHS)]
    outs = [_dealt(choices, rng) for choices in space.out_choices]
    slots = [max(own) for own in zip(*space.depth_choices, strict=True)]
    mids = [
        [_dealt(range(1, limit + 1), rng) for _ in range(count)]
        for count, limit in zip(slots, space.max_digits, strict=True)
    ]
    return [
        space.build(
            own,
            [stage[path] for stage in outs],
            [[block[path] for block in stage[:depth]] for stage, depth in zip(mids, own, strict=True)],
        )
        for path, own in enumerate(depths)
    ]


def _dealt(digits: range | tuple[int, ...], rng: random.Random) -> list[int]:
    """One digit for each path: a permutation of all, repeated and cut."""
    order = rng.sample(digits, len(digits))
    return [order[path % len(order)] for path in range(PATHS)]
