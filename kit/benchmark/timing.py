"""Paired timings: two ways of doing the same thing, in turn, so that a machine's drift cancels in their ratio."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paired:
    """Median seconds of both, and the ratio of each pair (first over second)."""

    first_seconds: float
    second_seconds: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)


def time_in_turn(first: Callable[[], object], second: Callable[[], object], *, repeats: int) -> Paired:
    """Run both once unmeasured, then `repeats` times in turn, the order of a pair alternating."""
    first()
    second()
    times: list[tuple[float, float]] = []
    for repeat in range(repeats):
        if repeat % 2:
            b = _seconds(second)
            times.append((_seconds(first), b))
        else:
            a = _seconds(first)
            times.append((a, _seconds(second)))
    firsts, seconds = zip(*times, strict=True)
    ratios = tuple(a / b for a, b in times)
    return Paired(statistics.median(firsts), statistics.median(seconds), ratios)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
