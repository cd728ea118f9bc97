"""What a run tells the world: frozen events, one JSON line each. Console, dashboard and report read nothing else."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Self

from kit.files import close, fsync, storage_errors

MOST = 2**53
LATEST = 4e9
"""Seconds since 1970, in the year 2096: anything later is damage."""


LARGEST, SMALLEST, SAMPLED = "largest", "smallest", "sampled"
"""Which sub-network of a phase's space a `Validated` is about."""


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
    run_kind: str = "recipe"
    """`recipe`, `truth`, `evaluation`, `ladder`, `alone` or `search`. Passes are trainings of a truth, sub-networks of an
    evaluation or a search."""


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A phase begins, or continues after `first_step` steps."""

    phase: str
    key: str
    method: str
    epochs: int
    steps: int
    paths_per_step: float = 1
    first_step: int
    subspace: str
    run: str = ""
    """Of a row of a ladder: the id of the run that trains and scores it, under the same RUNS."""


@dataclass(frozen=True, kw_only=True)
class PhaseReused(Event):
    """A phase with this key is there already, from this run or another."""

    phase: str
    key: str
    steps: int
    paths_per_step: float = 1


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
class PhaseFailed(Event):
    """A row of a ladder cannot be made; the others go on."""

    phase: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrainingDone(Event):
    """One architecture was trained alone, the phase's `step`-th; `accuracy` and `loss` are those on validation images."""

    phase: str
    step: int
    code: str
    seed: int
    accuracy: float
    loss: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """How one sub-network does after `step` steps of a phase, on images that no step sees.

    `what` says why this one: the `largest`, the `smallest`, one that was `sampled` (`sampled 1`), or that it is trained
    `alone`.
    """

    phase: str
    step: int
    what: str
    code: str
    accuracy: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class BatchScored(Event):
    """A search scored a batch, `step` evaluations in all; `best` is the best so far."""

    phase: str
    step: int
    evaluations: int
    best: str
    accuracy: float
    seconds: float


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


def to_line(event: Event) -> str:
    """An event as one line of JSON, without the line break."""
    # Not `dataclasses.asdict`: it deep-copies, which costs more than the JSON.
    content = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return json.dumps({"kind": type(event).__name__, **content}, separators=(",", ":"), allow_nan=False)


def from_line(line: str | bytes) -> Event | None:
    """The event of one line, `UnknownEvent` for a kind of another version.

    Fields that its kind does not have are skipped, missing ones get a default; only kind and time must be there. None for a
    line that is torn, or whose values have types or sizes that no writer gives them.
    """
    try:
        content = json.loads(line if isinstance(line, str) else line.decode("utf-8", "replace"))
        kind, moment = content.pop("kind"), content["time"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not (type(kind) is str and _is_number(moment) and 0 <= moment <= LATEST):
        return None
    known = KINDS.get(kind)
    if known is None:
        return UnknownEvent(time=moment, kind=kind, content=content)
    values: dict[str, Any] = {}
    for name, check, missing in known.fields:
        if name in content:
            value = content[name]
            if type(value) is list:
                value = tuple(value)
            if not check(value):
                return None
            values[name] = value
        elif missing is not None:
            values[name] = missing
    return known.event(**values)


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_count(value: object) -> bool:
    return type(value) is int and -1 <= value <= MOST


def _is_number(value: object) -> bool:
    # Infinite losses are real news; numbers that do not fit into a float are damage.
    return type(value) is float or (type(value) is int and abs(value) <= MOST)


def _are(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) is tuple and all(map(check, value))


_TYPES: dict[Any, tuple[Callable[[Any], bool], object]] = {
    str: (_is_text, ""),
    int: (_is_count, 0),
    float: (_is_number, math.nan),
    bool: (lambda value: type(value) is bool, False),
    tuple[str, ...]: (_are(_is_text), ()),
    tuple[float, ...]: (_are(_is_number), ()),
    dict[str, float]: (lambda value: type(value) is dict and all(map(_is_number, value.values())), {}),
    dict[str, Any]: (lambda value: type(value) is dict, {}),
}
"""How a value of a field is checked, and what stands for one that is missing and whose field has no default."""


class _Kind:
    """A kind of event, its fields compiled: name, check, and what stands for a missing value if the field does not say."""

    def __init__(self, event: type[Event]) -> None:
        self.event = event
        self.fields = tuple(
            (field.name, *(_TYPES[field.type] if field.default is MISSING else (_TYPES[field.type][0], None)))
            for field in dataclasses.fields(event)
        )


KINDS = {kind.__name__: _Kind(kind) for kind in Event.__subclasses__() if kind is not UnknownEvent}


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
                fsync(self._file.fileno())

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

    def __exit__(self, *_: object) -> None:
        close(self._file, self.path)
