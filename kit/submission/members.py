"""Members of an archive, packed or not: the builder and the checker read both through one small interface."""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from kit.errors import StorageError
from kit.files import parse_json, storage_errors
from kit.submission import layout


class Members(ABC):
    """Named byte strings that may be too large for memory."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}

    @abstractmethod
    def names(self) -> list[str]:
        """All names, sorted."""

    @abstractmethod
    def size(self, name: str) -> int: ...

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The member as a seekable file of its own."""

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def sha256(self, name: str) -> str:
        """Hex SHA-256 of the member, computed once."""
        if name not in self._hashes:
            with self.open(name) as file:
                digest = hashlib.sha256()
                while chunk := file.read(layout.CHUNK):
                    digest.update(chunk)
            self._hashes[name] = digest.hexdigest()
        return self._hashes[name]

    def read(self, name: str, limit: int = layout.MAX_TEXT_BYTES) -> bytes:
        """The whole member. Raises `StorageError` when it is absent or larger than `limit`."""
        if name not in self:
            raise StorageError(f"{name} is missing")
        if self.size(name) > limit:
            raise StorageError(f"{name} has {self.size(name)} bytes, more than the {limit} that such a member may have")
        with self.open(name) as file:
            return file.read()

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a text member, line breaks kept. Raises `StorageError` for one that is too long."""
        if name not in self:
            raise StorageError(f"{name} is missing")
        with self.open(name) as raw:
            file = io.BufferedReader(raw, layout.CHUNK) if isinstance(raw, io.RawIOBase) else raw
            while line := file.readline(layout.MAX_LINE_BYTES + 1):
                if len(line) > layout.MAX_LINE_BYTES:
                    raise StorageError(f"{name} has a line of more than {layout.MAX_LINE_BYTES} bytes")
                yield line

    def json(self, name: str) -> Any:
        """A strict JSON member. Raises `StorageError`."""
        return parse_json(self.read(name), source=name)

    def facts(self) -> dict[str, str]:
        """What the manifest says of the run, from the members that know it. Raises `StorageError`."""
        from kit import __version__

        resolved = self.json(layout.RESOLVED)
        try:
            names = {key: str(resolved[key]["name"]) for key in ("recipe", "profile")}
            first = parse_json(next(self.lines(layout.EVENTS), b"{}"), source=layout.EVENTS)
            return {"kit": __version__, "run": str(first["run"]), **names}
        except (KeyError, TypeError) as error:
            raise StorageError(f"{layout.RESOLVED} or the first line of {layout.EVENTS} does not name the run") from error

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names())


class LocalMembers(Members):
    """Members that are not packed yet: bytes, or files."""

    def __init__(self, members: Mapping[str, bytes | Path]) -> None:
        super().__init__()
        self._members = dict(members)

    def names(self) -> list[str]:
        return sorted(self._members)

    def size(self, name: str) -> int:
        member = self._members[name]
        if isinstance(member, bytes):
            return len(member)
        with storage_errors("read", member):
            return member.stat().st_size

    def open(self, name: str) -> BinaryIO:
        member = self._members[name]
        if isinstance(member, bytes):
            return io.BytesIO(member)
        with storage_errors("read", member):
            return member.open("rb")


def hashes(members: Members, names: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Sizes and hashes by name, as the manifest lists them."""
    return {name: (members.size(name), members.sha256(name)) for name in names}
