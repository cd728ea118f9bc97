"""Scores on disk: one checksummed line per sub-network, appended once, never rewritten."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kit.files import storage_errors


class ResultsFile:
    """An append-only file of (code, correct, images), valid for one evaluation `key` (weights, data, calibration).

    Lines of another key, torn or damaged lines are ignored: what they stood for is computed again.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key[:16]

    def read(self) -> dict[str, tuple[int, int]]:
        """Finished results by code: (correct, images)."""
        if not self.path.exists():
            return {}
        results = {}
        with storage_errors("read", self.path), self.path.open("rb") as file:
            for line in file:
                record = _decode(line)
                if record is not None and record["key"] == self.key:
                    results[record["code"]] = (record["correct"], record["images"])
        return results

    @contextmanager
    def appending(self) -> Iterator["ResultsWriter"]:
        """Open for writing; on disk for certain when the block ends."""
        with storage_errors("write", self.path), self.path.open("ab") as file:
            if file.tell():
                file.write(b"\n")  # ends a line that a killed process left torn; empty lines are ignored
            yield ResultsWriter(file, self.key)
            file.flush()
            os.fsync(file.fileno())


class ResultsWriter:
    """Appends results to an open file."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        self._file = file
        self._key = key

    def append(self, code: str, correct: int, images: int) -> None:
        """Write one result; it survives the death of this process at once, a power cut after the block."""
        text = json.dumps({"key": self._key, "code": code, "correct": correct, "images": images}, separators=(",", ":"))
        self._file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        self._file.flush()


def _decode(line: bytes) -> dict[str, object] | None:
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    record: dict[str, object] = json.loads(text)
    return record
