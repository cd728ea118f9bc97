"""Append-only files of JSON records, a checksum before each: what a killed process leaves torn is noticed and skipped."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kit.errors import StorageError
from kit.files import GrowingFile, close, fsync, storage_errors

Record = dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """The intact records of a file, oldest first; a missing file has none."""
    return RecordReader(path).read()[0]


class RecordReader:
    """Reads the intact records of a file, each once, as others append to it."""

    def __init__(self, path: Path) -> None:
        self._file = GrowingFile(path)

    def read(self) -> tuple[list[Record], bool]:
        """The records that are new, and whether the file is another one than before (removed, replaced or cut)."""
        try:
            with storage_errors("read", self._file.path):
                data, is_another = self._file.read()
        except StorageError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            was_known = self._file.is_known
            self._file = GrowingFile(self._file.path)
            return [], was_known
        whole, _, torn = data.rpartition(b"\n")
        self._file.offset -= len(torn)  # its rest may come yet
        return [record for line in whole.split(b"\n") if (record := _record(line)) is not None], is_another


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
                fsync(self._file.fileno())


@contextmanager
def appending(path: Path) -> Iterator[RecordWriter]:
    """Open a file of records for writing; everything is on disk for certain when the block ends."""
    with storage_errors("write", path):
        file = path.open("ab")
    try:
        writer = RecordWriter(file, path)
        with storage_errors("write", path):
            if file.tell():
                file.write(b"\n")  # ends a line that a killed process left torn; empty lines are no records
        yield writer
        with storage_errors("write", path):
            file.flush()
            fsync(file.fileno())
    finally:
        close(file, path)


def _record(line: bytes) -> Record | None:
    checksum, _, text = line.partition(b" ")
    if not text or checksum != _checksum(text):
        return None
    record = json.loads(text)
    return record if isinstance(record, dict) else None


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
