"""The archive itself: one way to write it, byte by byte, and a reader that refuses every other way."""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kit.errors import ExitCode, InputError, KitError, StorageError
from kit.files import fsync_folder, parse_json, sha256_of_file, storage_errors, write_atomically
from kit.submission import layout
from kit.submission.members import LocalMembers, Members, hashes

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE
MAGIC = tarfile.POSIX_MAGIC
MAX_FAULTS = 50
BINARY_SIZE = 0x80  # how GNU tar marks sizes of 8 GiB and more
KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe",
    b"S": "a sparse file", b"x": "an extension header", b"g": "an extension header", b"L": "an extension header",
    b"K": "an extension header",
}  # fmt: skip
FIELDS = {
    "name": (0, 100), "mode": (100, 108), "owner": (108, 124), "size": (124, 136), "time": (136, 148),
    "checksum": (148, 156), "type": (156, 157), "link target": (157, 257), "magic": (257, 265),
    "owner's name": (265, 329), "device": (329, 345), "prefix": (345, 500), "filling": (500, 512),
}  # fmt: skip
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}


class ArchiveError(KitError):
    """An archive that opens but holds something that must not be there."""

    exit_code = ExitCode.CHECKS_FAILED


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the archive's structure that the kit does not write; `unsafe` if unpacking it could do harm."""

    file: str
    message: str
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a member's bytes lie in the archive."""

    offset: int
    size: int


def write_archive(out: Path, members: Mapping[str, bytes | Path]) -> str:
    """Seal members with `MANIFEST.json` and `SHA256SUMS` and write the archive; returns its SHA-256.

    The same members give the same bytes for every user, folder, umask, locale and time zone; only `SOURCE_DATE_EPOCH`
    enters. Raises `InputError` for a name that an archive does not have, `StorageError` for what cannot be read or written.
    """
    for name in members:
        if layout.role_of(name) is None:
            raise InputError(f"an archive has no member {name!r}", hint="kit.submission.layout lists what it has")
    local = LocalMembers(members)
    manifest = layout.dump_json(layout.MANIFEST, layout.make_manifest(local.facts(), hashes(local, local.names())))
    sums = {name: local.sha256(name) for name in local.names()} | {layout.MANIFEST: hashlib.sha256(manifest).hexdigest()}
    return write_tar(out, {**members, layout.MANIFEST: manifest, layout.SUMS: layout.dump_sums(sums)})


def write_tar(out: Path, members: Mapping[str, bytes | Path]) -> str:
    """Write these members and nothing else in the archive's tar format; returns the SHA-256 of the file."""
    local = LocalMembers(members)
    mtime = source_date()
    digest = hashlib.sha256()

    def write(file: BinaryIO) -> None:
        written = 0
        for name in local.names():
            for chunk in _packed(local, name, mtime):
                digest.update(chunk)
                written += file.write(chunk)
        end = bytes(_end(written) - written)
        digest.update(end)
        file.write(end)

    write_atomically(out, write)
    return digest.hexdigest()


def source_date() -> int:
    """The time stamp of all members: `SOURCE_DATE_EPOCH`, or 0. Raises `InputError` if it is no such number."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not (text.isascii() and text.isdigit() and int(text) < 8**11):
        raise InputError(f"SOURCE_DATE_EPOCH is {text!r}, expected seconds since 1970", hint="unset it, or give a number")
    return int(text)


def tar_header(name: str, size: int, mtime: int) -> bytes:
    """The only header that a member of this name, size and time may have."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")


