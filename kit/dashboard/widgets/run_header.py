"""The first lines of the run screen: what runs, how far it is, how fast."""

from collections import Counter

from textual.content import Content

from kit.dashboard.widgets.parts import PHASE_MARKS, PHASE_STYLES, STATUS_MARKS, STATUS_STYLES, Part, bar
from kit.watch.convergence import phase_checks, warning
from kit.watch.event_text import clock
from kit.watch.log_reader import Reading
from kit.watch.run_state import PhaseState, PhaseStatus, RunState
from kit.watch.text import clean, count, duration, number, percent

SEPARATOR: Part = ("  ·  ", "$text-muted")


def run_header(reading: Reading, width: int, batch_size: int | None) -> Content:
    """Three lines; parts that do not fit are left out from the right."""
    state = reading.state
    lines = (_what(reading), _progress(state, reading.status, width), _speed(state, batch_size, reading.status))
    return Content("\n").join(Content.assemble(*line).truncate(width, ellipsis=True) for line in lines)


def phase_strip(state: RunState, width: int) -> Content:
    """All phases on one line, the current one with its progress; cut around the current one where there is no room."""
    chips: list[tuple[str, str]] = []
    at = 0
    steps: list[tuple[str, PhaseStatus, float]] = [(each.name, each.status, each.fraction) for each in state.phases]
    if state.evaluation is not None:
        steps.append(("scoring", "done" if state.evaluation.finished else "running", state.evaluation.fraction))
    for index, (name, status, fraction) in enumerate(steps):
        at = index if status == "running" or index == len(state.phases) else at
        progress = f" {percent(fraction)}" if status == "running" else ""
        chips.append((f"{PHASE_MARKS[status]} {clean(name)}{progress}", PHASE_STYLES[status]))
    total = sum(len(text) + 2 for text, _ in chips)
    start = 0
    while total > width and start < at:
        total -= len(chips[start][0]) + 2
        start += 1
    parts: list[Part] = [("… ", "$text-muted")] if start else []
    for text, style in chips[start:]:
        parts += [(text, style), "  "]
    return Content.assemble(*parts)


def _what(reading: Reading) -> list[Part]:
    state, status = reading.state, reading.status
    if reading.problem:
        return [(clean(reading.problem), "$text-error")]
    parts: list[Part] = [(f"{STATUS_MARKS.get(status, '')} {status}", STATUS_STYLES.get(status, ""))]
    if state.kind == "ladder":
        parts += [SEPARATOR, ("ladder", "bold"), f" on {clean(state.profile)}"]
    if state.recipe:
        parts += [SEPARATOR, (clean(state.recipe), "bold"), f" on {clean(state.profile)}, seed {state.seed}"]
    if state.evaluation is not None and not state.evaluation.finished:
        scoring = state.evaluation
        parts += [SEPARATOR, "scoring ", (f"{scoring.done:,} of {scoring.subnets:,}", "bold")]
    elif state.current is not None and state.current.status == "running":
        parts += [SEPARATOR, *_where(state.current)]
    if doubt := warning(phase_checks(state.validated)):
        parts += [SEPARATOR, (clean(doubt), "$text-warning")]
    if state.stop_reason:
        parts += [SEPARATOR, (clean(state.stop_reason), "$text-warning")]
    if not state.complete:
        parts += [SEPARATOR, ("reading the log ...", "$text-muted")]
    if reading.damaged:
        parts += [SEPARATOR, (f"{reading.damaged:,} unreadable lines", "$text-warning")]
    if state.unknown:
        parts += [SEPARATOR, (f"{state.unknown:,} events of another version", "$text-warning")]
    return parts


def _where(phase: PhaseState) -> list[Part]:
    if phase.run:  # a row of a ladder, whose steps its own run counts
        return [(clean(phase.name), "bold $text-accent")]
    epoch = f" epoch {phase.epoch + 1:,}" + (f" of {phase.epochs:,}" if phase.epochs else "")
    step = f", step {phase.step:,}" + (f" of {phase.steps:,}" if phase.steps else "")
    return [(clean(phase.name), "bold $text-accent"), epoch + step]


def _progress(state: RunState, status: str, width: int) -> list[Part]:
    scoring = state.evaluation
    is_scoring = scoring is not None and not scoring.finished and scoring.subnets > 0
    fraction = scoring.fraction if is_scoring and scoring is not None else state.fraction
    left = f"{duration(state.seconds_left)} left" if status == "running" else f"worked {duration(state.elapsed)}"
    tail = f" {percent(fraction):>5}  {left}"
    done = f"  {count(state.passes_done)} of {count(state.passes)} {state.unit}" if state.passes else ""
    if width >= 100:
        tail += done
        tail += f"  worked {duration(state.elapsed)}" if status == "running" else f"  last event {clock(state.updated)}"
    if width <= len(tail) + 6:
        return [tail.strip()[: max(0, width)]]
    done, rest = bar(fraction, width - len(tail))
    return [(done, "$text-success"), (rest, "$text-muted"), tail]


def _speed(state: RunState, batch_size: int | None, status: str) -> list[Part]:
    found = [part for phase in state.phases if phase.best for part in _found(phase.name, phase.best[1])]
    if found:
        return [("best accuracy  ", "$text-muted"), *found]
    if state.kind == "ladder":
        counts = Counter(phase.status for phase in state.phases)
        done = [(f"{counts['done'] + counts['reused']} of {len(state.phases)} supernets done", "")]
        return [*done, (f"  {counts['failed']} failed", "$text-error")] if counts["failed"] else [*done]
    if state.loss is None and state.evaluation is None:
        return [("no step was trained yet", "$text-muted")]
    images = batch_size / state.seconds_per_step if batch_size and state.seconds_per_step else None
    facts: list[tuple[str, str]] = [("loss", number(state.loss, 4)), ("lr", _rate(state.learning_rate))]
    if state.evaluation is not None and state.evaluation.best is not None:
        facts.append(("best accuracy", f"{state.evaluation.best[1]:.4f}"))
    so_far = rank_so_far(state)
    if so_far:
        facts.append(("Kendall τ", so_far))
    facts += [("images/s", _speedy(images)), ("passes/s", _speedy(state.passes_per_second))]
    facts.append(("waiting for data", "-" if state.data_share is None else f"{state.data_share:.1%}"))
    parts: list[Part] = []
    for name, value in facts:
        parts += [(f"{name} ", "$text-muted"), (value, "bold"), "   "]
    return parts[:-1]


def _found(name: str, accuracy: float) -> list[Part]:
    return [(f"{clean(name)} ", "$text-muted"), (f"{accuracy:.4f}", "bold"), "   "]


def rank_so_far(state: RunState) -> str:
    """The newest rank figure with its interval, of the whole pool or of what was scored until now."""
    figures = state.rank_figures
    if figures is None or figures.kendall is None:
        return ""
    tau = figures.kendall
    return f"{tau.value:+.3f} [{tau.low:.3f}, {tau.high:.3f}]" + ("" if figures.final else f" after {figures.scored:,}")


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _speedy(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
