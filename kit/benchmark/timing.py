"""Paired timings: two ways of doing the same thing, in turn, so that a machine's drift cancels in their ratio."""

import statistics
import time
from collections.abc import Callable, Sequence
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
    firsts, seconds = times_in_turn([first, second], repeats=repeats)
    return paired(firsts, seconds)


def times_in_turn(ways: Sequence[Callable[[], object]], *, repeats: int) -> list[list[float]]:
    """Seconds of each way in each of `repeats` rounds, after an unmeasured one; every other round goes backwards."""
    for way in ways:
        way()
    rounds = []
    for repeat in range(repeats):
        order = range(len(ways)) if repeat % 2 == 0 else reversed(range(len(ways)))
        times = {position: _seconds(ways[position]) for position in order}
        rounds.append([times[position] for position in range(len(ways))])
    return [list(times) for times in zip(*rounds, strict=True)]


def paired(firsts: Sequence[float], seconds: Sequence[float]) -> Paired:
    """Medians and ratios of two ways that were timed in the same rounds."""
    ratios = tuple(a / b for a, b in zip(firsts, seconds, strict=True))
    return Paired(statistics.median(firsts), statistics.median(seconds), ratios)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
