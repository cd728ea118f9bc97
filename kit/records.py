"""Append-only files of JSON records, a checksum before each: what a killed process leaves torn is noticed and skipped."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kit.files import storage_errors

Record = dict[str, Any]


def read_records(path: Path) -> Iterator[Record]:
    """The intact records of a file, oldest first; a missing file has none."""
    if not path.exists():
        return
    with storage_errors("read", path), path.open("rb") as file:
        for line in file:
            checksum, _, text = line.rstrip(b"\n").partition(b" ")
            if text and line.endswith(b"\n") and checksum == _checksum(text):
                yield json.loads(text)


class RecordWriter:
    """Appends records to an open file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Write a record. It survives the death of this process at once, a power cut if `durable` or once closed."""
        text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
        with storage_errors("write", self._path):
            self._file.write(_checksum(text) + b" " + text + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())


@contextmanager
def appending(path: Path) -> Iterator[RecordWriter]:
    """Open a file of records for writing; everything is on disk for certain when the block ends."""
    with storage_errors("write", path):
        file = path.open("ab")
    with file:
        writer = RecordWriter(file, path)
        with storage_errors("write", path):
            if file.tell():
                file.write(b"\n")  # ends a line that a killed process left torn; empty lines are no records
        yield writer
        with storage_errors("write", path):
            file.flush()
            os.fsync(file.fileno())


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
