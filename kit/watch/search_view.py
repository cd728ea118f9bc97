"""What a search has found so far: its limits, the best of each way, and the front of accuracy against multiply-adds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from kit.costs import pareto_front, pool_costs
from kit.errors import StorageError
from kit.files import read_json
from kit.results import ResultsReader
from kit.run_dir import RunDirectory
from kit.strict import first_problem
from kit.watch.run_files import read_settings

LIMITS = {"macs": "multiply-adds", "params": "parameters", "latency_ms": "ms"}
RESULT = "search.json"


@dataclass(frozen=True, kw_only=True)
class Found:
    """An architecture with what the supernet says of it and what it costs."""

    code: str
    accuracy: float
    macs: int
    params: int
    latency_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Way:
    """What one way of searching found: its best, and its front of accuracy against multiply-adds, cheapest first.

    Multiply-adds are those of scoring what it was the first to ask for, each by itself and as trees.
    """

    best: Found
    pareto: tuple[Found, ...]
    evaluated: int
    distinct: int
    macs_one_by_one: int
    macs_done: int


@dataclass(frozen=True, kw_only=True)
class SearchResult(Way):
    """`search.json`: what evolution found, and random search with the same budget."""

    random: Way
    latency: str = ""
    """What the milliseconds are, where a table told them."""


@dataclass(frozen=True)
class Scored:
    """An architecture that was scored."""

    code: str
    accuracy: float
    macs: int


@dataclass(frozen=True)
class SearchView:
    """Limits by what they limit, in words; everything scored, in order; the front of it, the most accurate first."""

    limits: Mapping[str, float]
    entries: tuple[Scored, ...] = field(default=(), repr=False)
    front: tuple[Scored, ...] = ()
    images: int = 0
    """That each accuracy is of."""

    @property
    def scored(self) -> int:
        """How many architectures have a score."""
        return len(self.entries)

    @property
    def limits_in_words(self) -> list[str]:
        return [f"at most {value:,.10g} {name}" for name, value in self.limits.items()]


def read_search(run: RunDirectory) -> SearchView:
    """What lies in a search's directory now. Raises `KitError`."""
    resolved: dict[str, Any] = read_json(run.resolved, limits=dict, scores=str)
    limits = {LIMITS.get(name, name): float(value) for name, value in resolved["limits"].items() if value is not None}
    results = ResultsReader(run.evaluations)
    results.look()
    counts = results.of(resolved["scores"])
    if not counts:
        return SearchView(limits)
    codes = list(counts)
    accuracies = np.array([correct / images for correct, images in counts.values()])
    macs = pool_costs(codes, read_settings(run).profile.scale).macs
    entries = [Scored(*each) for each in zip(codes, accuracies.tolist(), macs.tolist(), strict=True)]
    front = [entries[at] for at in pareto_front(macs, accuracies).tolist()]
    return SearchView(limits, tuple(entries), tuple(reversed(front)), max(images for _, images in counts.values()))


def read_result(run: RunDirectory) -> SearchResult | None:
    """What a search ended with; None before its end. Raises `StorageError` for a file that is damaged."""
    path = run.path / RESULT
    if not path.exists():
        return None
    try:
        return TypeAdapter(SearchResult).validate_python(read_json(path))
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged: {first_problem(error)}", hint="remove it and search again: the scores are kept"
        ) from error
