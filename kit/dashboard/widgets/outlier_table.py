"""Architectures by how much prediction and truth disagree about their rank."""

import numpy as np
from numpy.typing import NDArray

from kit.dashboard.pool_detail import CODE_WIDTH
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.watch.pool_rows import PoolRows

WIDE = (Column("rank error", 10, right=True), Column("predicted", 9, right=True), Column("true", 7, right=True))
NARROW = (Column("error", 6, right=True), Column("true", 6, right=True))
CELL = Column("cell", 4, right=True)
SHORT_CODE = 10
EXPORTED = ("code", "name", "predicted", "true", "rank error", "cell", "macs", "params", "depth")


class OutlierTable(VirtualTable):
    """`show` takes the rows in their order; `current` is the one under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, empty="no architecture to show")
        self.rows: PoolRows | None = None
        self.order: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.errors: NDArray[np.float64] = np.empty(0)

    @property
    def current(self) -> int | None:
        """The number of the row under the cursor."""
        return int(self.order[self.cursor]) if self.cursor < len(self.order) else None

    def show(self, rows: PoolRows, order: NDArray[np.int64], errors: NDArray[np.float64]) -> None:
        """Show these rows; the cursor stays on its row if that is still there."""
        keep = self.current if rows is self.rows else None
        self.rows, self.order, self.errors = rows, order, errors
        self.fit()
        places: list[int] = [] if keep is None else np.flatnonzero(order == keep).tolist()
        self.set_rows(len(order), self._cells, cursor=places[0] if places else 0)

    def fit(self) -> None:
        """Choose the columns that there is room for."""
        width = self.size.width or self.app.size.width
        columns = list(WIDE if width >= 40 else NARROW)
        left = width - 2 - sum(column.width + self.GAP for column in columns)
        has_cells = self.rows is not None and bool(np.isfinite(self.rows.numbers("cell")).any())
        if has_cells and left >= SHORT_CODE:
            columns.append(CELL)
            left -= CELL.width + self.GAP
        if left >= SHORT_CODE:
            columns.append(Column("code", min(CODE_WIDTH, left - self.GAP)))
        self.set_columns(columns)

    def on_resize(self) -> None:
        """The code is as wide as there is room."""
        self.fit()

    def _cells(self, index: int) -> list[Cell]:
        assert self.rows is not None
        rows, row, count = self.rows, int(self.order[index]), len(self.order)
        error = float(self.errors[row])
        style = "bad" if abs(error) >= count / 3 else "warn" if abs(error) >= count / 6 else ""
        arrow = "▼" if error > 0 else "▲"
        values: dict[str, Cell] = {
            "rank error": (f"{abs(error):g} {arrow}" if error else "0  ", style),
            "error": (f"{error:+g}" if error else "0", style),
            "predicted": f"{rows.numbers('acc')[row]:.4f}",
            "true": f"{rows.numbers('true')[row]:.4f}",
            "cell": f"{rows.numbers('cell')[row]:g}",
            "code": (rows.codes[row], "muted"),
        }
        return [values[column.name] for column in self.columns]


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
