"""What a run tells the world: frozen events, one JSON line each. Console, dashboard and report read nothing else."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kit.files import storage_errors


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; `time` is in seconds since 1970."""

    time: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A process started (or continued) working on a run; `passes` counts the sub-network passes of all phases."""

    run: str
    recipe: str
    profile: str
    seed: int
    pid: int
    phases: tuple[str, ...]
    passes: int
    continued: bool


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A phase begins, or continues after `first_step` steps."""

    phase: str
    key: str
    method: str
    epochs: int
    steps: int
    paths_per_step: float
    first_step: int
    subspace: str


@dataclass(frozen=True, kw_only=True)
class PhaseReused(Event):
    """A phase with this key is there already, from this run or another."""

    phase: str
    key: str
    steps: int
    paths_per_step: float


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """One optimizer step: cross-entropy per path, in the order of `codes`; `step` counts from 0 within the phase."""

    phase: str
    step: int
    epoch: int
    learning_rate: float
    seconds: float
    data_seconds: float
    losses: tuple[float, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CandidateReplaced(Event):
    """A recent sub-network that lies further from the group took the place of a constraint candidate."""

    phase: str
    step: int
    removed: str
    added: str


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """The state after `step` steps of a phase is on disk."""

    phase: str
    step: int


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """A phase's weights are on disk under its key; `loss` is the mean cross-entropy of its last epoch."""

    phase: str
    key: str
    steps: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class EvaluationStarted(Event):
    """Calibration and scoring begin; `done` sub-networks have results already."""

    subnets: int
    done: int
    images: int
    calibration_images: int


@dataclass(frozen=True, kw_only=True)
class SubnetEvaluated(Event):
    """One sub-network was calibrated and scored."""

    code: str
    correct: int
    images: int
    done: int
    subnets: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RankSoFar(Event):
    """How well the `scored` sub-networks rank that have a score now, `n` of them with a known truth.

    `pearson` and `kendall` hold `value`, `low` and `high`.
    """

    scored: int
    n: int
    pearson: dict[str, float]
    kendall: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class EvaluationFinished(Event):
    """Every sub-network of the pool that was to be scored has a score, in `predictions`."""

    subnets: int
    predictions: str


@dataclass(frozen=True, kw_only=True)
class RankMeasured(Event):
    """How well the scores rank, against `truth`; `report` is the document of `kit rank --json`."""

    truth: str
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something a reader of the log should know."""

    message: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """Everything the recipe asks for is done."""

    run: str


@dataclass(frozen=True, kw_only=True)
class RunStopped(Event):
    """The process stopped before the run was finished, in good order; the same command continues."""

    run: str
    reason: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class UnknownEvent(Event):
    """An event of a kind this version does not know, kept as it is."""

    kind: str
    content: dict[str, Any]


_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        RunStarted, PhaseStarted, PhaseReused, StepDone, CandidateReplaced, CheckpointSaved, PhaseFinished,
        EvaluationStarted, SubnetEvaluated, RankSoFar, EvaluationFinished, RankMeasured, Note, RunFinished, RunStopped,
    )
}  # fmt: skip


def to_line(event: Event) -> str:
    """An event as one line of JSON, without the line break."""
    # Not `dataclasses.asdict`: it deep-copies, which costs more than the JSON.
    content = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return json.dumps({"kind": type(event).__name__, **content}, separators=(",", ":"), allow_nan=False)


def from_line(line: str) -> Event | None:
    """The event of one line; None for a torn or damaged line, `UnknownEvent` for another version's."""
    try:
        content = json.loads(line)
        kind, moment = str(content.pop("kind")), float(content["time"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    known = _KINDS.get(kind)
    if known is None or {f.name for f in dataclasses.fields(known)} != set(content):
        return UnknownEvent(time=moment, kind=kind, content=content)
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
    return known(**values)


def read_events(path: Path) -> Iterator[Event]:
    """The events of a log, oldest first; a missing log has none, a torn last line is skipped."""
    if not path.exists():
        return
    with storage_errors("read", path), path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            event = from_line(line)
            if event is not None:
                yield event


class EventLog:
    """The one writer of an `events.jsonl`: a line per event, flushed at once, fsynced when asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors("write", path):
            self._file = path.open("a+b")
            self._drop_torn_line()

    def append(self, event: Event, *, durable: bool = False) -> None:
        """Write one event; `durable` waits until it is on disk."""
        with storage_errors("write", self.path):
            self._file.write(to_line(event).encode() + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())

    def _drop_torn_line(self) -> None:
        """A process killed in the middle of a write leaves half a line, which must not swallow the next event."""
        self._file.seek(0)
        keep = 0
        for line in self._file:
            if line.endswith(b"\n"):
                keep += len(line)
        self._file.truncate(keep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
