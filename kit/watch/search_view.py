"""What a search has found so far: its limits, the best of each way, and the front of accuracy against multiply-adds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.costs import pareto_front, pool_costs
from kit.files import read_json
from kit.results import ResultsReader
from kit.run_dir import RunDirectory
from kit.watch.run_files import read_settings

LIMITS = {"macs": "multiply-adds", "params": "parameters", "latency_ms": "ms"}


@dataclass(frozen=True)
class FrontEntry:
    """An architecture that none beats at the same or fewer multiply-adds."""

    code: str
    accuracy: float
    macs: int


@dataclass(frozen=True)
class SearchView:
    """Limits by what they limit, in words; the front, the most accurate first; how many architectures were scored."""

    limits: Mapping[str, float]
    front: tuple[FrontEntry, ...]
    scored: int


def read_search(run: RunDirectory) -> SearchView:
    """What lies in a search's directory now. Raises `KitError`."""
    resolved: dict[str, Any] = read_json(run.resolved, limits=dict, scores=str)
    limits = {LIMITS.get(name, name): float(value) for name, value in resolved["limits"].items() if value is not None}
    results = ResultsReader(run.evaluations)
    results.look()
    counts = results.of(resolved["scores"])
    if not counts:
        return SearchView(limits, (), 0)
    codes = list(counts)
    accuracies = np.array([correct / images for correct, images in counts.values()])
    macs = pool_costs(codes, read_settings(run).profile.scale).macs
    front = [FrontEntry(codes[at], float(accuracies[at]), int(macs[at])) for at in pareto_front(macs, accuracies).tolist()]
    return SearchView(limits, tuple(reversed(front)), len(codes))
