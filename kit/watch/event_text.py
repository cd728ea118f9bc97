"""Events in words, and the numbers of a rank report."""

import math
import time
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
    TrainingDone,
    UnknownEvent,
)
from kit.rank_report import Metric, read_figures


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
        case TrainingDone():
            return f"{event.phase} {event.step + 1:,}: {event.code} seed {event.seed}, accuracy {event.accuracy:.4f}"
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
            figures = {"pearson": event.pearson, "kendall": event.kendall}
            return f"rank of the first {event.scored:,}: {_rank(figures)}"
        case RankMeasured():
            return f"rank measured against {event.truth}: {_rank(event.report)}"
        case RunFinished():
            return "run finished"
        case RunStopped():
            return f"run stopped: {event.reason} (exit code {event.exit_code})"
        case _:
            return type(event).__name__


def _rank(report: dict[str, Any]) -> str:
    figures = read_figures(report)
    shown: tuple[Metric, ...] = ("pearson", "kendall")
    return ", ".join(f"{name} {figures[name].value:.3f}" if name in figures else f"{name} -" for name in shown)
