"""A CSV table of architectures of any space: one row each, columns of numbers named in the first row."""

import csv
import difflib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.correlation import Count, rank_correlation
from kit.errors import InputError, some
from kit.files import decode_text, storage_errors
from kit.rank_report import RankReport
from kit.ranking.opponents import logarithms


@dataclass(frozen=True)
class Table:
    """Columns of a table by name, as text; every row has a cell in each."""

    source: str
    columns: dict[str, list[str]]

    def numbers(self, names: Iterable[str]) -> dict[str, list[float]]:
        """These columns as finite numbers. Raises `InputError` naming row and column of the first cell that is none."""
        return {name: [self._number(name, *cell) for cell in enumerate(self._cells(name), 2)] for name in names}

    def rank(
        self, prediction: str, truth: Sequence[str], opponents: Sequence[str] = (), top: Sequence[Count] | None = None
    ) -> RankReport:
        """Rank by one column; several columns of truth are its seeds, and what opponents know is regressed out of both."""
        named = [*truth, *opponents, prediction]
        if twice := [name for name in named if named.count(name) > 1]:
            raise InputError(f"the column {twice[0]!r} is named twice", hint="each column has one part to play")
        rivals = self.numbers(opponents)
        seeds = np.array(list(self.numbers(truth).values())).T
        [predicted] = self.numbers([prediction]).values()
        return rank_correlation(predicted, seeds, opponents=rivals, given=logarithms(rivals), top=top)

    def _cells(self, name: str) -> list[str]:
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {some(list(self.columns))}"
            raise InputError(f"{self.source} has no column {name!r}", hint=hint)
        return self.columns[name]

    def _number(self, name: str, row: int, cell: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{self.source}: row {row}, column {name!r}: expected a finite number, found {cell[:40]!r}")
        return value


def read_table(path: Path) -> Table:
    """Read a CSV file, or one with tabs if it is called `.tsv`.

    Raises `InputError` where two columns have one name or a row has more or fewer cells, `StorageError` if it is not read.
    """
    with storage_errors("read", path):
        data = path.read_bytes()
    text = decode_text(data, source=str(path))
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is no CSV table: {error}") from error
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise InputError(f"{path}: expected a first row of names and a row for each architecture")
    names = [name.strip() for name in rows[0]]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InputError(f"{path}: two columns are called {twice!r}", hint="rename one of them")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise InputError(f"{path}: row {number} has {len(row)} cells, the first row names {len(names)} columns")
    return Table(str(path), dict(zip(names, map(list, zip(*rows[1:], strict=True)), strict=True)))
