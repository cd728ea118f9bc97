"""Which sub-networks to take out of a scored pool: named choices, each a function of scores and costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit import costs
from kit.pool import Pool
from kit.results import Counts, Score
from kit.search_space import Scale

DEFAULT_PARETO = 5


@dataclass(frozen=True, slots=True)
class Scored(Score):
    """A pool entry with its score and its cost."""

    name: str
    macs: int

    @property
    def code(self) -> str:
        return self.architecture.code


def scored_entries(pool: Pool, counts: Iterable[Counts], scale: Scale) -> list[Scored]:
    """A pool with its counts, in its order, and what each entry costs."""
    macs = costs.pool_costs(pool.codes, scale).macs.tolist()
    rows = zip(pool, counts, macs, strict=True)
    return [Scored(architecture, *count, name, cost) for (name, architecture), count, cost in rows]


Selections = dict[str, list[Scored]]
"""Chosen entries by the name of the choice."""


def best(pool: Iterable[Scored], count: int) -> list[Scored]:
    """The most accurate ones; of equals the cheaper first, then by code."""
    return sorted(pool, key=lambda entry: (-entry.accuracy, entry.macs, entry.code))[:count]


def smallest(pool: Iterable[Scored]) -> Scored:
    """The one with the fewest multiply-adds; of equals the more accurate one."""
    return min(pool, key=lambda entry: (entry.macs, -entry.accuracy, entry.code))


def largest(pool: Iterable[Scored]) -> Scored:
    """The one with the most multiply-adds; of equals the more accurate one."""
    return min(pool, key=lambda entry: (-entry.macs, -entry.accuracy, entry.code))


def pareto_front(pool: Sequence[Scored]) -> list[Scored]:
    """Those that no other one beats in accuracy at the same or fewer multiply-adds, from the cheapest up."""
    columns = zip(*((entry.macs, entry.accuracy, entry.code) for entry in pool), strict=True)
    return [pool[place] for place in costs.pareto_front(*columns).tolist()]


def default_selections(pool: Sequence[Scored]) -> Selections:
    """What an archive carries: the best, the smallest, the largest, and some of the Pareto front, evenly spread."""
    front = pareto_front(pool)
    last = len(front) - 1
    steps = min(DEFAULT_PARETO, len(front))
    places = {round(step * last / max(1, steps - 1)) for step in range(steps)}
    return {
        "best": best(pool, 1),
        "smallest": [smallest(pool)],
        "largest": [largest(pool)],
        "pareto": [front[place] for place in sorted(places)],
    }


def by_code(selections: Mapping[str, Iterable[Scored]]) -> dict[str, list[str]]:
    """The names of the choices for each chosen code, both sorted."""
    chosen: dict[str, set[str]] = {}
    for name, entries in selections.items():
        for entry in entries:
            chosen.setdefault(entry.code, set()).add(name)
    return {code: sorted(chosen[code]) for code in sorted(chosen)}
