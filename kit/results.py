"""Scores on disk: one record per unit, appended once, complete, with a checksum, and never rewritten."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.files import storage_errors
from kit.records import RecordWriter, appending, read_records
from kit.search_space import Architecture

Counts = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """Correct predictions of one calibrated sub-network on the validation images."""

    architecture: Architecture
    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Top-1, a fraction."""
        return self.correct / self.images


class ResultsFile:
    """Counts of correct predictions by code, valid for one evaluation `key` (weights, data, calibration).

    Records of another key, torn or damaged ones are ignored: what they stood for is computed again. Each process of a group
    appends to a file of its own beside this one; reading sees them all, and `merge` gathers them.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key[:16]

    def read(self) -> dict[str, Counts]:
        """Finished results by code: (correct, images)."""
        found: dict[str, Counts] = {}
        for path in (self.path, *self._parts()):
            for record in read_records(path):
                if record.get("key") == self.key and isinstance(record.get("correct"), dict):
                    images = record["images"]
                    found.update((code, (correct, images)) for code, correct in record["correct"].items())
        return found

    @contextmanager
    def appending(self, rank: int = 0) -> Iterator["ResultsWriter"]:
        """Open for writing; the first process writes to the file itself."""
        with appending(self._part(rank) if rank else self.path) as writer:
            yield ResultsWriter(writer, self.key)

    def merge(self) -> None:
        """Move what other processes have written into the file itself. Only while none of them writes."""
        parts = self._parts()
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
        for path in (self.path, *self._parts()):
            with storage_errors("remove", path):
                path.unlink(missing_ok=True)

    def _part(self, rank: int | str) -> Path:
        return self.path.with_name(f"{self.path.stem}.rank{rank}{self.path.suffix}")

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(self._part("*").name))


class ResultsWriter:
    """Appends scores under one key."""

    def __init__(self, writer: RecordWriter, key: str) -> None:
        self._writer = writer
        self._key = key

    def append(self, scores: Sequence[Score]) -> None:
        """Write one unit's results."""
        correct = {score.architecture.code: score.correct for score in scores}
        self._writer.append({"key": self._key, "images": scores[0].images, "correct": correct})
