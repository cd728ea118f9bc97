"""Regularized evolution (Real et al. 2019): the oldest dies, whatever it is worth; and random search beside it.

Everything drawn is a function of seed, purpose and number, so a search whose scores are kept is repeated, not restored.
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kit.errors import InputError
from kit.randomness import derive_random
from kit.search.limits import Limits
from kit.search_space import Architecture, SearchSpace

TRIES = 2000
"""Draws until one that keeps to the limits; then the way from the smallest architecture upwards is taken."""
PROBES = 500
"""Draws that tell whether chance can find anything inside the limits."""
Scores = Mapping[Architecture, float]


class Searcher(Protocol):
    """Asked for a batch, told its scores, asked again."""

    def ask(self) -> list[Architecture]:
        """What to score next."""

    def tell(self, scores: Scores) -> None:
        """Scores of everything that was asked for."""


@dataclass
class RandomSearch:
    """Uniform draws that keep to the limits."""

    space: SearchSpace
    limits: Limits
    seed: int
    batch: int
    _asked: int = 0

    def __post_init__(self) -> None:
        self._draw = Draws(self.space, self.limits, self.seed, "random search")

    def ask(self) -> list[Architecture]:
        numbers = range(self._asked, self._asked + self.batch)
        self._asked += self.batch
        return list(map(self._draw, numbers))

    def tell(self, scores: Scores) -> None:
        """Nothing is learnt."""


@dataclass
class Evolution:
    """A population of fixed size: the fittest of a sample has a child, the child enters, the oldest leaves.

    A batch of children comes from one population, so that they can be scored together.
    """

    space: SearchSpace
    limits: Limits
    seed: int
    batch: int
    population: int = 50
    sample: int = 10
    _members: deque[tuple[Architecture, float]] = field(default_factory=deque)
    _asked: int = 0

    def __post_init__(self) -> None:
        self._draw = Draws(self.space, self.limits, self.seed, "first population")

    def ask(self) -> list[Architecture]:
        numbers = range(self._asked, self._asked + self.batch)
        self._asked += self.batch
        return [self._child(number) for number in numbers]

    def tell(self, scores: Scores) -> None:
        for architecture, score in scores.items():
            self._members.append((architecture, score))
        while len(self._members) > self.population:
            self._members.popleft()

    def _child(self, number: int) -> Architecture:
        if len(self._members) < self.population:
            return self._draw(number)
        rng = derive_random("evolution", self.seed, number)
        # The sample comes in random order, so chance decides between equals.
        parent, _ = max(rng.sample(list(self._members), self.sample), key=lambda member: member[1])
        for _ in range(TRIES):
            child = self.space.mutate(parent, rng)
            if self.limits.allow(child):
                return child
        return parent


class Draws:
    """Architectures that keep to limits, by number: uniform where chance finds any.

    Where the limits leave too little for that, the smallest architecture is mutated as long as its children keep to them.
    """

    def __init__(self, space: SearchSpace, limits: Limits, seed: int, purpose: str) -> None:
        self.space = space
        self.limits = limits
        self.seed = seed
        self.purpose = purpose
        rng = derive_random("probes of limits")
        self._tries = TRIES if any(limits.allow(space.sample(rng)) for _ in range(PROBES)) else 0

    def __call__(self, number: int) -> Architecture:
        rng = derive_random(self.purpose, self.seed, number)
        for _ in range(self._tries):
            drawn = self.space.sample(rng)
            if self.limits.allow(drawn):
                return drawn
        return self._grown(rng)

    def _grown(self, rng: random.Random) -> Architecture:
        grown = self.space.smallest
        for _ in range(TRIES // 10):
            try:
                child = self.space.mutate(grown, rng)
            except InputError:  # the space has one architecture only
                break
            grown = child if self.limits.allow(child) else grown
        return grown


def batches(searcher: Searcher, evaluations: int) -> Iterator[list[Architecture]]:
    """What a searcher asks for, `evaluations` architectures in all; tell it the scores before the next."""
    left = evaluations
    while left > 0:
        asked = searcher.ask()[:left]
        left -= len(asked)
        yield asked
