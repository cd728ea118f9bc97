"""Archives: which there are of a run, what they hold, what checking found. Whatever reads files belongs into a thread."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError, KitError
from kit.files import stamp, storage_errors
from kit.run_dir import RunDirectory, kind_of
from kit.submission import layout
from kit.submission.archive import Archive
from kit.submission.readiness import missing_step
from kit.watch.event_text import report_value
from kit.watch.run_state import RunState

UNLISTED = "not listed"
MISSING = "missing"
SEAL = "seal"
WRONG = (UNLISTED, MISSING)
"""Roles of members that a sound archive does not have."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive; `role` is the manifest's, or one of `UNLISTED`, `MISSING`, `SEAL`."""

    path: str
    size: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Export:
    """An ONNX file as the archive's index describes it."""

    code: str
    selections: str
    accuracy: float | None
    macs: float | None
    params: float | None
    size: float | None


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """An archive on the disk. `version` changes whenever the file does."""

    path: Path
    version: tuple[int, int]
    run: str = ""
    kit: str = ""
    members: tuple[Member, ...] = ()
    exports: tuple[Export, ...] = ()
    problem: str = ""
    """Why it cannot be read, or what its container must not have."""

    @property
    def size(self) -> int:
        return self.version[1]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `kit submission check --json`."""

    id: str
    kind: str
    """`pass`, `fail` or `warning`."""
    file: str
    message: str
    fix: str

    def has(self, words: Iterable[str]) -> bool:
        """Whether every word is somewhere in it."""
        text = " ".join((self.id, self.kind, self.file, self.message, self.fix)).lower()
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class Found:
    """The archives of a run; without any, `missing` says what to do before one can be built."""

    archives: tuple[ArchiveFile, ...] = ()
    missing: str = ""


class ArchiveShelf:
    """Finds archives again and again, and reads only those that changed."""

    def __init__(self) -> None:
        self._known: dict[Path, ArchiveFile] = {}

    def look(self, run: RunDirectory | None, runs: Path, opened: Iterable[Path], state: RunState) -> Found:
        """The archives of a run, and those that the user opened, which come first."""
        mine = list(opened)
        candidates = dict.fromkeys([*mine, *_candidates(run, runs)])
        found = [archive for path in candidates if (archive := self._read(path)) is not None]
        self._known = {archive.path: archive for archive in found}
        kept = [archive for archive in found if archive.path in mine or _belongs(archive, run)]
        return Found(tuple(kept), "" if run is None else what_is_missing(run, state))

    def _read(self, path: Path) -> ArchiveFile | None:
        version = stamp(path)
        if not any(version):
            return None
        known = self._known.get(path)
        return known if known is not None and known.version == version else read_archive(path, version)


def read_archive(path: Path, version: tuple[int, int]) -> ArchiveFile:
    """What an archive says it holds; damage is told, not raised."""
    try:
        with Archive(path) as archive:
            faults = [f"{fault.file}: {fault.message}" if fault.file else fault.message for fault in archive.faults]
            problem = "; ".join(faults[:3])
            manifest: Any = {}
            exports: tuple[Export, ...] = ()
            try:
                manifest = archive.json(layout.MANIFEST)
                exports = tuple(_exports(archive.json(layout.ONNX_INDEX)))
            except KitError as error:
                problem = problem or str(error)
            manifest = manifest if isinstance(manifest, dict) else {}
            members = tuple(_members(archive, manifest.get("files")))
            run, kit = (str(manifest.get(name, "")) for name in ("run", "kit"))
            return ArchiveFile(path, version, run, kit, members, exports, problem)
    except KitError as error:
        return ArchiveFile(path, version, problem=str(error))


def what_is_missing(run: RunDirectory, state: RunState) -> str:
    """Why no archive can be built of a run yet; empty when one can be tried."""
    try:
        kind = kind_of(run)
    except KitError as error:
        return str(error)
    if kind != "recipe":
        return f"this is no run of a recipe but of a {kind}: there is nothing to submit"
    return missing_step(run, state)


def new_archive_path(run: RunDirectory, runs: Path) -> Path:
    """Where the next archive of a run would go: next to the folder of runs, under a name that is free."""
    folder = runs.parent
    names = (f"{run.id}.tar", *(f"{run.id}-{number}.tar" for number in range(2, 1000)))
    return next((folder / name for name in names if not (folder / name).exists()), folder / names[0])


def parse_checks(document: dict[str, Any]) -> tuple[Check, ...]:
    """The findings of a report, what is wrong first."""
    rows = [row for row in document.get("checks", ()) if isinstance(row, dict)]
    checks = [
        Check(
            str(row.get("id", "")),
            "pass" if row.get("ok") else "warning" if row.get("level") == "warning" else "fail",
            *(str(row.get(name) or "") for name in ("file", "message", "fix")),
        )
        for row in rows
    ]
    return tuple(sorted(checks, key=lambda check: ("fail", "warning", "pass").index(check.kind)))


def verdict(checks: Iterable[Check]) -> tuple[str, str]:
    """The report in one line, and its kind."""
    kinds: dict[str, set[str]] = {"fail": set(), "warning": set(), "pass": set()}
    for check in checks:
        kinds[check.kind].add(check.id)
    rules = set().union(*kinds.values())
    warned = len(kinds["warning"] - kinds["fail"])
    warnings = f", {warned} with a warning" if warned else ""
    if kinds["fail"]:
        return f"breaks {len(kinds['fail'])} of {len(rules)} rules{warnings}", "fail"
    return f"passes {len(rules)} of {len(rules)} rules{warnings}", "warning" if warned else "pass"


def _candidates(run: RunDirectory | None, runs: Path) -> Iterator[Path]:
    folders = [] if run is None else [run.path, run.path / "exports", run.path.parent, run.path.parent.parent]
    for folder in dict.fromkeys([*folders, runs, runs.parent]):
        try:
            yield from sorted(path for path in folder.glob("*.tar") if path.is_file())
        except OSError:
            continue


def _belongs(archive: ArchiveFile, run: RunDirectory | None) -> bool:
    if run is None or run.path in archive.path.parents:
        return True
    # Too damaged to say whose it is: its name has to do.
    return archive.run == run.id if archive.run else archive.path.name.startswith(run.id)


def _members(archive: Archive, listed: Any) -> Iterator[Member]:
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    roles = {str(row.get("path")): str(row.get("role")) for row in rows}
    for name in archive.names():
        yield Member(name, archive.size(name), SEAL if name in layout.SEALS else roles.get(name, UNLISTED))
    for name in roles:
        if name not in archive:
            yield Member(name, None, MISSING)


def _exports(index: Any) -> Iterator[Export]:
    models = index.get("models") if isinstance(index, dict) else None
    for model in models if isinstance(models, list) else ():
        if isinstance(model, dict):
            selections = model.get("selections")
            names = " ".join(map(str, selections)) if isinstance(selections, list) else ""
            figures = (report_value(model, key) for key in ("accuracy", "macs", "params", "size"))
            yield Export(str(model.get("code", "")), names, *figures)


def require_archive(path: Path) -> Path:
    """The absolute path of a file that the user named. Raises `KitError` when it cannot be opened."""
    with storage_errors("read", path):
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file", hint="name the .tar file itself")
        with path.open("rb"):
            return path.resolve()
