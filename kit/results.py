"""Scores on disk: `evaluations.jsonl`, one record per unit, appended once, complete, with a checksum, and never rewritten.

Nothing else reads or writes these files. Each process of a group appends to one of its own beside the first one's. An
archive keeps the scores of its pool in another layout, a line per entry in order: `dump_pool_scores`, `parse_pool_scores`.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kit.errors import StorageError
from kit.files import parse_json, storage_errors
from kit.records import Record, RecordReader, RecordWriter, appending, read_records
from kit.search_space import Architecture

EVALUATIONS = "evaluations.jsonl"
KEY_LENGTH = 16
Counts = tuple[int, int]
"""Correct predictions, and the images that they are of."""
Detail = Literal["parts", "answers"]


@dataclass(frozen=True, slots=True)
class Score:
    """Correct predictions of one calibrated sub-network on the validation images."""

    architecture: Architecture
    correct: int
    images: int
    parts: tuple[int, ...] = field(default=(), kw_only=True, compare=False)
    """Correct predictions of each batch, where scores are of an image budget."""
    answers: bytes = field(default=b"", kw_only=True, compare=False, repr=False)
    """A bit for each image, 1 for a correct prediction, first image first (`numpy.packbits`), where somebody keeps them."""

    @property
    def accuracy(self) -> float:
        """Top-1, a fraction."""
        return self.correct / self.images


class ResultsReader:
    """Results by code, in the order in which they came. Each look reads on from where the last one ended.

    Records that are torn, damaged or of another layout are passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start()

    def _start(self) -> None:
        self._files: dict[Path, RecordReader] = {}
        self._by_key: dict[str, dict[str, Counts]] = {}
        self._parts: dict[str, dict[str, list[int]]] = {}
        self._answers: dict[str, dict[str, str]] = {}
        self._newest = ""

    def look(self) -> None:
        """Take in what was written since the last look; a file that was cleared is read anew. Raises `StorageError`."""
        for path in (self.path, *_parts(self.path)):
            records, is_another = self._files.setdefault(path, RecordReader(path)).read()
            if is_another and path == self.path:
                self._start()
                self.look()
                return
            for record in records:
                self._take(record)

    def of(self, key: str) -> Mapping[str, Counts]:
        """The results of one evaluation."""
        return self._by_key.get(key[:KEY_LENGTH], {})

    def parts_of(self, key: str) -> Mapping[str, Sequence[int]]:
        """Correct predictions of each batch, of an evaluation with an image budget."""
        return self._parts.get(key[:KEY_LENGTH], {})

    def answers_of(self, key: str) -> Mapping[str, bytes]:
        """`Score.answers` by code, of an evaluation that keeps them."""
        return {code: base64.b64decode(text) for code, text in self._answers.get(key[:KEY_LENGTH], {}).items()}

    @property
    def newest(self) -> Mapping[str, Counts]:
        """The results of the evaluation that wrote last, for those who know no key.

        Its key is the last record's, the first process's file before the others': what these hold is never the older,
        since whoever begins to score moves it into the first one before he writes.
        """
        return self.of(self._newest)

    def _take(self, record: Record) -> None:
        key, images, correct = record.get("key"), record.get("images"), record.get("correct")
        if not (isinstance(key, str) and isinstance(images, int) and isinstance(correct, dict)):
            return
        if images > 0 and all(type(count) is int and 0 <= count <= images for count in correct.values()):
            self._newest = key
            self._by_key.setdefault(key, {}).update((code, (count, images)) for code, count in correct.items())
            for name, kept in (("parts", self._parts), ("answers", self._answers)):
                detail = record.get(name)
                if isinstance(detail, dict):
                    kept.setdefault(key, {}).update(detail)


class ResultsFile:
    """Counts of correct predictions by code, valid for one evaluation `key` (weights, data, calibration).

    What records of another key or damaged ones stand for is computed again.
    """

    def __init__(self, path: Path, key: str, *, detail: Detail | None = None) -> None:
        self.path = path
        self.key = key[:KEY_LENGTH]
        self.detail: Detail | None = detail
        """What is kept besides counts: those of each batch, or the answer to each image."""

    def read(self) -> dict[str, Counts]:
        """Finished results by code, those of all processes."""
        reader = ResultsReader(self.path)
        reader.look()
        return dict(reader.of(self.key))

    def read_parts(self) -> dict[str, Sequence[int]]:
        """Correct predictions of each batch by code, those of all processes."""
        reader = ResultsReader(self.path)
        reader.look()
        return dict(reader.parts_of(self.key))

    def read_answers(self) -> dict[str, bytes]:
        """`Score.answers` by code, those of all processes."""
        reader = ResultsReader(self.path)
        reader.look()
        return dict(reader.answers_of(self.key))

    @contextmanager
    def appending(self, rank: int = 0) -> Iterator["ResultsWriter"]:
        """Open for writing; the first process writes to the file itself."""
        with appending(_part(self.path, rank) if rank else self.path) as writer:
            yield ResultsWriter(writer, self.key, self.detail)

    def merge(self) -> None:
        """Move what other processes have written into the file itself. Only while none of them writes."""
        parts = _parts(self.path)
        if not parts:
            return
        with appending(self.path) as writer:
            for part in parts:
                for record in read_records(part):
                    writer.append(record)
        # Not before the records are on disk here: a process killed in between leaves some twice, which does no harm.
        for part in parts:
            with storage_errors("remove", part):
                part.unlink()

    def clear(self) -> None:
        """Forget all results, of every key."""
        for path in (self.path, *_parts(self.path)):
            with storage_errors("remove", path):
                path.unlink(missing_ok=True)


class ResultsWriter:
    """Appends scores under one key."""

    def __init__(self, writer: RecordWriter, key: str, detail: Detail | None = None) -> None:
        self._writer = writer
        self._key = key
        self._detail: Detail | None = detail

    def append(self, scores: Sequence[Score]) -> None:
        correct = {score.architecture.code: score.correct for score in scores}
        record: Record = {"key": self._key, "images": scores[0].images, "correct": correct}
        if self._detail == "parts":
            record["parts"] = {score.architecture.code: list(score.parts) for score in scores}
        elif self._detail == "answers":
            record["answers"] = {score.architecture.code: base64.b64encode(score.answers).decode() for score in scores}
        self._writer.append(record)


PoolRow = tuple[str, str, int, int]
"""Name, code, correct, images of an entry of a pool."""


def dump_pool_scores(rows: Iterable[PoolRow], weights_sha256: str) -> bytes:
    """An archive's `results/evaluations.jsonl`."""
    names = ("name", "code", "correct", "images", "weights_sha256")
    lines = (dict(zip(names, (*row, weights_sha256), strict=True)) for row in rows)
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)


def parse_pool_scores(data: bytes, weights_sha256: str, *, source: str) -> list[PoolRow]:
    """What `dump_pool_scores` wrote. Raises `StorageError` unless these are scores with the given weights."""
    rows = [parse_json(line, source=source) for line in data.splitlines()]
    try:
        if all(row["weights_sha256"] == weights_sha256 for row in rows):
            return [(str(row["name"]), str(row["code"]), int(row["correct"]), int(row["images"])) for row in rows]
    except (LookupError, TypeError, ValueError) as error:
        raise StorageError(f"{source} is damaged: {error!r}") from error
    raise StorageError(f"{source} holds the scores of other weights")


def _part(path: Path, rank: int | str) -> Path:
    return path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def _parts(path: Path) -> list[Path]:
    return sorted(path.parent.glob(_part(path, "*").name))
