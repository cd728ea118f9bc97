"""Which curves of a run there are to draw: by kind, for all phases or one."""

from dataclasses import dataclass
from typing import Literal

from kit.watch.convergence import held_out_losses, phase_checks
from kit.watch.run_state import PhaseState, RunState
from kit.watch.series import Curve

Kind = Literal["loss", "learning rate", "held-out loss", "accuracy"]
KINDS: tuple[Kind, ...] = ("loss", "learning rate", "held-out loss", "accuracy")


@dataclass(frozen=True)
class PhaseCurve:
    """The curve of one phase (of held-out losses: of one kind of sub-network), and where on the x axis it belongs."""

    name: str
    curve: Curve


def phase_curves(state: RunState, kind: Kind, scope: str | None) -> list[PhaseCurve]:
    """Curves of all phases over the passes of the whole run, or of the phase `scope` over its steps."""
    if kind == "accuracy":
        evaluation = state.evaluation
        if evaluation is None:
            return [PhaseCurve(phase.name, phase.found) for phase in state.phases if len(phase.found)]
        return [] if evaluation is None else [PhaseCurve("accuracy", evaluation.accuracies)]
    if kind == "held-out loss":
        return _held_out(state)
    if scope is not None:
        return [PhaseCurve(phase.name, _curve(phase, kind)) for phase in state.phases if phase.name == scope]
    curves: list[PhaseCurve] = []
    before = 0
    for phase in state.phases:
        curve = _curve(phase, kind)
        if len(curve):
            xs = tuple(before + x * phase.paths_per_step for x in curve.x)
            curves.append(PhaseCurve(phase.name, Curve(xs, curve.y)))
        before += phase.passes_done
    return curves


def _held_out(state: RunState) -> list[PhaseCurve]:
    """Of the largest, the smallest and the median sub-network, a point at the end of every phase."""
    ends: dict[str, float] = {}
    passes = 0
    for phase in state.phases:
        passes += round(phase.steps * phase.paths_per_step)
        ends[phase.name] = passes
    checks = [check for check in phase_checks(state.validated) if check.phase in ends]
    xs = tuple(ends[check.phase] for check in checks)
    return [PhaseCurve(name, Curve(xs, losses)) for name, losses in held_out_losses(checks).items() if losses]


def joined(curves: list[PhaseCurve]) -> Curve:
    """All curves as one."""
    return Curve(tuple(x for part in curves for x in part.curve.x), tuple(y for part in curves for y in part.curve.y))


def axis_title(kind: Kind, scope: str | None) -> str:
    """What the x axis counts."""
    if kind == "accuracy":
        return "sub-networks scored"
    return "passes" if scope is None or kind == "held-out loss" else f"steps of {scope}"


def _curve(phase: PhaseState, kind: Kind) -> Curve:
    return phase.losses if kind == "loss" else phase.rates
