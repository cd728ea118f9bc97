"""Which rows of a pool are shown, and in which order: sorting is done once per column, filtering takes milliseconds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kit.watch.filter_language import Filter
from kit.watch.pool_rows import PoolRows

Order = NDArray[np.int64]
LARGEST_FIRST = ("acc", "true", "error")
"""Columns of which one looks for large values; of costs for small ones."""


@dataclass
class PoolSelection:
    """Sorting, filter and the Pareto front of one pool after the other."""

    rows: PoolRows | None = None
    sort: tuple[str, bool] | None = None
    """Column and whether downwards; None keeps the pool's order."""
    matching: Filter | None = None
    front_only: bool = False
    shown: Order = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Row numbers, in the order in which they are shown."""
    _orders: dict[tuple[str, bool], Order] = field(default_factory=dict)

    def use(self, rows: PoolRows | None) -> None:
        """Go on with these rows."""
        self.rows, self._orders = rows, {}
        self.pick()

    def sort_by(self, name: str | None) -> None:
        """Sort by a column (None: not at all) from the next `pick` on; by the same one again: the other way round."""
        down = not self.sort[1] if self.sort is not None and self.sort[0] == name else name in LARGEST_FIRST
        self.sort = None if name is None else (name, down)

    def pick(self) -> None:
        """Choose the rows anew."""
        rows = self.rows
        if rows is None:
            self.shown = np.empty(0, dtype=np.int64)
            return
        mask = np.ones(len(rows), dtype=np.bool_) if self.matching is None else self.matching.mask(rows)
        if self.front_only:
            mask = mask & rows.front
        order = self._order(rows)
        self.shown = order[mask[order]]

    def _order(self, rows: PoolRows) -> Order:
        if self.sort is None:
            return np.arange(len(rows))
        if self.sort not in self._orders:
            self._orders[self.sort] = rows.order(self.sort[0], down=self.sort[1])
        return self._orders[self.sort]

    def row(self, place: int) -> int | None:
        """The row at a place of what is shown."""
        return int(self.shown[place]) if 0 <= place < len(self.shown) else None

    def place(self, code: str | None) -> int | None:
        """Where an architecture is shown; None where it is not."""
        if code is None or self.rows is None or code not in self.rows.index:
            return None
        places: list[int] = np.flatnonzero(self.shown == self.rows.index[code]).tolist()
        return places[0] if places else None
