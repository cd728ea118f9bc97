"""In which portions and in which order a pool is scored: a spread sample first, then subtrees that share the most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from kit.costs import pool_costs
from kit.randomness import derive_random
from kit.search_space import Architecture, Scale
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.prefix import grouped, pieces

UNIT_SIZE = 64
"""Architectures of a unit at most: what a killed process loses, how finely work is divided. Costs 1 to 2 % of sharing."""
SAMPLE_SHARE = 20
"""At most one architecture in so many is scored out of its subtree, for an early answer."""
MAX_SAMPLE = 1024
RESOLUTION = 224
"""Only the order of sizes matters here, and that hardly depends on the resolution."""
GOLDEN = (math.sqrt(5) - 1) / 2

Supernet = ElasticResNet | FewShotSupernet


@dataclass(frozen=True, slots=True)
class Unit:
    """Architectures of one supernet (or sub-supernet) that are scored together, on one set of shared prefixes."""

    architectures: tuple[Architecture, ...]

    def __len__(self) -> int:
        return len(self.architectures)

    def network(self, supernet: Supernet) -> ElasticResNet:
        """The network that holds the unit's weights."""
        return supernet.member_of(self.architectures[0]) if isinstance(supernet, FewShotSupernet) else supernet


def plan_units(supernet: Supernet, architectures: Sequence[Architecture], size: int = UNIT_SIZE) -> list[Unit]:
    """Every architecture once, in units of at most `size`, in the order in which to score them.

    Large pools begin with a sample spread evenly over the range of multiply-adds, so that what is scored so far stands for
    the whole pool after every unit of it. The rest follows by subtrees: architectures that share stem and stage 1,
    neighbours in the tree together, the units in random (but always the same) order.
    """
    cell = partial(_cell, supernet)
    sampled = min(len(architectures) // SAMPLE_SHARE, MAX_SAMPLE)
    taken = spread(_macs(supernet, architectures))[:sampled] if sampled >= size else []
    sample = [architectures[index] for index in taken]
    left_out = set(taken)
    rest = [architecture for index, architecture in enumerate(architectures) if index not in left_out]
    parts = (grouped(sample[start : start + size], cell) for start in range(0, len(sample), size))
    planned = [Unit(tuple(group)) for part in parts for group in part.values()]
    branches = grouped(rest, lambda each: (cell(each), each.stages[0])).values()
    subtrees = [unit for group in branches for unit in _cut(group, size)]
    derive_random("sweep order").shuffle(subtrees)
    return planned + subtrees


def trees(supernet: Supernet, architectures: Sequence[Architecture], size: int = UNIT_SIZE) -> list[Unit]:
    """Every architecture once, in as few units as hold them: for those whose order does not matter."""
    return [unit for group in grouped(architectures, partial(_cell, supernet)).values() for unit in _cut(group, size)]


def spread(sizes: Sequence[int]) -> list[int]:
    """Positions in an order whose every beginning is spread evenly over the sorted `sizes`.

    The fractional parts of multiples of the golden ratio fill the unit interval evenly, however many are taken.
    """
    by_size = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    ranks = sorted(range(len(sizes)), key=lambda number: number * GOLDEN % 1.0)
    order = [0] * len(sizes)
    for rank, number in enumerate(ranks):
        order[number] = by_size[rank]
    return order


def _macs(supernet: Supernet, architectures: Sequence[Architecture]) -> list[int]:
    scale = Scale(supernet.space, RESOLUTION, supernet.num_classes)
    sizes: list[int] = pool_costs([each.code for each in architectures], scale).macs.tolist()
    return sizes


def _cell(supernet: Supernet, architecture: Architecture) -> int:
    return supernet.cell_of(architecture) if isinstance(supernet, FewShotSupernet) else 0


def _cut(group: list[Architecture], size: int) -> list[Unit]:
    """Parts of nearly equal size, neighbours in the tree kept together."""
    if len(group) > size:
        group = sorted(group, key=pieces)
    parts = -(-len(group) // size)
    length = -(-len(group) // parts)
    return [Unit(tuple(group[start : start + length])) for start in range(0, len(group), length)]
