"""Architectures by how much prediction and truth disagree about their rank."""

import numpy as np
from numpy.typing import NDArray

from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.search_space import CODE_LENGTH
from kit.watch.pool_rows import PoolRows

COLUMNS = (
    Column("rank error", 10, right=True, least=6),
    Column("predicted", 9, right=True, rank=1),
    Column("true", 7, right=True),
    Column("cell", 4, right=True, rank=3),
    Column("code", CODE_LENGTH, least=10, rank=2),
)
EXPORTED = ("code", "name", "predicted", "true", "rank error", "cell", "macs", "params", "depth")


class OutlierTable(VirtualTable[int]):
    """`show` takes the rows in their order; `current` is the one under the cursor."""

    rows: PoolRows | None = None
    order: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    errors: NDArray[np.float64] = np.empty(0)

    def show(self, rows: PoolRows, order: NDArray[np.int64], errors: NDArray[np.float64]) -> None:
        """Show these rows; the cursor stays on its row if that is still there."""
        keep = self.current if rows is self.rows else None
        self.rows, self.order, self.errors = rows, order, errors
        has_cells = bool(np.isfinite(rows.numbers("cell")).any())
        self.set_columns([column for column in COLUMNS if has_cells or column.name != "cell"])
        places: list[int] = [] if keep is None else np.flatnonzero(order == keep).tolist()
        self.set_rows(order.tolist(), self._outlier_cells, cursor=places[0] if places else 0)

    def _outlier_cells(self, row: int) -> list[Cell]:
        assert self.rows is not None
        rows, count = self.rows, len(self.order)
        error = float(self.errors[row])
        style = "bad" if abs(error) >= count / 3 else "warn" if abs(error) >= count / 6 else ""
        arrow = "▼" if error > 0 else "▲"
        cells: list[Cell] = [
            (f"{abs(error):g} {arrow}" if error else "0  ", style),
            f"{rows.numbers('acc')[row]:.4f}",
            f"{rows.numbers('true')[row]:.4f}",
        ]
        cells += [f"{rows.numbers('cell')[row]:g}"] if len(self.columns) == len(COLUMNS) else []
        return [*cells, (rows.codes[row], "muted")]


def exported(rows: PoolRows, order: NDArray[np.int64], errors: NDArray[np.float64]) -> list[tuple[object, ...]]:
    """The rows as values, in the columns of `EXPORTED`."""
    whole = {name: rows.numbers(name) for name in ("cell", "macs", "params", "depth")}
    return [
        (
            rows.codes[row],
            rows.names[row],
            float(rows.numbers("acc")[row]),
            float(rows.numbers("true")[row]),
            float(errors[row]),
            *(int(column[row]) if np.isfinite(column[row]) else None for column in whole.values()),
        )
        for row in order.tolist()
    ]
