"""The archive's bytes: one way to write them, and no other way is read."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_archive import data_members, synthetic, whole

from kit.errors import InputError, StorageError
from kit.submission import layout
from kit.submission.archive import Archive, ArchiveError, unpack_archive, write_archive, write_tar
from kit.submission.checks import check_archive
from kit.submission.members import LocalMembers

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}(/[A-Za-z0-9][A-Za-z0-9_-]{0,8}){0,2}(\.[a-z]{1,4})?", fullmatch=True)
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=8).filter(
    lambda members: len({name.lower() for name in members}) == len(members)
)


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return whole(data_members(synthetic(size=60)))


@pytest.fixture(scope="module")
def packed(members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "small.tar"
    write_archive(path, members)
    return path


@given(members=CONTENTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_and_python_and_the_kit_agree(members: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, members)
    with Archive(path) as archive, tarfile.open(path) as reference:
        assert archive.faults == []
        assert archive.names() == reference.getnames() == sorted(members)
        for name, data in members.items():
            member = reference.extractfile(name)
            assert member is not None
            assert archive.read(name) == member.read() == data
            assert archive.size(name) == len(data)
        assert {(info.uid, info.gid, info.uname, info.gname, info.mode, info.mtime) for info in reference} == {
            (0, 0, "", "", 0o644, 0)
        }


def test_the_bytes_depend_on_nothing_but_the_members(members: dict[str, bytes], packed: Path, tmp_path: Path) -> None:
    source = tmp_path / "members"
    for name, data in members.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
        os.utime(source / name, (1, 1))
        (source / name).chmod(0o600)
    script = (
        "import os, sys; os.umask(int(sys.argv[3], 8))\n"
        "from pathlib import Path; from kit.submission.archive import write_archive\n"
        "folder = Path(sys.argv[1])\n"
        "files = sorted((p for p in folder.rglob('*') if p.is_file()), reverse=True)\n"
        "print(write_archive(Path(sys.argv[2]), {p.relative_to(folder).as_posix(): p for p in files}))\n"
    )
    sums = set()
    for number, (umask, zone, locale) in enumerate((("077", "Asia/Tokyo", "C"), ("000", "America/Lima", "tr_TR.UTF-8"))):
        out = tmp_path / f"{number}.tar"
        person = {"HOME": str(tmp_path), "USER": f"user{number}", "PYTHONHASHSEED": str(number)}
        environment = os.environ | {"TZ": zone, "LC_ALL": locale, "LANG": locale} | person
        command = [sys.executable, "-c", script, str(source), str(out), umask]
        result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        sums.add(result.stdout.strip())
        assert out.read_bytes() == packed.read_bytes()
    assert sums == {LocalMembers({"a": packed}).sha256("a")}


def test_other_tools_unpack_and_verify_it(packed: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", packed, "-C", tmp_path], check=True)
    result = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert result.stdout.count(": OK") == len(files) - 1


def test_source_date_epoch_is_the_time_of_all_members(
    members: dict[str, bytes], packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write_archive(tmp_path / "dated.tar", members)
    with tarfile.open(tmp_path / "dated.tar") as archive:
        assert {info.mtime for info in archive} == {1_700_000_000}
    assert check_archive(tmp_path / "dated.tar").ok
    assert (tmp_path / "dated.tar").read_bytes() != packed.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        write_archive(tmp_path / "no.tar", members)
    assert not (tmp_path / "no.tar").exists()


def test_large_members_are_not_held_in_memory(members: dict[str, bytes], tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 1024**2)
    tracemalloc.start()
    write_archive(tmp_path / "a.tar", {**members, layout.SUPERNET: large})
    with Archive(tmp_path / "a.tar") as archive:
        assert archive.size(layout.SUPERNET) == 64 * 1024**2
        archive.sha256(layout.SUPERNET)
    assert tracemalloc.get_traced_memory()[1] < 16 * 1024**2
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["notes.txt", "../evil", "/etc/passwd", "weights/Supernet.safetensors", "onnx/1.onnx"])
def test_a_member_that_archives_do_not_have_is_refused(members: dict[str, bytes], name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no member"):
        write_archive(tmp_path / "a.tar", {**members, name: b""})


OTHER_FILES = {
    "empty": b"",
    "text": b"hello\n" * 500,
    "gzip": gzip.compress(bytes(9999), mtime=0),
    "zip": b"PK\x03\x04" + bytes(2000),
    "bzip2": b"BZh9" + bytes(2000),
}


@pytest.mark.parametrize("data", OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_files_are_no_archives(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(StorageError, match=r"a\.tar is"):
        check_archive(tmp_path / "a.tar")
    with pytest.raises(StorageError, match="cannot read"):
        check_archive(tmp_path / "absent.tar")


def test_a_compressed_archive_is_refused_unread(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(packed.read_bytes()))
    with pytest.raises(StorageError, match="gzip"):
        check_archive(tmp_path / "a.tar.gz")


def test_unpacking_gives_the_members(members: dict[str, bytes], packed: Path, tmp_path: Path) -> None:
    unpack_archive(packed, tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found.keys() == {*members, *layout.SEALS}
    assert all(found[name].read_bytes() == data for name, data in members.items())
    assert {path.stat().st_mode & 0o111 for path in found.values()} == {0}
    with pytest.raises(InputError, match="not empty"):
        unpack_archive(packed, tmp_path / "out")


def append(packed: Path, info: tarfile.TarInfo, data: bytes, out: Path) -> None:
    with tarfile.open(packed) as source, tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as target:
        for member in source:
            target.addfile(member, source.extractfile(member))
        target.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../evil", tarfile.REGTYPE, ""),
        ("/tmp/evil", tarfile.REGTYPE, ""),
        ("zlink", tarfile.SYMTYPE, "/"),
        ("zlink/x", tarfile.REGTYPE, ""),
    ],
)
def test_unpacking_refuses_what_is_unsafe_and_writes_nothing(
    packed: Path, name: str, kind: bytes, link: str, tmp_path: Path
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    append(packed, info, b"evil", tmp_path / "a.tar")
    with pytest.raises(ArchiveError):
        unpack_archive(tmp_path / "a.tar", tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.tar"]


def test_unpacking_refuses_a_changed_member(members: dict[str, bytes], packed: Path, tmp_path: Path) -> None:
    with Archive(packed) as archive:
        seals = {name: archive.read(name) for name in layout.SEALS}
    write_tar(tmp_path / "a.tar", {**members, **seals, layout.README: b"other"})
    with pytest.raises(ArchiveError, match=r"README\.md"):
        unpack_archive(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_byte_is_found(packed: Path, data: st.DataObject, tmp_path: Path) -> None:
    original = packed.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] ^= data.draw(st.integers(1, 255))
    (tmp_path / "a.tar").write_bytes(changed)
    assert not check_archive(tmp_path / "a.tar").ok


def test_a_byte_of_the_log_that_is_no_text_is_found(packed: Path, tmp_path: Path) -> None:
    changed = bytearray(packed.read_bytes())
    with Archive(packed) as archive:
        entry, log = archive.entries[layout.EVENTS], archive.read(layout.EVENTS)
    changed[entry.offset + log.index(b"width digits") + 3] ^= 0x80
    (tmp_path / "a.tar").write_bytes(changed)
    assert not check_archive(tmp_path / "a.tar").ok


def test_any_flipped_byte_of_the_first_header_is_found(packed: Path, tmp_path: Path) -> None:
    """The sample above rarely meets headers, and the first one decides whether the file is an archive at all."""
    original = packed.read_bytes()
    for at in range(0, 512, 3):
        changed = bytearray(original)
        changed[at] ^= 0x15
        (tmp_path / "a.tar").write_bytes(changed)
        with Archive(tmp_path / "a.tar") as archive:
            assert archive.faults, at
