"""Rankings that need no supernet: each has a name for files, a label for people, and a column of numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kit.costs import PoolCosts, pool_costs
from kit.rank_report import COUNTED
from kit.search_space import Scale

SUPERNET = "supernet"
"""What the ranking by predictions is called beside them."""


@dataclass(frozen=True, slots=True)
class Opponent:
    """One of them; the more of `column` an architecture has, the better it is ranked."""

    name: str
    label: str
    column: Callable[[PoolCosts], NDArray[np.int64]]


LATENCY = "latency"
"""What a latency table is called beside them: what takes longer is ranked better."""
MACS, PARAMS, DEPTH = COUNTED
OPPONENTS = (
    Opponent(MACS, "multiply-adds", lambda costs: costs.macs),
    Opponent(PARAMS, "parameters", lambda costs: costs.params),
    Opponent(DEPTH, "depth", lambda costs: costs.depth),
)
_LABELS = {opponent.name: opponent.label for opponent in OPPONENTS}


def label_of(name: str) -> str:
    """An opponent's label; a name that no opponent here has, of a file or another version, stands for itself."""
    return _LABELS.get(name, name)


GIVEN = (MACS, PARAMS)
"""What the partial correlation takes as known: their logarithms are regressed out of predictions and truth."""


def columns(codes: Sequence[str], scale: Scale) -> dict[str, NDArray[np.int64]]:
    """What every opponent says of these codes, by its name."""
    costs = pool_costs(codes, scale)
    return {opponent.name: opponent.column(costs) for opponent in OPPONENTS}


def logarithms(found: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """The natural logarithm of every column that is positive throughout, any other column as it is."""
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    return {name: np.log(values) if (values > 0).all() else values for name, values in arrays.items()}
