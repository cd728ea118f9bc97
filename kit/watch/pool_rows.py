"""A pool as columns of numbers: costs of 45,000 architectures are computed at once, sorting and filtering take milliseconds.

Made in a worker thread from files; a value that never changes afterwards.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit import search_space
from kit.costs import code_digits, pareto_front, pool_costs
from kit.errors import InputError
from kit.latency_table import LatencyTable
from kit.pool import Entry
from kit.recipe import Profile
from kit.search_space import SLOTS, STAGES, InvalidArchitectureError, SearchSpace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Digits = NDArray[np.int64]
Progress = Callable[[str, float], None]
"""Told what is being done, and the done part of it."""

TEXT_COLUMNS = ("name", "code")


def quiet(what: str, fraction: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class PoolRows:
    """Architectures in columns; `columns` are by the names of the filter language, `nan` where nothing is known."""

    names: tuple[str, ...]
    codes: tuple[str, ...]
    table: Integers
    """Depths, shape (rows, 4)."""
    columns: Mapping[str, Floats] = field(repr=False)

    def __len__(self) -> int:
        return len(self.codes)

    def numbers(self, name: str) -> Floats:
        return self.columns[name]

    def depths(self) -> Integers:
        return self.table

    def texts(self, name: str) -> Sequence[str]:
        return self.codes if name == "code" else self.names

    @cached_property
    def index(self) -> dict[str, int]:
        """Row numbers by code."""
        return {code: index for index, code in enumerate(self.codes)}

    @cached_property
    def front(self) -> NDArray[np.bool_]:
        """Rows that no other one beats in accuracy at the same or fewer multiply-adds."""
        return self.columns["front"] > 0

    def take(self, rows: Sequence[int]) -> "PoolRows":
        """These rows, in this order; values stay what they were among all rows."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        names = tuple(self.names[row] for row in rows)
        return PoolRows(names, tuple(self.codes[row] for row in rows), self.table[rows], columns)

    @property
    def has_scores(self) -> bool:
        return bool(np.isfinite(self.columns["acc"]).any())

    @property
    def has_latency(self) -> bool:
        return bool(np.isfinite(self.columns["latency"]).any())

    def order(self, name: str, *, down: bool = False) -> Integers:
        """All rows sorted by a column; rows without a value come last either way, equal ones keep the pool's order."""
        if name in TEXT_COLUMNS:
            keys: Any = np.array(self.texts(name))
        elif name == "depths":
            keys = self.table @ (10 ** np.arange(STAGES)[::-1])
        else:
            keys = self.columns[name]
        if down:
            keys = -(np.unique(keys, return_inverse=True)[1] if name in TEXT_COLUMNS else keys)
        return np.argsort(keys, kind="stable")


def make_rows(
    entries: Sequence[Entry],
    profile: Profile,
    *,
    source: str,
    accuracies: Mapping[str, float] | None = None,
    truth: Mapping[str, float] | None = None,
    cells: Sequence[SearchSpace] = (),
    latency: LatencyTable | None = None,
    progress: Progress = quiet,
) -> PoolRows:
    """Check codes and compute costs at `profile`; scores and truths are joined by code, latencies summed from a table.

    Raises `InputError` naming the entry (and the digit) that is wrong, or the code that occurs twice.
    """
    space = profile.search_space
    codes = tuple(entry.code for entry in entries)
    progress("checking codes", 0.0)
    digits = parse_codes(codes, space, lambda index: f"{source}: entry {entries[index].name!r}")
    if len(set(codes)) < len(codes):
        seen: set[str] = set()
        twice = next(entry for entry in entries if entry.code in seen or seen.add(entry.code))  # type: ignore[func-returns-value]
        raise InputError(f"{source}: entry {twice.name!r} repeats the architecture {twice.code}")
    own = {entry.code: entry.accuracy for entry in entries if entry.accuracy is not None}
    scores = own if accuracies is None else accuracies
    depths = digits[:, 1 : 1 + STAGES]
    progress("counting multiply-adds", 0.5)
    cost = pool_costs(codes, profile.scale)
    columns: dict[str, Floats] = {
        "acc": _joined(codes, scores),
        "true": _joined(codes, truth or {}),
        "macs": cost.macs.astype(np.float64),
        "params": cost.params.astype(np.float64),
        "depth": cost.depth.astype(np.float64),
        "stem": np.array(space.channels[0], dtype=np.float64)[digits[:, search_space.STEM_POSITION] - 1],
        "latency": np.full(len(codes), np.nan) if latency is None else latency.pool_milliseconds(codes),
        "cell": cell_numbers(digits, cells),
    }
    columns["error"] = rank_errors(columns["acc"], columns["true"])
    columns["front"] = np.zeros(len(codes))
    columns["front"][pareto_front(cost.macs, columns["acc"], codes)] = 1
    return PoolRows(tuple(entry.name for entry in entries), codes, depths, columns)


