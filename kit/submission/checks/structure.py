"""Rules about the archive as a container: safe, complete, sealed, and nothing in it that runs or names somebody."""

import re
from collections import Counter
from collections.abc import Iterator

from kit.errors import KitError, StorageError
from kit.files import parse_json
from kit.submission import layout
from kit.submission.checks.contents import Submission
from kit.submission.checks.registry import Problem, differences, rule
from kit.submission.members import hashes
from kit.submission.private_facts import find_private

PICKLE_SUFFIXES = (
    ".pkl", ".pickle", ".pt", ".pth", ".bin", ".pdparams", ".npy", ".npz", ".joblib", ".dill", ".ckpt", ".mar",
)  # fmt: skip
PACKED_SUFFIXES = (".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz", ".whl", ".egg")
# Protocols 2 to 5, not the length of a safetensors header; protocols 0 and 1 start with a global or a mark.
PICKLE = re.compile(rb"\A\x80[\x02-\x05](?![\x00-\x1f]\x00{5})|\A\(?c[\w.]+\n\w+\n|\A[(\]}][lpdt]?p\d+\n", re.DOTALL)
PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
PROGRAMS = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
ZIP_END = b"PK\x05\x06"
ZIP_END_BYTES = 22
HEAD_BYTES = 4096
SHOWN = 60


@rule("archive-format", "the tar is written byte by byte as the kit writes it")
def _archive_format(submission: Submission) -> Iterator[Problem]:
    yield from (Problem(fault.file, fault.message) for fault in submission.archive.faults if not fault.unsafe)


@rule("archive-safety", "only regular files with plain relative names, each once")
def _archive_safety(submission: Submission) -> Iterator[Problem]:
    yield from (Problem(fault.file, fault.message) for fault in submission.archive.faults if fault.unsafe)
    for name in submission.archive.names():
        size, limit = (
            submission.archive.size(name),
            layout.MAX_EVENTS_BYTES if name == layout.EVENTS else layout.MAX_TEXT_BYTES,
        )
        if name.endswith(layout.TEXT_SUFFIXES) and size > limit:
            yield Problem(name, f"it has {size} bytes, more than the {limit} that such a file may have")


@rule("complete", "every file that an archive must have is there")
def _complete(submission: Submission) -> Iterator[Problem]:
    wanted = list(layout.REQUIRED)
    if layout.ONNX_INDEX in submission.archive:
        for model in submission.index.models:
            wanted += [layout.onnx_path(model.code), layout.calibrated_path(model.code)]
    for name in wanted:
        if name not in submission.archive:
            yield Problem(name, "this file is missing")


@rule("unexpected-files", "nothing is there that an archive does not have")
def _unexpected_files(submission: Submission) -> Iterator[Problem]:
    exported = {model.code for model in submission.index.models}
    for name in submission.archive.names():
        if layout.role_of(name) is None and name not in layout.SEALS:
            yield Problem(name, "an archive has no such file")
        elif (code := layout.code_of(name)) is not None and code not in exported:
            yield Problem(name, f"{layout.ONNX_INDEX} does not list this sub-network")


@rule("manifest", "MANIFEST.json names this run and describes its files as the kit does", layout.MANIFEST)
def _manifest(submission: Submission) -> Iterator[str]:
    found, archive = submission.manifest, submission.archive
    files = {row.path: (row.size, row.sha256) for row in found.files}
    wanted = layout.make_manifest({**archive.facts(), "kit": found.kit}, files)
    if (paths := [row.path for row in found.files]) != sorted(set(paths)):
        yield "its files are not listed once each, in order"
    else:
        yield from differences(found.model_dump(), wanted)
    if archive.read(layout.MANIFEST) != layout.dump_json(layout.MANIFEST, found.model_dump()):
        yield "it is not written as the kit writes it"


