"""What is told about one architecture beside the table, and how rows of the table look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from textual.content import Content

from kit.dashboard.widgets.network import code_parts, cost_lines, network
from kit.dashboard.widgets.parts import Part
from kit.dashboard.widgets.table import Cell, Column
from kit.recipe import Profile
from kit.search_space import CODE_LENGTH, Architecture
from kit.watch.pool_rows import TEXT_COLUMNS, PoolRows
from kit.watch.run_files import PoolView
from kit.watch.text import clean, short_number

COLUMNS = (
    Column("name", 12, least=12),
    Column("acc", 7, right=True, least=6),
    Column("true", 7, right=True, rank=5),
    Column("error", 7, right=True, rank=6),
    Column("macs", 7, right=True, rank=1),
    Column("params", 8, right=True, rank=4),
    Column("latency", 8, right=True, rank=1),
    Column("depth", 7, right=True, rank=8),
    Column("depths", 8, rank=3),
    Column("stem", 6, right=True, rank=9),
    Column("cell", 6, right=True, rank=7),
    Column("code", CODE_LENGTH, least=12, rank=2),
)
SIGNS = {(False, False): "", (False, True): "◆ ", (True, False): "✓ ", (True, True): "◈ "}
"""Before the name: whether it is marked, whether it is on the Pareto front."""
EXPORTED = ("name", "code", "acc", "true", "error", "macs", "params", "depth", "stem", "latency", "cell", "front")


def pool_columns(rows: PoolRows | None) -> list[Column]:
    """The columns in which some row has something."""
    empty = (
        () if rows is None else [name for name in ("true", "error", "cell", "latency") if np.isnan(rows.numbers(name)).all()]
    )
    return [column for column in COLUMNS if column.name not in empty]


def row_cells(rows: PoolRows, index: int, columns: Sequence[Column], *, marked: bool = False) -> list[Cell]:
    """The cells of a row."""
    return [_cell(rows, index, column.name, marked) for column in columns]


def _cell(rows: PoolRows, index: int, name: str, marked: bool) -> Cell:
    if name == "code":
        return (rows.codes[index], "muted")
    if name == "name":
        # Not by colour alone: terminals may have none.
        return (SIGNS[marked, bool(rows.front[index])] + rows.names[index], "strong")
    if name == "depths":
        return " ".join(map(str, rows.table[index]))
    value = float(rows.numbers(name)[index])
    if math.isnan(value):
        return ("-", "muted")
    if name in ("acc", "true"):
        return (f"{value:.4f}", "good" if name == "acc" and rows.front[index] else "")
    if name == "error":
        return f"{value:+g}" if value else "0"
    if name == "latency":
        return f"{value:.4g}"
    return short_number(value) if name in ("macs", "params") else f"{value:g}"


@dataclass(frozen=True)
class Subject:
    """What the detail pane is about: an architecture, with its row if the pool has it."""

    architecture: Architecture
    row: int | None


def detail(subject: Subject, rows: PoolRows | None, profile: Profile, width: int, *, compact: bool = False) -> Content:
    """The pane's text, `width` columns wide."""
    architecture = subject.architecture
    parts: list[Part] = []
    if subject.row is not None and rows is not None:
        parts += _known(rows, subject.row)
    else:
        parts += [("not in this pool", "bold $text-warning"), ("  from the code editor", "$text-muted"), "\n"]
    if width >= CODE_LENGTH:
        parts += [*code_parts(architecture.code), "\n"]
    else:
        code = architecture.code
        parts += [(code[:26], "$text-primary"), "\n", (code[26:], "$text-primary"), "\n"]
    parts += ["\n"] if not compact else []
    parts += cost_lines(architecture, profile)
    where = f"{profile.name}, {profile.resolution}x{profile.resolution} pixels"
    parts += [(f"{'depth':>14} ", "$text-muted"), f"{sum(architecture.depths)} blocks", (f"  on {where}\n", "$text-muted")]
    parts += ["\n"] if not compact else []
    return Content.assemble(*parts, network(architecture, profile, width, compact=compact))


def _known(rows: PoolRows, row: int) -> list[Part]:
    parts: list[Part] = [(clean(rows.names[row]), "bold")]
    figures = {name: float(rows.numbers(name)[row]) for name in ("acc", "true", "error", "cell", "latency")}
    if not math.isnan(figures["acc"]):
        parts += [("  predicted ", "$text-muted"), (f"{figures['acc']:.4f}", "bold $text-success")]
    if not math.isnan(figures["true"]):
        parts += [("  true ", "$text-muted"), (f"{figures['true']:.4f}", "bold $text-primary")]
    if not math.isnan(figures["error"]):
        error = figures["error"]
        word = "too low" if error > 0 else "too high" if error < 0 else "right"
        parts += [("  ranked ", "$text-muted"), (f"{abs(error):g} {word}" if error else word, "$text-warning")]
    if not math.isnan(figures["cell"]):
        parts += [(f"  cell {figures['cell']:g}", "$text-muted")]
    if not math.isnan(figures["latency"]):
        parts += [(f"  {figures['latency']:.4g} ms", "$text-accent")]
    if rows.front[row]:
        parts += [("  ◆ Pareto", "$text-success")]
    return [*parts, "\n"]


def facts(view: PoolView, shown: int, marked: int, pool: Path | None, *, front_only: bool) -> list[str]:
    """What the line below the table says."""
    rows, scores, profile = view.rows, view.scores, view.profile
    if rows is None:
        return []
    told = [f"{shown:,} of {len(rows):,}" if shown < len(rows) else f"{len(rows):,} architecture{'s' * (len(rows) > 1)}"]
    if marked:
        told.append(f"{marked:,} marked")
    if not rows.has_scores:
        told.append("no accuracies yet")
    elif not scores.complete and scores.accuracies:
        told.append(f"{len(scores.accuracies):,} scored so far")
    if rows.has_scores:
        told.append(f"◆ {int(rows.front.sum()):,} on the Pareto front" + (" (only these)" if front_only else ""))
    if view.latency:
        told.append(clean(view.latency))
    if view.truth_problem:
        told.append(f"truth: {clean(view.truth_problem)}")
    if profile is not None:
        told.append(f"costs on {clean(profile.name)}, {profile.resolution} x {profile.resolution}")
    return told if pool is None else [*told, clean(pool.name)]


def exported(rows: PoolRows, order: Sequence[int]) -> list[tuple[object, ...]]:
    """Rows as values, in the columns of `EXPORTED`."""
    columns = [rows.texts(name) if name in TEXT_COLUMNS else rows.numbers(name).tolist() for name in EXPORTED]
    return [tuple(_plain(column[index]) for column in columns) for index in order]


def _plain(value: object) -> object:
    """`nan` is not JSON, and whole numbers need no decimals."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) >= 2 else value
