"""Making a truth: many architectures and seeds, one process per core, every finished training kept."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import BaseContext

import torch

from kit.data import Data, open_data
from kit.errors import TrainingStoppedError
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.truth.standalone import StandaloneScore, train_alone

Scores = tuple[StandaloneScore, ...]
"""One for each seed of a unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is trained at once: an architecture, from one seed or from several stacked ones."""

    architecture: Architecture
    seeds: tuple[int, ...]


def train_units(
    profile: Profile, data_spec: str, units: Sequence[Unit], workers: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[Unit, Scores]]:
    """Train the units, yielding each when it is done (in any order); on a stop, units under way are given up.

    A unit's result depends on the unit alone, not on the workers.
    """
    pending = list(reversed(units))
    running: dict[Future[Scores], Unit] = {}
    executor = ProcessPoolExecutor(workers, _context(), initializer=_open, initargs=(profile, data_spec))
    try:
        while pending or running:
            while pending and len(running) < workers:
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
        with suppress(OSError):  # its own thread sees the processes die, too, and may have closed a pipe first
            executor.shutdown(wait=True, cancel_futures=True)


def _context() -> BaseContext:
    """How workers start: on Linux from one process that has imported torch for all of them and computed nothing yet."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


_worker: tuple[Profile, Data] | None = None
"""Set once in each worker process, so that the data are opened once and not once per unit."""


def _open(profile: Profile, data_spec: str) -> None:
    global _worker
    # The terminal sends Ctrl-C and its own end to the whole group; only the parent decides what to do about them.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)
    data = open_data(
        data_spec,
        resolution=profile.resolution,
        augmentation=profile.images.augmentation,
        train_images=profile.images.train or None,
        val_images=profile.images.validation or None,
    )
    _worker = (profile, data)


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would wait for its next unit for ever: its siblings keep the queue open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _train(unit: Unit) -> Scores:
    assert _worker is not None
    profile, data = _worker
    return train_alone(unit.architecture, profile, data, unit.seeds)
