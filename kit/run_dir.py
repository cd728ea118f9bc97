"""The directory of a run: what lies where, who may write, and how a RUN argument is found."""

import fcntl
import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from kit.errors import InputError, StorageError
from kit.files import claim_folder, exclusive_lock, read_json, storage_errors, write_json
from kit.results import EVALUATIONS

PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "scipy", "safetensors", "pydantic", "onnx", "onnxruntime",
)  # fmt: skip

DEFAULT_RUNS = Path("runs")
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class _Inside:
    """The path of a file by its place in a run's directory."""

    place: str

    def __get__(self, run: "RunDirectory", kind: type) -> Path:
        return run.path / self.place


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside one run's directory, `RUNS/ID`."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    events = _Inside("events.jsonl")
    resolved = _Inside("resolved.json")
    recipe = _Inside("recipe.toml")
    profile = _Inside("profile.toml")
    environment = _Inside("environment.json")
    pool = _Inside("pool.json")
    predictions = _Inside("predictions.json")
    evaluations = _Inside(EVALUATIONS)
    rank = _Inside("rank.json")
    ladder = _Inside("ladder.json")
    ladder_inputs = _Inside("ladder-inputs.json")
    weights = _Inside("weights/supernet.safetensors")
    weights_manifest = _Inside("weights.json")
    lock = _Inside(".lock")

    @property
    def weights_sha256(self) -> str:
        """The recorded hash of the final weights."""
        recorded: str = read_json(self.weights_manifest, **{self.weights.name: str})[self.weights.name]
        return recorded

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one process that writes here."""
        with exclusive_lock(self.lock, holder=f"run {self.id}"):
            yield

    @property
    def is_locked(self) -> bool:
        """Whether a process works on the run now."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a disk without locks: nobody can tell
            return False
        finally:
            os.close(descriptor)
        return False


def phases_folder(runs: Path) -> Path:
    """Where the content-addressed phases of all runs lie."""
    return runs / "phases"


def find_run(argument: str, runs: Path) -> RunDirectory:
    """The run with this id under `runs`, or the run directory at this path. Raises `InputError` when there is none."""
    candidates = [Path(argument)] if "/" in argument or Path(argument).is_absolute() else [runs / argument, Path(argument)]
    for path in candidates:
        if (path / "resolved.json").is_file():
            return RunDirectory(path.resolve())
    require_runs(runs)
    known = [run.id for run in all_runs(runs)]
    hint = (
        f"there are: {', '.join(known[:8])}"
        if known
        else f"there are no runs in {runs}; name another folder with --runs DIR"
    )
    raise InputError(f"there is no run {argument!r} in {runs}", hint=hint)


def claim_named(
    run: RunDirectory, settings: Mapping[str, Any], what: str, own: Collection[str] = (), *, fresh: bool = False
) -> bool:
    """Whether a folder that the user named is new, so that its settings are still to be written.

    Raises `InputError` where it holds the same kind of run with other settings (unless a `fresh` one is asked for), another
    kind of run, or names that are neither its `own` nor those of every run's first files.
    """
    if not run.resolved.exists():
        claim_folder(run.path, {run.environment.name, *own}.__contains__, what)
        return True
    stored = read_json(run.resolved, kind=str)
    differing = [name for name, value in settings.items() if stored.get(name) != value]
    if differing and ("kind" in differing or not fresh):
        raise InputError(
            f"{run.path} holds another {what} ({', '.join(differing)} differ)", hint="name another folder with --out DIR"
        )
    return bool(differing)


def kind_of(run: RunDirectory) -> str:
    """What a run is: `recipe`, `truth`, `evaluation`, `ladder`, `search`, `alone`. Raises `StorageError`."""
    return str(read_json(run.resolved).get("kind", "recipe"))


def require_runs(runs: Path) -> None:
    """Refuse a folder that is not there, for whoever would only look into it: it was mistyped.

    The default is made by the first run, so it may be missing. Raises `InputError`.
    """
    if runs != DEFAULT_RUNS and not runs.exists():
        raise InputError(f"there is no folder {runs}", hint="name the folder of your runs with --runs DIR")


def all_runs(runs: Path) -> list[RunDirectory]:
    """Every run under `runs`, newest first. Raises `StorageError`."""
    found = runs_by_path(runs)
    return [
        RunDirectory(Path(os.path.realpath(path)))
        for path in sorted(found, key=lambda path: (found[path], path.name), reverse=True)
    ]


def runs_by_path(runs: Path) -> dict[Path, float]:
    """Run directories with the time they were made; a missing folder has none. Raises `StorageError`.

    One that cannot be looked into, and may be a run by its name, is among them: only the others can be told from runs.
    """
    found = {}
    with storage_errors("read", runs), suppress(FileNotFoundError), os.scandir(runs) as entries:
        for entry in entries:
            path = Path(entry.path)
            try:
                found[path] = (path / "resolved.json").stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                if RUN_NAME.fullmatch(path.name):
                    found[path] = 0.0
    return found


def remove_run(run: RunDirectory) -> None:
    """Delete a run's directory; the phases that other runs may share stay. Refused while a process works on it."""
    with run.locked(), storage_errors("remove", run.path):
        shutil.rmtree(run.path)


def write_environment(path: Path, compute: dict[str, Any] | None = None) -> None:
    """Record versions, platform and how sums are computed, and nothing that identifies a person or a machine."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    write_json(
        path,
        {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": platform.system(),
            "machine": platform.machine(),
            "byteorder": sys.byteorder,
            "packages": versions,
            **({} if compute is None else {"compute": compute}),
        },
    )


def check_same_settings(stored: dict[str, Any], current: dict[str, Any], run: RunDirectory) -> None:
    """Refuse to continue a run whose settings have changed; names each changed key with both values."""
    changes = list(_differences(stored, current))
    if changes:
        shown = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
        raise InputError(
            f"run {run.id} was started with other settings: {shown}",
            hint="undo the change to continue it, or start anew beside it with --fresh, --seed N or --runs DIR",
        )


def _differences(stored: Any, current: Any, where: str = "") -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(current, dict):
        for key in sorted(stored.keys() | current.keys()):
            yield from _differences(stored.get(key), current.get(key), f"{where}.{key}" if where else key)
    elif isinstance(stored, list) and isinstance(current, list) and len(stored) == len(current):
        for index, (old, new) in enumerate(zip(stored, current, strict=True)):
            name = old.get("name", index) if isinstance(old, dict) else index
            yield from _differences(old, new, f"{where}.{name}")
    elif stored != current:
        yield f"{where} {_short(stored)} -> {_short(current)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def require_directory(path: Path) -> None:
    """Create `path` if it is missing and make sure it can be written. Raises `StorageError`."""
    with storage_errors("create", path):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write in {path}", hint="choose a writable place, for instance with --runs DIR")
