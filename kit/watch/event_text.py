"""Single lines of an event log: what they mean, whether they can be believed, and how they read to a person."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from kit.events import (
    CandidateReplaced,
    CheckpointSaved,
    EvaluationFinished,
    EvaluationStarted,
    Event,
    Note,
    PhaseFinished,
    PhaseReused,
    PhaseStarted,
    RankMeasured,
    RankSoFar,
    RunFinished,
    RunStarted,
    RunStopped,
    StepDone,
    SubnetEvaluated,
    UnknownEvent,
    from_line,
)

LARGEST = 2**53
LATEST = 4e9
"""Seconds since 1970, in the year 2096: anything later is damage."""


def parse_event(line: bytes) -> Event | None:
    """The event of a line; None when it is torn, or when its values have types or sizes that no writer gives them."""
    try:
        event = from_line(line.decode("utf-8", "replace"))
    except RecursionError:
        return None
    return event if event is not None and _is_believable(event) else None


def describe(event: Event) -> str:
    """One event in words, without its time."""
    match event:
        case StepDone():
            loss = sum(event.losses) / len(event.losses) if event.losses else math.nan
            paths = f"{len(event.codes)} paths" if len(event.codes) != 1 else "1 path"
            return f"{event.phase} step {event.step + 1:,}: loss {loss:.4f}, {event.seconds:.2f} s, {paths}"
        case SubnetEvaluated():
            accuracy = event.correct / event.images if event.images else 0.0
            return f"scored {event.code}: {accuracy:.4f} ({event.done:,} of {event.subnets:,})"
        case CandidateReplaced():
            return f"{event.phase} step {event.step + 1:,}: candidate {event.removed} gave way to {event.added}"
        case CheckpointSaved():
            return f"{event.phase}: checkpoint after step {event.step:,}"
        case Note():
            return event.message
        case UnknownEvent():
            return f"{event.kind} (unknown to this version)"
        case _:
            return _milestone(event)


def clock(moment: float | None, *, date: bool = False) -> str:
    """Local time of day (or date and time) of an event; `-` when there is none or it cannot be one."""
    try:
        return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M" if date else "%H:%M:%S", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "-"


def report_value(report: dict[str, Any], *keys: str) -> float | None:
    """A number deep inside a rank report; None where the report has none."""
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _milestone(event: Event) -> str:
    match event:
        case RunStarted():
            how = "continues" if event.continued else "starts"
            return f"run {event.run} {how}: {len(event.phases)} phases, {event.passes:,} passes, pid {event.pid}"
        case PhaseStarted():
            return f"{event.phase} starts: {event.steps:,} steps of {event.paths_per_step:.3g} paths, {event.subspace}"
        case PhaseReused():
            return f"{event.phase} is there already ({event.key[:12]})"
        case PhaseFinished():
            return f"{event.phase} is done: loss {event.loss:.4f}"
        case EvaluationStarted():
            return f"scoring {event.subnets:,} sub-networks on {event.images:,} images, {event.done:,} done already"
        case EvaluationFinished():
            return f"scored {event.subnets:,} sub-networks: {event.predictions}"
        case RankSoFar():
            figures = _rank({"pearson": event.pearson, "kendall": event.kendall})
            return f"rank of the first {event.scored:,}: {figures}"
        case RankMeasured():
            return f"rank measured against {event.truth}: {_rank(event.report)}"
        case RunFinished():
            return "run finished"
        case RunStopped():
            return f"run stopped: {event.reason} (exit code {event.exit_code})"
        case _:
            return type(event).__name__


def _rank(report: dict[str, Any]) -> str:
    shown = []
    for name in ("pearson", "kendall"):
        value = report_value(report, name, "value")
        shown.append(f"{name} {value:.3f}" if value is not None else f"{name} -")
    return ", ".join(shown)


def _is_believable(event: Event) -> bool:
    if not (_is_number(event.time) and 0 <= event.time <= LATEST):
        return False
    return all(check(getattr(event, name)) for name, check in _checks(type(event)))


def _is_count(value: object) -> bool:
    return type(value) is int and -1 <= value <= LARGEST


def _is_number(value: object) -> bool:
    # Infinite losses are real news; numbers that do not fit into a float are damage.
    return type(value) is float or (type(value) is int and abs(value) <= LARGEST)


def _is_text(value: object) -> bool:
    return type(value) is str


def _are(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) is tuple and all(map(check, value))


_BY_TYPE: dict[Any, Callable[[object], bool]] = {
    str: _is_text,
    int: _is_count,
    float: _is_number,
    bool: lambda value: type(value) is bool,
    tuple[str, ...]: _are(_is_text),
    tuple[float, ...]: _are(_is_number),
}
_CHECKS: dict[type[Event], list[tuple[str, Callable[[object], bool]]]] = {}


def _checks(kind: type[Event]) -> list[tuple[str, Callable[[object], bool]]]:
    known = _CHECKS.get(kind)
    if known is None:
        fields = dataclasses.fields(kind)
        known = _CHECKS[kind] = [(f.name, _BY_TYPE.get(f.type, lambda value: type(value) is dict)) for f in fields]
    return known
