"""Rankings that need no supernet: each has a name for files, a label for people, and a column of numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.costs import PoolCosts, pool_costs
from kit.search_space import Scale

SUPERNET = "supernet"
"""What the ranking by predictions is called beside them."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """One of them; the more of `column` an architecture has, the better it is ranked."""

    name: str
    label: str
    column: Callable[[PoolCosts], NDArray[np.int64]]


OPPONENTS = (
    Opponent("macs", "multiply-adds", lambda costs: costs.macs),
    Opponent("params", "parameters", lambda costs: costs.params),
    Opponent("depth", "depth", lambda costs: costs.depth),
)
_LABELS = {opponent.name: opponent.label for opponent in OPPONENTS}


def label_of(name: str) -> str:
    """An opponent's label; a name that no opponent here has, of a file or another version, stands for itself."""
    return _LABELS.get(name, name)


def columns(codes: Sequence[str], scale: Scale) -> dict[str, NDArray[np.int64]]:
    """What every opponent says of these codes, by its name."""
    costs = pool_costs(codes, scale)
    return {opponent.name: opponent.column(costs) for opponent in OPPONENTS}
