"""What image files hold, as hashes of their bytes: the identity of a data set, wherever it lies.

Every byte is read once. The hash is then kept beside size, inode, modification and change time in the user's cache folder,
so that the next look costs one `stat` a file. What this cannot see: bytes that change without any of the four (a disk that
is written to below its file system, a file system without change times). `KIT_DATA_CACHE=off` reads everything every time.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kit.data.images import RESTORE_HINT
from kit.errors import KitError, StorageError
from kit.files import write_json

Note = Callable[[str], None]
State = tuple[int, int, int, int]
"""Size in bytes, inode, modification and change time in nanoseconds."""

CACHE = "KIT_DATA_CACHE"
READERS = 8
SETTLED_NS = 2 * 10**9
"""A file may change twice within the resolution of its file system's clock, so what is younger than this is not kept."""
NOTE_SECONDS = 10.0


def content_listing(paths: Sequence[str], root: Path, note: Note) -> list[tuple[str, str]]:
    """Names relative to `root`, sorted, each with the hex SHA-256 of its bytes. Raises `StorageError` naming a lost file.

    `note` hears how far reading has come, every few seconds.
    """
    states = [_state(path) for path in paths]
    cache = _Cache(root)
    known = {path: cache.find(path, state) for path, state in zip(paths, states, strict=True)}
    unread = [(path, state) for path, state in zip(paths, states, strict=True) if known[path] is None]
    started, said, total, read = time.monotonic(), time.monotonic(), sum(state[0] for _, state in unread), 0
    with ThreadPoolExecutor(READERS) as readers:
        for (path, state), sha256 in zip(unread, readers.map(_hash, [path for path, _ in unread]), strict=True):
            known[path] = sha256
            cache.keep(path, state, sha256)
            read += state[0]
            if time.monotonic() - said > NOTE_SECONDS:
                said = time.monotonic()
                left = (said - started) * (total - read) / max(read, 1)
                note(
                    f"reading {len(unread):,} images once, to know them again: {read / total:.0%}, {left / 60:.0f} min left"
                )
    if unread:
        cache.write()
    prefix = f"{root}{os.sep}"
    return sorted((path.removeprefix(prefix).replace(os.sep, "/"), str(known[path])) for path in paths)


class _Cache:
    """Hashes of the files below one folder, by path. One that cannot be read or written is none: nothing depends on it."""

    def __init__(self, root: Path) -> None:
        folder = _cache_folder()
        self._file = folder and folder / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:24]}.json"
        self._entries: dict[str, list[object]] = {}
        try:
            found = json.loads(self._file.read_bytes()) if self._file else {}
            self._entries = found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            pass

    def find(self, path: str, state: State) -> str | None:
        entry = self._entries.get(path)
        return str(entry[4]) if isinstance(entry, list) and len(entry) == 5 and tuple(entry[:4]) == state else None

    def keep(self, path: str, state: State, sha256: str) -> None:
        if time.time_ns() - max(state[2:]) > SETTLED_NS:
            self._entries[path] = [*state, sha256]

    def write(self) -> None:
        try:
            if self._file:
                write_json(self._file, self._entries)
        except (KitError, OSError):
            pass


def _cache_folder() -> Path | None:
    chosen = os.environ.get(CACHE, "")
    if chosen == "off":
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "kit" / "data" if os.path.isabs(base) else None


def _state(path: str) -> State:
    with _naming(path):
        found = os.stat(path)
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _hash(path: str) -> str:
    with _naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot read the image {path}: {error.strerror}", hint=RESTORE_HINT) from error