class Archive(Members):
    """A packed archive. Nothing is extracted: members are read in place, and what is unsafe is never read at all."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.faults: list[Fault] = []
        with storage_errors("read", path):
            self._file = path.open("rb")
        try:
            with storage_errors("read", path):
                self._length = self._file.seek(0, io.SEEK_END)
                _Scan(self._file, self._length, path, self).run()
        except BaseException:
            self._file.close()
            raise

    def names(self) -> list[str]:
        return sorted(self.entries)

    def size(self, name: str) -> int:
        return self.entries[name].size

    def open(self, name: str) -> BinaryIO:
        entry = self.entries[name]
        return io.BufferedReader(_Window(self._file, entry), 64 * 1024)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unpack_archive(file: Path, folder: Path) -> None:
    """Unpack into a new or empty folder, every file checked against the manifest before the next one is written.

    Raises `ArchiveError` for anything that `write_archive` does not write: nothing unsafe is ever created.
    """
    with Archive(file) as archive:
        if archive.faults:
            fault = archive.faults[0]
            raise ArchiveError(f"{file}: {fault.file}: {fault.message}", hint="run `kit submission check` on it")
        listed = _listed(archive, file)
        with storage_errors("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise InputError(f"{folder} is not empty", hint="name a new folder")
        for name in archive.names():
            _unpack(archive, name, folder / name)
            if name in listed and sha256_of_file(folder / name) != listed[name]:
                raise ArchiveError(f"{name} changed while it was unpacked")
        fsync_folder(folder)


def _listed(archive: Archive, file: Path) -> dict[str, str]:
    """Hashes by path from the manifest; the sums are its seal, and themselves only a list."""
    manifest = parse_json(archive.read(layout.MANIFEST), source=layout.MANIFEST)
    try:
        listed = {str(row["path"]): str(row["sha256"]) for row in manifest["files"]}
    except (KeyError, TypeError) as error:
        raise ArchiveError(f"{file}: {layout.MANIFEST} does not list the files") from error
    sums = {name: archive.sha256(name) for name in archive.names() if name != layout.SUMS}
    unlisted = sorted(set(archive.names()) ^ {*listed, *layout.SEALS})
    wrong = [name for name, sha256 in listed.items() if sums.get(name) != sha256]
    if unlisted or wrong or archive.read(layout.SUMS) != layout.dump_sums(sums):
        what = (unlisted + wrong or [layout.SUMS])[0]
        raise ArchiveError(f"{file}: {what} is not what the manifest lists", hint="run `kit submission check` on it")
    return sums


def _unpack(archive: Archive, name: str, target: Path) -> None:
    with storage_errors("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as out, archive.open(name) as source:
            shutil.copyfileobj(source, out, layout.CHUNK)


class _Window(io.RawIOBase):
    """One member's bytes as a file; reads by position, so that several can be open."""

    def __init__(self, file: BinaryIO, entry: Entry) -> None:
        self._descriptor = file.fileno()
        self._entry = entry
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._entry.size - self._at))
        read = os.preadv(self._descriptor, [memoryview(buffer)[:count]], self._entry.offset + self._at)
        self._at += read
        return read


