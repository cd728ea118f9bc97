"""Making a truth: many architectures and seeds, one process per core, every finished training kept."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import torch

from kit.data import Data, open_data
from kit.errors import TrainingStoppedError
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.truth.standalone import StandaloneScore, train_alone


@dataclass(frozen=True, slots=True)
class Unit:
    """One training: an architecture and a seed."""

    architecture: Architecture
    seed: int


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What every worker needs to open the same data."""

    profile: Profile
    data_spec: str
    workers: int
    threads: int = 1


def train_units(
    settings: BenchSettings, units: Sequence[Unit], should_stop: Callable[[], bool]
) -> Iterator[tuple[Unit, StandaloneScore]]:
    """Train the units, yielding each when it is done (in any order); on a stop, units under way are given up.

    A unit's result depends on the unit alone, not on the workers.
    """
    pending = list(reversed(units))
    running: dict[Future[StandaloneScore], Unit] = {}
    executor = ProcessPoolExecutor(
        settings.workers, multiprocessing.get_context("spawn"), initializer=_open, initargs=(settings,)
    )
    try:
        while pending or running:
            while pending and len(running) < settings.workers:
                unit = pending.pop()
                running[executor.submit(_train, unit)] = unit
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
            if should_stop():
                return
    except BrokenProcessPool as error:
        raise TrainingStoppedError(
            "a training process died (killed, or out of memory)", hint="run the same command again: finished ones are kept"
        ) from error
    finally:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(wait=True, cancel_futures=True)


_worker: tuple[Profile, Data] | None = None
"""Set once in each worker process, so that the data are opened once and not once per unit."""


def _open(settings: BenchSettings) -> None:
    global _worker
    import signal

    # The terminal sends Ctrl-C to the whole group; only the parent decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(settings.threads)
    profile = settings.profile
    data = open_data(
        settings.data_spec,
        resolution=profile.resolution,
        augmentation=profile.images.augmentation,
        train_images=profile.images.train or None,
        val_images=profile.images.validation or None,
    )
    _worker = (profile, data)


def _train(unit: Unit) -> StandaloneScore:
    assert _worker is not None
    profile, data = _worker
    return train_alone(unit.architecture, profile, data, unit.seed)
