"""Events in words, and the numbers of a rank report."""

import math
import time
from typing import Any

from kit import events
from kit.events import Event
from kit.rank_report import Metric, read_figures


def describe(event: Event) -> str:
    """One event in words, without its time: what the log of a run shows and what the console says."""
    match event:
        case events.StepDone():
            loss = sum(event.losses) / len(event.losses) if event.losses else math.nan
            paths = f"{len(event.codes)} paths" if len(event.codes) != 1 else "1 path"
            return f"{event.phase} step {event.step + 1:,}: loss {loss:.4f}, {event.seconds:.2f} s, {paths}"
        case events.SubnetEvaluated():
            accuracy = event.correct / event.images if event.images else 0.0
            return f"scored {event.code}: {accuracy:.4f} ({event.done:,} of {event.subnets:,})"
        case events.TrainingDone():
            return f"{event.phase} {event.step + 1:,}: {event.code} seed {event.seed}, accuracy {event.accuracy:.4f}"
        case events.Validated():
            what = f"{event.what} {event.code}"
            return f"{event.phase} step {event.step:,}: {what}, accuracy {event.accuracy:.4f}, loss {event.loss:.4f}"
        case events.BatchScored():
            return f"{event.phase} {event.step:,}: best so far {event.best}: {event.accuracy:.4f}"
        case events.CandidateReplaced():
            return f"{event.phase} step {event.step + 1:,}: candidate {event.removed} gave way to {event.added}"
        case events.CheckpointSaved():
            return f"{event.phase}: checkpoint after step {event.step:,}"
        case events.Note():
            return event.message
        case events.UnknownEvent():
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
        case events.RunStarted():
            how = "continues" if event.continued else "starts"
            passes = f"{len(event.phases)} phases, {event.passes:,} sub-network passes"
            others = {
                "truth": f"{event.passes:,} trainings of one architecture each",
                "evaluation": f"{event.passes:,} sub-networks to score",
                "alone": f"{len(event.phases)} trainings of one architecture, {event.passes:,} steps",
                "search": f"{event.passes:,} evaluations, half of them of random search",
                "ladder": f"{len(event.phases)} runs, {event.passes:,} sub-network passes",
            }
            return f"run {event.run} {how}: {others.get(event.run_kind, passes)}, pid {event.pid}"
        case events.PhaseStarted():
            continued = f", continued after step {event.first_step}" if event.first_step else ""
            networks = f"{event.paths_per_step:.3g} sub-network{'s' if event.paths_per_step > 1 else ''} a step, "
            return (
                f"{event.phase}: {event.steps:,} steps, {'' if event.method == 'alone' else networks}"
                f"{event.subspace}{continued}"
            )
        case events.PhaseReused():
            return f"{event.phase}: there already ({event.key[:12]})"
        case events.PhaseFinished():
            return f"{event.phase}: done" + (f", loss {event.loss:.4f}" if event.loss else "")
        case events.PhaseFailed():
            return f"{event.phase} failed, the others go on: {event.reason}"
        case events.EvaluationStarted():
            already = f" ({event.done:,} already)" if event.done else ""
            images = event.calibration_images
            calibrated = f"BN calibrated on {images:,} training images, " if images else ""
            return (
                f"scoring {event.subnets:,} sub-networks{already}: {calibrated}top-1 on {event.images:,} validation images"
            )
        case events.EvaluationFinished():
            return f"scored {event.subnets:,} sub-networks: {event.predictions}"
        case events.RankSoFar():
            known = f"({event.n:,} of {event.scored:,} scored sub-networks have a known truth)"
            figures = read_figures({"pearson": event.pearson, "kendall": event.kendall})
            titles: dict[Metric, str] = {"pearson": "Pearson r", "kendall": "Kendall tau"}
            return f"rank so far: {', '.join(f'{titles[name]} {figures[name]:+.3f}' for name in figures)} {known}"
        case events.RankMeasured():
            figures = read_figures(event.report)
            shown: tuple[Metric, ...] = ("pearson", "kendall")
            told = ", ".join(f"{name} {figures[name].value:.3f}" if name in figures else f"{name} -" for name in shown)
            return f"rank measured against {event.truth}: {told}"
        case events.RunFinished():
            return "run finished"
        case events.RunStopped():
            return f"run stopped: {event.reason} (exit code {event.exit_code})"
        case _:
            return type(event).__name__
