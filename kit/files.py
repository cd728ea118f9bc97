"""Files that are either whole or absent: write, fsync, rename; hash before reading; one writer at a time."""

import errno
import fcntl
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from kit.errors import InputError, InUseError, StorageError

LOCKS = "KIT_LOCKS"
NOT_OFFERED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What a mount says of something that it does not offer at all, as opposed to something that failed."""
HINTS = {
    errno.ENOSPC: "free some space and run the same command again: it continues",
    errno.EDQUOT: "the quota is used up: free some space and run the same command again: it continues",
    errno.EROFS: "choose a writable place, for instance with --runs DIR",
    errno.EACCES: "choose a readable and writable place, for instance with --runs DIR",
    errno.EIO: "the disk or its connection failed: check it, then run the same command again",
    errno.ESTALE: "the network disk has forgotten this file: mount it again, then run the same command again",
}
SAVE_HINT = "save the file as UTF-8"
DAMAGED_HINT = "restore the file, or start anew with --fresh"


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` that says what could not be done to which path."""
    try:
        yield
    except OSError as error:
        hint = HINTS.get(error.errno or 0)
        raise StorageError(f"cannot {action} {path}: {error.strerror or error}", hint=hint) from error


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a temporary file in the folder of `path`, fsync, and rename it onto `path`.

    Raises `StorageError` when the disk is full or the folder not writable; `path` is then as it was before.
    """
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                with suppress(OSError):  # mounts without modes refuse; nothing depends on it
                    os.fchmod(file.fileno(), 0o666 & ~_umask())
                fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """`write_atomically` for bytes that are already in memory."""
    write_atomically(path, lambda file: file.write(data))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with full float precision; `nan` and infinities are refused."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path, **types: type) -> dict[str, Any]:
    """Read one of the kit's own JSON objects, which must hold the keys of `types` with values of these types.

    Duplicate keys, `NaN`, anything else outside the standard, and a missing or mistyped key raise `StorageError`.
    """
    with storage_errors("read", path):
        data = path.read_bytes()
    value = parse_json(data, source=str(path))
    if not isinstance(value, dict):
        raise StorageError(f"{path} is damaged: it holds no JSON object", hint=DAMAGED_HINT)
    for key, kind in types.items():
        if not isinstance(value.get(key), kind):
            raise StorageError(f"{path} is damaged: {key!r} is missing or no {kind.__name__}", hint=DAMAGED_HINT)
    return value


def parse_json(data: bytes, *, source: str) -> Any:
    """Parse strict JSON bytes; `source` names them in the `StorageError`."""
    try:
        return json.loads(data, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{source} is not valid JSON: {error}", hint=DAMAGED_HINT) from error


def decode_text(data: bytes, *, source: str, errors: str = "strict") -> str:
    """Text that a person or an editor wrote: UTF-8, or UTF-16 and UTF-32 that begin with their mark or with ASCII.

    Raises `InputError` naming `source` and the line where the bytes are no such text, unless `errors` says otherwise.
    """
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "replace").count("\n") + 1
        raise InputError(f"{source}, line {line}: no {encoding} text ({error.reason})", hint=SAVE_HINT) from error
    return text.removeprefix("\ufeff")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file of a person's. Raises `InputError` naming file and line, `StorageError` when it cannot be read."""
    with storage_errors("read", path):
        data = path.read_bytes()
    text = decode_text(data, source=str(path))
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error


HEAD = 64
"""Bytes by which a growing file is known again."""


class GrowingFile:
    """A file that another process appends to, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.size = 0
        self._identity: tuple[int, int] | None = None
        self._head = b""

    @property
    def is_known(self) -> bool:
        """Whether it was there at an earlier look."""
        return self._identity is not None

    def read(self, limit: int = -1) -> tuple[bytes, bool]:
        """What is new (at most `limit` bytes), and whether that starts another file: replaced or cut. Raises `OSError`."""
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            head = file.read(HEAD)
            # A file that took the place of a removed one may have got its number; it begins otherwise.
            is_same = identity == self._identity and head.startswith(self._head) and status.st_size >= self.offset
            is_another = self.is_known and not is_same
            self._identity, self._head, self.size = identity, head, status.st_size
            self.offset = file.seek(0 if is_another else self.offset)
            data = file.read(limit) if self.offset < self.size else b""
        self.offset += len(data)
        return data, is_another


def stamp(path: Path) -> tuple[int, int]:
    """Time and size of a file, which tell that it was changed; zeros when there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where its mount lets folders be opened for that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync(descriptor: int) -> None:
    """Wait until everything is on disk. A mount that has no such promise is used without it; a failing disk is an error."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def close(file: IO[Any], path: Path) -> None:
    """Close a file that was written to. A full disk refuses what is left once more, so this raises `StorageError`, too."""
    with storage_errors("write", path):
        file.close()


def user_path(text: str) -> Path:
    """The path that a person typed, `~` expanded. Raises `InputError` where there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text}: there is no such home folder", hint="write the path out") from error


def claim_folder(folder: Path, is_own: Callable[[str], bool], what: str) -> None:
    """Make a folder to write into, unless it holds names that are not its own. Raises `InputError`, `StorageError`.

    Hidden names do not count; `what` says what the folder is for.
    """
    with storage_errors("create", folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = (path.name for path in folder.iterdir())
        foreign = sorted(name for name in names if not (name.startswith(".") or is_own(name)))
    if foreign:
        raise InputError(f"{folder} holds {foreign[0]}, and no {what}", hint="name a new or empty folder")


def require_suffix(path: Path, *suffixes: str) -> None:
    """Refuse a name that promises another format than is written. Raises `InputError`."""
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path} does not end in {' or '.join(suffixes)}", hint="the suffix tells readers the format")


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with storage_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(value: object) -> str:
    """Hex SHA-256 of a JSON value in canonical form: the address of whatever was made from it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


@contextmanager
def exclusive_lock(path: Path, *, holder: str, user: str = "") -> Iterator[None]:
    """Hold an advisory lock on `path` (the kernel frees it when the process dies, however it dies).

    Raises `InUseError` naming the process that holds it, and as what (its `user`); `holder` says what is being protected.
    """
    with storage_errors("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8", errors="replace")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = ", ".join(file.read().splitlines()) or "unknown"
            raise InUseError(
                f"{holder} is in use by another process (pid {owner})",
                hint="wait for it or stop it; what it has finished is kept",
            ) from error
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise StorageError(f"cannot lock {path}: {error.strerror}") from error
            if os.environ.get(LOCKS) != "off":
                raise StorageError(
                    f"cannot lock {path}: {error.strerror}. Without locks nothing keeps two processes from writing to "
                    f"{holder} at once, and nobody sees whether one still works on it",
                    hint=f"choose a disk with locks (--runs DIR), or set {LOCKS}=off and start one process at a time",
                ) from error
        with storage_errors("write", path):
            file.seek(0)
            file.truncate()
            file.write(f"{os.getpid()}\n{user}")
            file.flush()
        yield
    finally:
        close(file, path)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} appears twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
