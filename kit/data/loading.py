"""Decoding images in worker processes, so that neither their number nor their order changes a pixel."""

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from kit.data.augment import ImageTransform
from kit.data.batches import Batch
from kit.data.splits import ImageSplit
from kit.errors import KitError, StorageError

Request = tuple[int, int | None]
"""An image's position in its split and the seed of its augmentation (None: the transform is not random)."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that augmentations draw from, and give them back their state afterwards."""
    python, numpy, default = random.getstate(), np.random.get_state(), torch.default_generator
    state = default.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # Not torch.manual_seed: it would seed the accelerators too.
    default.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        default.set_state(state)


@dataclass(frozen=True)
class TransformedImages(Dataset[Any]):
    """Turns requests into `(image, label)`; an unreadable image comes out as its error: workers cannot raise cleanly."""

    split: ImageSplit
    transform: ImageTransform

    def __getitem__(self, request: Request) -> tuple[torch.Tensor, torch.Tensor] | KitError:
        position, seed = request
        try:
            image = self.split.store.load(int(self.split.indices[position]))
        except KitError as error:
            return error
        with nullcontext() if seed is None else seeded(seed):
            return self.transform(image), self.split.labels[position]


def collate(items: list[tuple[torch.Tensor, torch.Tensor] | KitError]) -> Batch | KitError:
    """A batch, or the first error among its items."""
    pairs = []
    for item in items:
        if isinstance(item, KitError):
            return item
        pairs.append(item)
    images, labels = zip(*pairs, strict=True)
    return Batch(torch.stack(images), torch.stack(labels))


def decoded_batches(
    split: ImageSplit, transform: ImageTransform, requests: Callable[[], Iterable[list[Request]]], *, workers: int
) -> Iterator[Batch]:
    """The batches that `requests()` lists, in that order.

    Raises `StorageError` for an image that cannot be read, and when a worker process dies.
    """
    workers = min(workers, len(os.sched_getaffinity(0))) if sys.platform == "linux" else workers
    loader: DataLoader[Any] = DataLoader(
        TransformedImages(split, transform),
        batch_sampler=_Requests(requests),
        num_workers=workers,
        collate_fn=collate,
        # Page-locked memory travels to a GPU while the GPU computes.
        pin_memory=torch.cuda.is_available(),
        # Without its own generator a loader draws its base seed from the global one.
        generator=torch.Generator(),
        # Forked workers share the index of the data set; spawned ones would each import torch and unpickle it.
        multiprocessing_context=multiprocessing.get_context("fork") if workers and sys.platform == "linux" else None,
        worker_init_fn=_leave_signals_to_parent,
    )
    iterator = iter(loader)
    try:
        while (batch := _next(iterator)) is not None:
            if isinstance(batch, KitError):
                raise batch
            yield batch
    finally:
        # An error's traceback keeps this frame alive; the workers must not live as long.
        del iterator


def _next(iterator: Iterator[Batch | KitError]) -> Batch | KitError | None:
    try:
        return next(iterator, None)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise StorageError(
            f"a process that decodes images died: {str(error).splitlines()[0]}",
            hint="memory may have run out (in a container, /dev/shm too): use fewer workers or 0",
        ) from error


@dataclass(frozen=True)
class _Requests:
    """Starts the requests anew for each iteration, as a loader expects from its batch sampler."""

    make: Callable[[], Iterable[list[Request]]]

    def __iter__(self) -> Iterator[list[Request]]:
        return iter(self.make())


def _leave_signals_to_parent(worker: int) -> None:
    # Ctrl-C reaches the whole process group: the parent finishes its step and saves, and needs the workers until then.
    # The parent's own handlers, inherited by the fork, have no business in a worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
