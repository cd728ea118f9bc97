"""Scores on disk: one record per sub-network, appended once, never rewritten."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.evaluation.accuracy import Score
from kit.records import RecordWriter, appending, read_records

Counts = tuple[int, int]


class ResultsFile:
    """Counts of correct predictions by code, valid for one evaluation `key` (weights, data, calibration).

    Records of another key, torn or damaged ones are ignored: what they stood for is computed again.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key[:16]

    def read(self) -> dict[str, Counts]:
        """Finished results by code: (correct, images)."""
        return {
            record["code"]: (record["correct"], record["images"])
            for record in read_records(self.path)
            if record.get("key") == self.key
        }

    @contextmanager
    def appending(self) -> Iterator["ResultsWriter"]:
        """Open for writing."""
        with appending(self.path) as writer:
            yield ResultsWriter(writer, self.key)


class ResultsWriter:
    """Appends scores under one key."""

    def __init__(self, writer: RecordWriter, key: str) -> None:
        self._writer = writer
        self._key = key

    def append(self, score: Score) -> None:
        """Write one sub-network's result."""
        record = {"key": self._key, "code": score.architecture.code, "correct": score.correct, "images": score.images}
        self._writer.append(record)
