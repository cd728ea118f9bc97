"""Scores of architectures that cost no training: what any ranking by a supernet has to beat."""

from collections.abc import Sequence

from kit.costs import pool_costs
from kit.search_space import Scale

COUNTED = ("macs", "params", "depth")
"""Need the code alone; of a whole pool at once."""
MEASURED = ("zen", "naswot", "synflow", "grad-norm")
"""Need a freshly initialised network of each architecture."""
ON_DATA = ("naswot", "grad-norm")
"""Of these, the ones that look at training images."""
NAMES = COUNTED + MEASURED


def counted(name: str, codes: Sequence[str], scale: Scale) -> list[float]:
    """Multiply-adds, parameters or blocks of each code."""
    return [float(number) for number in getattr(pool_costs(codes, scale), name)]