@dataclass
class _Scan:
    """One pass over the headers."""

    file: BinaryIO
    length: int
    path: Path
    archive: Archive
    times: set[int] = field(default_factory=set)
    folded: set[str] = field(default_factory=set)
    previous: str = ""

    def run(self) -> None:
        self._refuse_other_files()
        at, count = 0, 0
        while True:
            header = self._read(at, BLOCK)
            if len(header) < BLOCK:
                return self._fault("", "the archive ends without its end mark")
            if not any(header):
                return self._check_end(at)
            count += 1
            if count > layout.MAX_MEMBERS or len(self.archive.faults) > MAX_FAULTS:
                return self._fault(
                    "", f"more than {layout.MAX_MEMBERS} members or {MAX_FAULTS} faults: the rest is not read"
                )
            size = self._member(at, header)
            if size is None:
                return None
            at += BLOCK + _padded(size)

    def _member(self, at: int, header: bytes) -> int | None:
        """Judge one header; returns the size that follows it, None where nothing after it can be trusted."""
        name, size, mtime = _text(header), _octal(header[124:136]), _octal(header[136:148])
        if size is None and header[124] & BINARY_SIZE:
            self._fault(name, "its size is beyond what any member may have", unsafe=True)
            return None
        if size is None:
            self._fault(name, f"the header at byte {at} is damaged: nothing after it was read")
            return None
        kind = header[156:157]
        if kind not in (b"0", b"\0"):
            what = KINDS.get(kind, f"of an unknown type {kind!r}")
            self._fault(name, f"it is {what}: only regular files may occur", unsafe=True)
            return 0 if kind in b"123456" else size
        if at + BLOCK + _padded(size) > self.length:
            self._fault(
                name, f"it should have {size} bytes, but the archive ends before", unsafe=size > layout.MAX_MEMBER_BYTES
            )
            return None
        self._judge_name(name)
        safe = layout.SAFE_NAME.fullmatch(name) and len(name) <= layout.MAX_NAME
        if safe and (mtime is None or header != tar_header(name, size, mtime)):
            self._fault(
                name, f"its header is not written as the kit writes it ({self._differing(name, size, mtime, header)})"
            )
        if any(self._read(at + BLOCK + size, _padded(size) - size)):
            self._fault(name, "the filling after its last byte is not zero")
        if mtime is not None:
            self.times.add(mtime)
        if safe and name not in self.archive.entries:
            self.archive.entries[name] = Entry(at + BLOCK, size)
        return size

    def _judge_name(self, name: str) -> None:
        if not layout.SAFE_NAME.fullmatch(name) or len(name) > layout.MAX_NAME:
            self._fault(name, "its name is not a plain relative path", unsafe=True)
        elif name.lower() in self.folded:
            self._fault(name, "a member of this name occurs twice", unsafe=True)
        elif name < self.previous:
            self._fault(name, f"members are not sorted: it comes after {self.previous}")
        self.folded.add(name.lower())
        self.previous = max(name, self.previous)

    def _differing(self, name: str, size: int, mtime: int | None, header: bytes) -> str:
        expected = tar_header(name, size, mtime or 0)
        return ", ".join(what for what, (a, b) in FIELDS.items() if header[a:b] != expected[a:b])

    def _check_end(self, at: int) -> None:
        if self.length != _end(at):
            self._fault(
                "", f"the archive has {self.length} bytes, its members end it at {_end(at)}: cut off, or data appended"
            )
        position = at
        while chunk := self._read(position, layout.CHUNK):
            if any(chunk):
                return self._fault("", "there is data after the end mark")
            position += len(chunk)
        if len(self.times) > 1:
            self._fault("", f"members have different times ({', '.join(map(str, sorted(self.times)[:3]))})")
        return None

    def _refuse_other_files(self) -> None:
        start = self._read(0, BLOCK)
        packed = next((name for magic, name in COMPRESSED.items() if start.startswith(magic)), None)
        if packed:
            hint = "an archive is an uncompressed .tar: unpack it first, if you trust it"
            raise StorageError(f"{self.path} is a {packed} file, not an archive", hint=hint)
        # A damaged header is a finding, not another kind of file: one wrong byte must not decide.
        alike = sum(a == b for a, b in zip(start[257:265], MAGIC, strict=False))
        if len(start) < BLOCK or alike < len(MAGIC) - 1:
            raise StorageError(f"{self.path} is not a submission archive", hint="`kit submission build RUN` writes one")

    def _read(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(max(0, count))

    def _fault(self, name: str, message: str, *, unsafe: bool = False) -> None:
        self.archive.faults.append(Fault(name, message, unsafe))


def _packed(members: LocalMembers, name: str, mtime: int) -> Iterator[bytes]:
    """Header, content and filling of one member, and a check that it is still what was hashed."""
    size = members.size(name)
    if not layout.SAFE_NAME.fullmatch(name) or len(name) > layout.MAX_NAME or size > layout.MAX_MEMBER_BYTES:
        raise InputError(f"{name!r} cannot be a member: its name is not plain, or it has more than 8 GiB")
    yield tar_header(name, size, mtime)
    digest = hashlib.sha256()
    with members.open(name) as file:
        while chunk := file.read(layout.CHUNK):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != members.sha256(name):
        raise StorageError(f"{name} changed while it was packed", hint="build again when nothing writes to the run")
    yield bytes(_padded(size) - size)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _end(at: int) -> int:
    """Where an archive ends whose last member ends at `at`: two empty blocks, then a whole record."""
    return -(-(at + 2 * BLOCK) // RECORD) * RECORD


def _text(header: bytes) -> str:
    name, prefix = (header[a:b].split(b"\0")[0].decode("ascii", "backslashreplace") for a, b in ((0, 100), (345, 500)))
    return f"{prefix}/{name}" if prefix else name


def _octal(number: bytes) -> int | None:
    digits = number.rstrip(b"\0 ")
    return int(digits, 8) if digits and all(digit in b"01234567" for digit in digits) else None
