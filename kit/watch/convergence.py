"""Whether a supernet has converged, as far as its sub-networks on held-out images tell."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.events import LARGEST, SAMPLED, SMALLEST, Validated

REASONS = (
    "Usual reasons: too few epochs for it, a learning rate that suits small ones only, a sampler that rarely draws it, or "
    "too few calibration images."
)


@dataclass(frozen=True)
class PhaseCheck:
    """A phase's sub-networks on held-out images, when it was done."""

    phase: str
    largest: Validated
    smallest: Validated
    sampled: tuple[Validated, ...]

    @property
    def median_loss(self) -> float:
        return statistics.median(each.loss for each in self.sampled)

    @property
    def median_accuracy(self) -> float:
        return statistics.median(each.accuracy for each in self.sampled)

    @property
    def largest_is_worse(self) -> bool:
        """It has every weight that the sampled ones have, and more: something is wrong, or not done."""
        return self.largest.loss > self.median_loss


def phase_checks(validated: Iterable[Validated]) -> list[PhaseCheck]:
    """One for every phase that was checked, in the order of the log; of a phase trained twice the newer one."""
    found: dict[str, dict[str, Validated]] = {}
    for event in validated:
        found.setdefault(event.phase, {})[event.what] = event
    checks = []
    for phase, each in found.items():
        sampled = tuple(event for what, event in each.items() if what.startswith(SAMPLED))
        if LARGEST in each and SMALLEST in each and sampled:
            checks.append(PhaseCheck(phase, each[LARGEST], each[SMALLEST], sampled))
    return checks


def held_out_losses(checks: Sequence[PhaseCheck]) -> dict[str, tuple[float, ...]]:
    """Curves by what they are of, a value for each phase."""
    return {
        LARGEST: tuple(check.largest.loss for check in checks),
        SMALLEST: tuple(check.smallest.loss for check in checks),
        "median": tuple(check.median_loss for check in checks),
    }


def warning(checks: list[PhaseCheck]) -> str:
    """What is to be said of the newest one; nothing if all is as it should be."""
    if not checks or not checks[-1].largest_is_worse:
        return ""
    newest = checks[-1]
    return (
        f"after {newest.phase} the largest sub-network does worse than the median sampled one "
        f"(loss {newest.largest.loss:.3f}, {newest.median_loss:.3f})"
    )