@rule("manifest-hashes", "every file has the size and SHA-256 that MANIFEST.json lists")
def _manifest_hashes(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    listed = {row.path: (row.size, row.sha256) for row in submission.manifest.files}
    found = hashes(archive, (name for name in archive.names() if name not in layout.SEALS))
    for name in sorted(listed.keys() | found.keys()):
        if name not in listed:
            yield Problem(name, f"{layout.MANIFEST} does not list it")
        elif name not in found:
            yield Problem(name[:200], f"{layout.MANIFEST} lists it, but it is not there")
        elif listed[name][0] != found[name][0]:
            yield Problem(name, f"it has {found[name][0]} bytes, {layout.MANIFEST} lists {listed[name][0]}")
        elif listed[name][1] != found[name][1]:
            yield Problem(name, f"its SHA-256 is {found[name][1]}, {layout.MANIFEST} lists {listed[name][1]}")


@rule("sha256sums", "SHA256SUMS holds the SHA-256 of every other file")
def _sha256sums(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    expected = {name: archive.sha256(name) for name in archive.names() if name != layout.SUMS}
    data = archive.read(layout.SUMS)
    if data == layout.dump_sums(expected):
        return
    lines = Counter(data.decode("utf-8", "replace").splitlines())
    wrong = [name for name, sha256 in expected.items() if f"{sha256}  {name}" not in lines]
    for name in wrong or [layout.SUMS]:
        yield Problem(name, f"{layout.SUMS} does not hold exactly one right line for it")


@rule("strict-json", "all JSON is standard, without repeated keys, and written as the kit writes it")
def _strict_json(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    for name in archive.names():
        if name == layout.EVENTS:
            yield from (Problem(name, message) for message in submission.log.strict)
        elif name.endswith((".json", ".jsonl")):
            try:
                if not _is_canonical(submission, name):
                    yield Problem(name, "it is not written as the kit writes it (spaces, order of digits, line breaks)")
            except (StorageError, ValueError) as error:  # 1e999 parses, and cannot be written again
                yield Problem(name, str(error)[:200])


@rule("no-pickles", "no pickles, packed files or programs, by name and by content")
def _no_pickles(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    for name in archive.names():
        with archive.open(name) as file:
            head = file.read(HEAD_BYTES)
            file.seek(max(0, archive.size(name) - ZIP_END_BYTES))
            tail = file.read()
        if name.endswith(PICKLE_SUFFIXES) or PICKLE.search(head):
            yield Problem(name, "it is a pickle: loading it could run any code")
        elif name.endswith(PACKED_SUFFIXES) or head.startswith(PACKED) or tail.startswith(ZIP_END):
            yield Problem(name, "it is a packed file, in which anything may hide")
        elif head.startswith(PROGRAMS):
            yield Problem(name, "it is a program")


@rule("private-data", "no secrets, names of users or hosts, or absolute paths")
def _private_data(submission: Submission) -> Iterator[Problem]:
    archive = submission.archive
    for name in archive.names():
        if name == layout.EVENTS:
            yield from (Problem(name, message) for message in submission.log.private)
            continue
        for text in _texts(submission, name):
            for what, words in find_private(text):
                yield Problem(name, f"it holds {what}: {words[:SHOWN]!r}")


def _texts(submission: Submission, name: str) -> Iterator[str]:
    """What people could read in a member, decoded."""
    entries = {layout.POOL: "pool", layout.SUBMISSION: "predictions", layout.EVALUATIONS: "evaluations"}
    if name in entries:
        try:
            # Their types leave no room for texts besides names, and they are long.
            yield "\n".join(entry.name for entry in getattr(submission, entries[name]))
        except KitError:
            yield submission.archive.read(name).decode("utf-8", "replace")
    elif name.endswith(layout.TEXT_SUFFIXES) or name in (layout.LICENSE, layout.SUMS):
        yield submission.archive.read(name).decode("utf-8", "replace")
    elif name.endswith(".onnx"):
        try:
            model = submission.onnx(name)
        except KitError:
            return  # the rule `onnx-files` says so
        yield "\n".join(model.texts)
    elif name.endswith(".safetensors"):
        try:
            with submission.tensors(name) as file:
                yield "\n".join([*file.notes.keys(), *file.notes.values()])
        except KitError:
            return  # the rules about weights say so


def _is_canonical(submission: Submission, name: str) -> bool:
    data = submission.archive.read(name)
    if name != layout.EVALUATIONS:
        return layout.dump_json(name, parse_json(data, source=name)) == data
    try:
        rows = submission.evaluations
    except StorageError:
        for number, line in enumerate(data.splitlines(), 1):
            parse_json(line, source=f"{name}: line {number}")
        return True  # standard JSON; the rule `evaluations` says what is wrong with it
    # Written again from types, it can only be the same if it was standard JSON with each key once.
    return b"".join(layout.dump_line(dict(row)) for row in rows) == data
