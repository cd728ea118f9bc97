"""Timings that know how far to be believed: ways in turn until their ratio is known narrowly, other work noticed.

The ways of a round follow each other, every other round backwards, so that a machine's drift cancels in their ratio. What
runs beside all the time no repeat can show: the machine's own count of busy time does.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from scipy.stats import binom

from kit.recipe import Profile

NARROW = 0.1  # (high - low) / median of a ratio that is known well enough to stop
FEWEST, MOST = 3, 100  # rounds: below the first, an interval says nothing
LEAST_SECONDS = 1.0  # the clock of busy time ticks in hundredths of a second
OTHERS = 0.1  # share of the machine's cores that other processes may keep busy


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of ratios and an interval of the true one."""

    value: float
    low: float
    high: float

    @property
    def noise(self) -> float:
        return (self.high - self.low) / self.value

    def document(self, name: str = "ratio") -> dict[str, float]:
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def median_ratio(ratios: Sequence[float]) -> Ratio:
    """The median with its order-statistic interval: 95 % at least from six ratios on, below that their whole range."""
    ordered, n = sorted(ratios), len(ratios)
    out = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)  # as many may lie outside on each side
    return Ratio(statistics.median(ordered), ordered[out], ordered[n - 1 - out])


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each way in each round, and the cores that other processes kept busy meanwhile."""

    rounds: Sequence[Sequence[float]]
    compared: Sequence[tuple[int, int]]
    other_cores: float

    def seconds(self, way: int) -> float:
        """The median."""
        return statistics.median(times[way] for times in self.rounds)

    def ratio(self, first: int, second: int) -> Ratio:
        """How many times as long the first way takes as the second."""
        return median_ratio([times[first] / times[second] for times in self.rounds])

    @property
    def noise(self) -> float:
        return max((self.ratio(*pair).noise for pair in self.compared), default=0.0)

    def document(self) -> dict[str, Any]:
        """What a benchmark's JSON says of its own spread; `doubts` say why its figures are not to be believed."""
        rounds = len(self.rounds)
        doubts = [f"{rounds} rounds are too few to know the spread, {FEWEST} are the fewest"] if rounds < FEWEST else []
        if self.noise > NARROW:
            doubts += [f"the interval is {self.noise:.0%} wide after {rounds} rounds, {NARROW:.0%} would be narrow"]
        doubts += busy(self.other_cores)
        spread = {"repeats": rounds, "noise": self.noise, "other_cores": self.other_cores}
        return {**spread, "quiet": not doubts, "doubts": "; ".join(doubts)}


def busy(other_cores: float) -> list[str]:
    """A doubt, if other processes took so much of the machine that timings are not to be believed."""
    cores = psutil.cpu_count() or 1
    return [f"other processes kept {other_cores:.1f} of {cores} cores busy"] if other_cores > OTHERS * cores else []


CPU = torch.device("cpu")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
"""The processor's counts what all threads of this process compute, and not how long others keep them from it."""


def timed(work: Callable[[], object], device: torch.device = CPU, clock: str = "wall") -> Callable[[], float]:
    """A way that measures itself by one of `CLOCKS`, to the end of what it leaves to the device."""
    read = CLOCKS[clock]

    def way() -> float:
        started = read()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return read() - started

    return way


def measure(
    ways: Sequence[Callable[[], float]],
    *,
    repeats: int,
    seconds: float,
    compared: Sequence[tuple[int, int]] = ((0, 1),),
    warm: bool = True,
    least: float | None = None,
) -> Timings:
    """Take rounds of `ways` (each returns its seconds) until every compared ratio is narrow, `repeats` of them at least.

    Ends early, but after one round at least, when the next would pass the limit of `seconds`; not before `least` seconds.
    `warm`: one unmeasured first.
    """
    started = time.monotonic()
    for way in ways if warm else ():
        way()
    begun, busy, rounds = time.monotonic(), others_seconds(), list[list[float]]()
    while True:
        order = range(len(ways)) if len(rounds) % 2 == 0 else reversed(range(len(ways)))
        times = {position: ways[position]() for position in order}
        rounds.append([times[position] for position in range(len(ways))])
        now = time.monotonic()
        found = Timings(rounds, compared, max(0.0, others_seconds() - busy) / max(now - begun, 0.1))
        needed = max(repeats, FEWEST if found.noise <= NARROW else MOST)
        enough = len(rounds) >= needed and now - begun >= (LEAST_SECONDS if least is None else least)
        if enough or now - started + (now - begun) / len(rounds) > seconds:
            return found


def shares(seconds: float, parts: int) -> Iterator[float]:
    """What each of several measurements may take of `seconds`; what one leaves is for those after it."""
    ends = time.monotonic() + seconds
    return ((ends - time.monotonic()) / left for left in range(parts, 0, -1))


def together(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the documents of several measurements say of their spread as one."""
    doubts = "\n".join(f"{name}: {row['doubts']}" for name, row in rows.items() if row["doubts"])
    worst = {name: max(row[name] for row in rows.values()) for name in ("noise", "other_cores")}
    return {"repeats": min(row["repeats"] for row in rows.values()), **worst, "quiet": not doubts, "doubts": doubts}


def use_threads(profile: Profile) -> None:
    """Set PyTorch's thread count, if the profile names one."""
    torch.set_num_threads(profile.runtime.threads or torch.get_num_threads())


def others_seconds() -> float:
    """CPU seconds that the machine has spent on other processes than this one and its ended children."""
    times, own = psutil.cpu_times(), os.times()
    unused = sum(getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
    return float(sum(times) - unused - sum(own[:4]))
