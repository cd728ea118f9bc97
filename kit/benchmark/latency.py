"""A latency table of a profile's space: every distinct block timed on this device, and the sums checked on whole networks.

Blocks are taken in turns, so that a block's weights have left the nearest caches when it runs again, as in a network, and
whole networks between them, so that a machine that slows down slows both. Every call has a cost of its own, and a block that
runs alone keeps other things near than one in a network: a factor and a part for each block, fitted on networks that the
check then leaves out, take account of that.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kit.benchmark.latency_backends import BACKENDS, Backend, Work
from kit.benchmark.timing import busy, measure, others_seconds, timed
from kit.latency_table import BlockTime, Correction, LatencyTable, NetworkTime, all_blocks, blocks_of
from kit.processor import processor_name
from kit.randomness import derive_random
from kit.recipe import Profile
from kit.search_space import Architecture, Scale

AT_ONCE = 48
"""Blocks that take turns: enough to fill a processor's caches, few enough for its memory."""
REPEATS = 7
LEAST_SECONDS = 0.3
"""Of a group's turns: small blocks repeat more often."""
NETWORKS = 24
"""Whole networks that the sums are checked on."""
FITTED = 12
"""Other ones that the correction is fitted on."""
NARROW = 0.2
"""Middle half of a block's repeats over their median, beyond which a machine is too noisy."""

Progress = Callable[[str, int, int, float | None], None]
"""What is measured now, how many blocks are done, of how many, and the seconds left."""


class Clock:
    """A stopwatch that knows how many cores others kept busy meanwhile."""

    def __init__(self) -> None:
        self._begun, self._busy = time.monotonic(), others_seconds()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @property
    def other_cores(self) -> float:
        return max(0.0, others_seconds() - self._busy) / max(self.seconds, 0.1)


def milliseconds(works: Sequence[Work], repeats: int, *, least: float = 0.0) -> list[list[float]]:
    """What each work took, `repeats` times or more, all in turns, after one that does not count."""
    ways = [timed(work) for work in works]
    found = measure(ways, repeats=repeats, seconds=float("inf"), compared=(), least=least)
    return [[1000 * each for each in seconds] for seconds in zip(*found.rounds, strict=True)]


def measure_latency(
    profile: Profile, *, backend: str, threads: int, batch: int, repeats: int = REPEATS, progress: Progress | None = None
) -> LatencyTable:
    """Time every block of `profile`'s space and `NETWORKS` of its architectures."""
    clock = Clock()
    scale = profile.scale
    runner = _runner(scale, backend, threads, batch)
    blocks, chosen = all_blocks(scale), drawn(scale, FITTED + NETWORKS)
    times: dict[str, BlockTime] = {}
    networks = [runner.network(architecture) for architecture in chosen]
    whole: list[list[float]] = [[] for _ in chosen]
    for start in range(0, len(blocks), AT_ONCE):
        part = blocks[start : start + AT_ONCE]
        if progress is not None:
            progress(part[0].key, start, len(blocks), clock.seconds / start * (len(blocks) - start) if start else None)
        found = milliseconds([runner.block(block) for block in part], repeats, least=LEAST_SECONDS)
        times |= {block.key: _block_time(each) for block, each in zip(part, found, strict=True)}
        for own, each in zip(whole, milliseconds(networks, 1), strict=True):
            own += each
    spread = statistics.median((each.high - each.low) / each.ms for each in times.values())
    raw = [[times[block.key].ms for block in blocks_of(architecture, scale)] for architecture in chosen]
    measured = [statistics.median(each) for each in whole]
    correction = fitted(raw[:FITTED], measured[:FITTED])
    checked = [
        NetworkTime(code=architecture.code, measured_ms=found, sum_ms=correction.total(sum(own), len(own)))
        for architecture, found, own in list(zip(chosen, measured, raw, strict=True))[FITTED:]
    ]
    return LatencyTable(
        format=1,
        profile=profile.name,
        space=scale.space.to_json(),
        resolution=scale.resolution,
        classes=scale.num_classes,
        device=processor_name(),
        backend=backend,
        threads=threads,
        batch=batch,
        versions=runner.versions,
        repeats=repeats,
        seconds=clock.seconds,
        spread=spread,
        other_cores=clock.other_cores,
        doubts=doubts(spread, clock.other_cores),
        pearson=agreement(checked),
        mean_absolute_error_percent=mean_error(checked),
        networks=tuple(checked),
        correction=correction,
        blocks=times,
    )


@dataclass(frozen=True)
class Check:
    """Whole networks measured again, others than a table was made with, against its sums."""

    networks: Sequence[NetworkTime]
    doubts: str

    @property
    def pearson(self) -> float:
        return agreement(self.networks)

    @property
    def mean_absolute_error_percent(self) -> float:
        return mean_error(self.networks)


def check_latency(table: LatencyTable, *, seed: int = 1, repeats: int = REPEATS) -> Check:
    """Measure `NETWORKS` architectures here as the table's were, and compare them with its sums."""
    runner = _runner(table.scale, table.backend, table.threads, table.batch)
    chosen = drawn(table.scale, NETWORKS, seed)
    clock = Clock()
    found = milliseconds([runner.network(architecture) for architecture in chosen], repeats)
    checked = [
        NetworkTime(code=each.code, measured_ms=statistics.median(times), sum_ms=table.milliseconds(each))
        for each, times in zip(chosen, found, strict=True)
    ]
    spread = statistics.median((time.high - time.low) / time.ms for time in map(_block_time, found))
    return Check(checked, doubts(spread, clock.other_cores))


def fitted(blocks: Sequence[Sequence[float]], measured: Sequence[float]) -> Correction:
    """The correction with the least squared relative error, from each network's block times and what it took as a whole."""
    wanted = np.ones(len(measured))
    known = np.array([[sum(own), len(own)] for own in blocks]) / np.array(measured)[:, None]
    factor, per_block = np.linalg.lstsq(known, wanted)[0].tolist()
    return Correction(factor=factor, per_block_ms=per_block)


def drawn(scale: Scale, count: int, seed: int = 0) -> list[Architecture]:
    """The architectures whose whole networks are measured."""
    rng = derive_random("latency", seed)
    return [scale.space.sample(rng) for _ in range(count)]


def agreement(networks: Sequence[NetworkTime]) -> float:
    """Pearson's r of sums and measured times."""
    return statistics.correlation([each.sum_ms for each in networks], [each.measured_ms for each in networks])


def mean_error(networks: Sequence[NetworkTime]) -> float:
    """The mean absolute error of the sums in percent of what was measured."""
    return 100 * statistics.fmean(abs(each.sum_ms / each.measured_ms - 1) for each in networks)


def doubts(spread: float, other_cores: float) -> str:
    """Why times are not to be believed."""
    found = [f"the middle half of the repeats is {spread:.0%} wide, {NARROW:.0%} would be narrow"] if spread > NARROW else []
    return "; ".join(found + busy(other_cores))


def _runner(scale: Scale, backend: str, threads: int, batch: int) -> Backend:
    torch.set_num_threads(threads)
    return BACKENDS[backend](scale, batch, threads)


def _block_time(milliseconds: Sequence[float]) -> BlockTime:
    quarters = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return BlockTime(ms=statistics.median(milliseconds), low=quarters[0], high=quarters[2])
