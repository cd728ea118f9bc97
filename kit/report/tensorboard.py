"""A run's log as TensorBoard event files: a point per optimizer step, at the time it was made."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit import events
from kit.errors import InputError
from kit.events import Event, from_line
from kit.files import claim_folder, read_json, storage_errors, write_json
from kit.rank_report import read_figures
from kit.run_dir import RunDirectory

CURSOR = ".kit-export.json"
"""Which log lies in a folder, and how much of it."""
Point = tuple[str, float, int]
"""Tag, value, step."""


def export_tensorboard(run: RunDirectory, folder: Path) -> int:
    """Append what is new in a run's log to the event files in `folder`; returns how many points that were.

    Raises `InputError` where TensorBoard is missing, or the folder holds the export of another log.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise InputError("TensorBoard is not installed", hint="pip install 'kit[tensorboard]'") from error
    with storage_errors("read", run.events):
        log = run.events.read_bytes()
    name = hashlib.sha256(log.partition(b"\n")[0]).hexdigest()
    done = _exported(folder, name)
    points, end = 0, 0
    with storage_errors("write", folder):
        writer = EventFileWriter(str(folder))
        if not done:
            for summary in _about(run):
                writer.add_event(Record(wall_time=_first_time(log), step=0, summary=summary))
        reading = _Reading()
        for line in log.splitlines(keepends=True):
            if not line.endswith(b"\n"):  # still being written
                break
            end += len(line)
            event = from_line(line)
            for tag, value, step in reading.points(event) if event is not None else ():
                if end > done:
                    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                    writer.add_event(Record(wall_time=event.time if event else 0.0, step=step, summary=summary))
                    points += 1
        writer.flush()
        writer.close()
    write_json(folder / CURSOR, {"log": name, "bytes": end})
    return points


def _exported(folder: Path, name: str) -> int:
    """How much of this log lies in the folder already."""
    cursor = folder / CURSOR
    if not cursor.exists():
        claim_folder(folder, lambda _: False, "export of this run")
        return 0
    known = read_json(cursor, log=str, bytes=int)
    if known["log"] != name:
        raise InputError(f"{folder} holds the export of another run", hint="name a new or empty folder")
    return int(known["bytes"])


def _first_time(log: bytes) -> float:
    first = from_line(log.partition(b"\n")[0])
    return 0.0 if first is None else first.time


def _about(run: RunDirectory) -> Iterator[Any]:
    """The settings of a run: as hyperparameters, and as text."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.metadata import create_summary_metadata

    resolved = read_json(run.resolved)
    yield hparams_pb(dict(_flat("", {"profile": resolved.get("profile", {}), "seed": resolved.get("seed", 0)})))
    text = f"```json\n{json.dumps(resolved, indent=1)}\n```"
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
    metadata = create_summary_metadata("settings", "")
    yield Summary(value=[Summary.Value(tag="settings/text_summary", metadata=metadata, tensor=tensor)])


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    elif isinstance(value, bool | int | float | str):
        yield prefix, value
    elif value is not None:
        yield prefix, json.dumps(value)


@dataclass
class _Reading:
    """What has to be known of earlier events: steps count on from phase to phase, and some come twice after a stop."""

    offsets: dict[str, int] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def points(self, event: Event) -> Iterator[Point]:
        match event:
            case events.PhaseStarted() | events.PhaseReused():
                self._begin(event)
            case events.StepDone():
                yield from self._step(event)
            case events.TrainingDone():
                yield f"alone/accuracy/seed {event.seed}", event.accuracy, event.step
                yield f"alone/loss/seed {event.seed}", event.loss, event.step
            case events.Validated():
                step = self.offsets.get(event.phase, 0) + event.step
                yield f"held out/{event.what}/accuracy", event.accuracy, step
                yield f"held out/{event.what}/loss", event.loss, step
            case events.SubnetEvaluated():
                yield "scoring/accuracy", event.correct / max(1, event.images), event.done
            case events.BatchScored():
                yield f"search/{event.phase}", event.accuracy, event.step
            case events.RankSoFar():
                figures = read_figures({"pearson": event.pearson, "kendall": event.kendall})
                yield from ((f"rank so far/{metric}", figure.value, event.scored) for metric, figure in figures.items())
            case events.RankMeasured():
                figures = read_figures(event.report)
                yield from ((f"rank/{metric}", figure.value, self.total) for metric, figure in figures.items())

    def _begin(self, event: events.PhaseStarted | events.PhaseReused) -> None:
        if event.phase not in self.offsets:
            self.offsets[event.phase] = self.total
            self.total += event.steps
        if isinstance(event, events.PhaseStarted):
            self.methods[event.phase] = event.method

    def _step(self, event: events.StepDone) -> Iterator[Point]:
        if event.step <= self.newest.get(event.phase, -1):
            return
        self.newest[event.phase] = event.step
        step = self.offsets.setdefault(event.phase, 0) + event.step
        # The first path is the one that was sampled, the others are what it must not forget.
        count = 1 if self.methods.get(event.phase) in ("candidates", "novelty") else len(event.losses)
        sampled, others = event.losses[:count], event.losses[count:]
        for kind, losses in (("sampled", sampled), ("candidates", others)):
            if losses:
                yield f"loss/{event.phase}/{kind}", sum(losses) / len(losses), step
        yield f"rate/{event.phase}", event.learning_rate, step
        if event.seconds > 0:
            yield "speed/passes per second", len(event.codes) / event.seconds, step