def parse_codes(codes: Sequence[str], space: SearchSpace, where: Callable[[int], str]) -> Digits:
    """The digits of all codes, shape (codes, 52). Raises `InvalidArchitectureError`; `where` names the entry for it."""
    for index, code in enumerate(codes):
        if len(code) != search_space.CODE_LENGTH or not code.isascii() or not code.isdigit():
            _refuse(code, space, where(index))
    digits = code_digits(codes)
    for index in np.flatnonzero(~_plausible(digits, space)).tolist():
        _refuse(codes[index], space, where(index))
    return digits


def _refuse(code: str, space: SearchSpace, where: str) -> None:
    """Let the search space, which knows best, say what is wrong; what it takes is right."""
    try:
        space.parse(code)
    except InvalidArchitectureError as error:
        raise InvalidArchitectureError(f"{where}: {error}", position=error.position, hint=error.hint) from error


def _plausible(digits: Digits, space: SearchSpace) -> NDArray[np.bool_]:
    """Which rows keep the rules of `SearchSpace.parse`, all rows at once."""
    depths = digits[:, 1 : 1 + STAGES]
    good = (digits[:, 0] == 1) & (depths >= search_space.MIN_DEPTH).all(axis=1) & (depths <= SLOTS).all(axis=1)
    known = np.array([int("".join(map(str, choice))) for choice in space.depth_choices])
    good = good & np.isin(depths @ (10 ** np.arange(STAGES)[::-1]), known)
    position = search_space.FIRST_SLOT_POSITION
    for stage, slots in enumerate(SLOTS):
        pairs = digits[:, position : position + 2 * slots].reshape(len(digits), slots, 2)
        out = pairs[:, 0, 1]
        used = np.arange(slots) < depths[:, stage, None]
        mids, outs = pairs[:, :, 0], pairs[:, :, 1]
        in_range = (mids >= 1) & (mids <= space.max_digits[stage]) & (outs == out[:, None])
        good = good & np.where(used, in_range, (mids == 0) & (outs == 0)).all(axis=1)
        good = good & (out >= 1) & (out <= space.max_digits[stage])
        if stage == 0:
            good = good & digits[:, search_space.STEM_POSITION] == out
        position += 2 * slots
    return np.asarray(good, dtype=np.bool_)


def cell_numbers(digits: Digits, cells: Sequence[SearchSpace]) -> Floats:
    """The cell of the recipe's partition that owns each row, counted from 0; `nan` without a partition."""
    numbers = np.full(len(digits), np.nan)
    scale = 10 ** np.arange(STAGES)[::-1]
    keys = digits[:, 1 : 1 + STAGES] @ scale
    for number, cell in enumerate(cells):
        own = np.isin(keys, np.array(cell.depth_choices) @ scale)
        for at, choices in zip(search_space.OUT_POSITIONS, cell.out_digits or (), strict=False):
            own &= np.isin(digits[:, at], choices)
        numbers[own] = number
    return numbers


def rank_errors(predicted: Floats, true: Floats) -> Floats:
    """Rank by prediction minus rank by truth, among rows that have both: positive where a row is ranked too low."""
    errors = np.full(len(predicted), np.nan)
    both = np.flatnonzero(np.isfinite(predicted) & np.isfinite(true))
    errors[both] = ranks(predicted[both]) - ranks(true[both])
    return errors


def ranks(values: Floats) -> Floats:
    """Place of each value, the largest is 1; equal values share the mean of their places."""
    _, groups, sizes = np.unique(-values, return_inverse=True, return_counts=True)
    means: Floats = (np.cumsum(sizes) - (sizes - 1) / 2)[groups]
    return means


def _joined(codes: Iterable[str], values: Mapping[str, float]) -> Floats:
    return np.array([values.get(code, np.nan) for code in codes], dtype=np.float64)
