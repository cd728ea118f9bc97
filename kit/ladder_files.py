"""What a ladder keeps: what it was asked for, a small file for each supernet that is done, and what it measured."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from kit.errors import InputError
from kit.files import read_json, storage_errors, write_json
from kit.ladder_report import LadderReport
from kit.strict import Fraction, Name, Strict, first_problem

Half = Literal["even", "odd"]
HALVES: tuple[Half, ...] = get_args(Half)
"""Positions of a truth, counted from 0."""


class AskedRow(Strict):
    """One supernet that a ladder was asked for."""

    recipe: Name
    seed: int
    key: str = ""
    """Of its `DoneRow`; empty where its settings cannot be resolved."""
    passes: int = 0
    paper: float | None = None
    """Pearson's r of the recipe in the paper."""


class LadderInputs(Strict):
    """What a ladder was asked for last, in full: whoever watches it needs no more than this, its log and its rows."""

    rows: tuple[AskedRow, ...]
    """In the order of the recipes; those of one recipe follow each other."""
    folder: str
    """Where the finished rows lie."""
    truth: str
    half: Half | None
    num_classes: int
    opponents: dict[str, dict[str, float]]
    """Further rankings, values by code; of the truth's architectures only."""


class DoneRow(Strict):
    """One supernet of a ladder, trained and scored."""

    recipe: Name
    seed: int
    key: str
    """Names what decided the predictions: all settings and data."""
    passes: int
    images: int
    """Passes times images of a step."""
    seconds: float
    environment: dict[str, Any]
    predictions: dict[str, Fraction]
    """Accuracies by code."""


@dataclass(frozen=True)
class RowFolder:
    """A folder of such files, `RECIPE-sSEED.json`."""

    path: Path

    def file(self, recipe: str, seed: int) -> Path:
        return self.path / f"{recipe}-s{seed}.json"

    def find(self, recipe: str, seed: int, key: str) -> DoneRow | None:
        """The row, if it is there and was made with the same key. Raises `StorageError`, `InputError` for a damaged file."""
        file = self.file(recipe, seed)
        with storage_errors("read", file):
            if not file.exists():
                return None
        try:
            row = DoneRow.model_validate(read_json(file))
        except ValidationError as error:
            raise InputError(
                f"{file} is no row of a ladder: {first_problem(error)}", hint="remove it, and the ladder makes it anew"
            ) from error
        return row if row.key == key else None

    def write(self, row: DoneRow) -> None:
        """Add a row, or put it in the place of one that was made with another key."""
        with storage_errors("create", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.file(row.recipe, row.seed), row.model_dump(mode="json"))


def write_inputs(path: Path, inputs: LadderInputs) -> None:
    """Keep what a ladder was asked for."""
    write_json(path, inputs.model_dump(mode="json"))


def read_inputs(path: Path) -> LadderInputs:
    """What a ladder was asked for last. Raises `StorageError` or `InputError` where that is missing or damaged."""
    try:
        # From text: in Python's own values a list is no tuple.
        return LadderInputs.model_validate_json(json.dumps(read_json(path)))
    except ValidationError as error:
        raise InputError(f"{path} is damaged: {first_problem(error)}", hint="run the ladder again") from error


def write_ladder(path: Path, report: LadderReport) -> None:
    """Keep what a ladder measured; `read_ladder` gives back an equal value."""
    write_json(path, asdict(report))


def read_ladder(path: Path) -> LadderReport:
    """What a ladder measured last. Raises `StorageError` or `InputError` where that is missing or damaged."""
    if not path.exists():
        raise InputError(f"{path.parent} measured nothing yet", hint="run its `kit run ladder` command again")
    try:
        return TypeAdapter(LadderReport).validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path} is damaged: {first_problem(error)}", hint="run the ladder again") from error
