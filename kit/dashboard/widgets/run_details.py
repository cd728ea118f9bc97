"""What the list of runs shows beside it: one run's phases, times, results."""

from textual.content import Content

from kit.dashboard.widgets.parts import PHASE_MARKS, PHASE_STYLES, STATUS_MARKS, STATUS_STYLES, Part
from kit.rank_report import read_figures
from kit.watch.event_text import clock
from kit.watch.rank_data import METRIC_TITLES, RANKED_BY
from kit.watch.run_state import PhaseState, RunState
from kit.watch.run_summary import RunSummary
from kit.watch.text import clean, count, duration, number, percent, shown_path


def run_details(summary: RunSummary) -> Content:
    """A run in about thirty short lines."""
    state = summary.state
    status = summary.status or "not read yet"
    parts: list[Part] = [
        (clean(summary.id) + "\n", "bold"),
        (f"{STATUS_MARKS.get(status, '')} {status}\n\n", STATUS_STYLES.get(status, "$text-muted")),
    ]
    facts = [
        ("recipe", f"{summary.recipe or '-'} on {summary.profile or '-'}, seed {'-' if state.seed is None else state.seed}"),
        ("started", clock(state.started, date=True)),
        ("worked", duration(state.elapsed) if state.started is not None else "-"),
        ("left", duration(state.seconds_left) if status == "running" else "-"),
        ("passes", f"{count(state.passes_done)} of {count(state.passes)} ({percent(state.fraction)})"),
        ("last loss", number(state.loss, 4)),
    ]
    for name, value in facts:
        parts += [(f"{name:<10}", "$text-muted"), f"{clean(value)}\n"]
    parts += rank_lines(state)
    if state.stop_reason and status in ("stopped", "crashed"):
        parts += [("\nstopped: ", "$text-warning"), clean(state.stop_reason), "\n"]
    if summary.problem:
        parts += [("\n" + clean(summary.problem) + "\n", "$text-error")]
    parts += phase_lines(state)
    parts += [("\n" + shown_path(summary.run.path), "$text-muted")]
    return Content.assemble(*parts)


def rank_lines(state: RunState) -> list[Part]:
    """The rank figures with their intervals, and the strongest opponent."""
    if state.rank is None:
        return [("rank      ", "$text-muted"), f"{clean(state.no_rank) or 'not measured yet'}\n"]
    own, counted = read_figures(state.rank.report), read_figures(state.rank.report, "baselines", "macs")
    parts: list[Part] = []
    for name in RANKED_BY:
        figure, opponent = own.get(name), counted.get(name)
        value, ends = (f"{figure.value:.3f}", f" [{figure.low:.3f}, {figure.high:.3f}]") if figure else ("-", "")
        parts += [(f"{METRIC_TITLES[name]:<10}", "$text-muted"), (value, "bold"), ends]
        parts += [(f"  (MACs {number(opponent.value if opponent else None)})\n", "$text-muted")]
    return parts


def phase_lines(state: RunState) -> list[Part]:
    """A line per phase."""
    parts: list[Part] = ["\n"] if state.phases else []
    for phase in state.phases:
        parts += [(f"{PHASE_MARKS[phase.status]} {clean(phase.name):<10.10}", PHASE_STYLES[phase.status])]
        parts += [f"{phase_text(phase)}\n"]
    return parts


def phase_text(phase: PhaseState) -> str:
    """Steps and loss of a phase."""
    if phase.status == "waiting":
        return ""
    if phase.status in ("done", "reused"):
        loss = f"loss {phase.loss:.4f}" if phase.loss is not None else ""
        return f"{phase.steps:>7,} steps  {loss}" if phase.steps else loss
    steps = f"{phase.step:,} of {phase.steps:,} steps" if phase.steps else f"{phase.step:,} steps"
    return f"{steps} ({percent(phase.fraction)})"
