"""Several processes as one: agree on a value, average gradients, share a key-value store. One process is a group of one."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from kit.errors import CommunicationError, ExitCode
from kit.launcher import Launched, launched

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ProcessGroup(Launched):
    """This process among `size` others that run the same command. The default is a process on its own."""

    timeout_seconds: float = 600.0
    """How long a silent process is waited for."""
    store: Store | None = None
    """What the processes know in common; it belongs to the launcher, so it outlives them."""

    def share(self, value: T) -> T:
        """The first process's `value`, everywhere. All processes have to ask."""
        if self.size == 1:
            return value
        box = [value]
        with lost_processes():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, wish: bool) -> bool:
        """Whether any process has this wish. All processes have to ask."""
        if self.size == 1:
            return wish
        wishes = torch.tensor([int(wish)])
        with lost_processes():
            dist.all_reduce(wishes)
        return bool(wishes.item())

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.share(None)

    def average(self, network: nn.Module, losses: Tensor, stop: bool) -> tuple[list[float], bool]:
        """Replace every gradient by its mean over the processes, in one all-reduce however many paths made it.

        Losses and the wish to stop travel with it, so that all processes decide alike: returns the mean `losses` and
        whether any process wants to stop, for which the host waits, once. Every process must hold gradients of the same
        parameters.
        """
        if self.size == 1:
            return losses.tolist(), stop
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        parts = [losses.to(gradients[0]), gradients[0].new_tensor([float(stop)])]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), *parts])
        with lost_processes():
            dist.all_reduce(flat)
        flat /= self.size
        *means, told = flat.split([*(gradient.numel() for gradient in gradients), len(losses) + 1])
        torch._foreach_copy_(gradients, [mean.view_as(gradient) for mean, gradient in zip(means, gradients, strict=True)])
        *mean_losses, stopping = told.tolist()
        return mean_losses, stopping > 0


@contextmanager
def open_process_group(timeout_seconds: float) -> Iterator[ProcessGroup]:
    """Join the group this process was started for; without a launcher, a group of one.

    Raises `CommunicationError` when the others do not come within `timeout_seconds`.
    """
    place = launched()
    if place is None:
        yield ProcessGroup(timeout_seconds=timeout_seconds)
        return
    timeout = timedelta(seconds=timeout_seconds)
    Thread(target=_end_without_launcher, args=(os.getppid(), timeout_seconds), daemon=True).start()
    with lost_processes():
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        store.set_timeout(timeout)
        # The launcher's store remembers what processes wrote that were lost since: a new attempt starts on a clean page.
        store = PrefixStore(f"kit attempt {place.restarts}", store)
        # Gradients travel by NCCL where they lie on GPUs, agreements always by Gloo. NCCL's own watchdog would abort
        # this process when another is lost; waiting for each exchange, as a step does anyway, gives an error to tell.
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        by_nccl = torch.cuda.is_available() and dist.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if by_nccl else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    try:
        yield ProcessGroup(
            rank=rank,
            size=size,
            local_rank=place.local_rank,
            timeout_seconds=timeout_seconds,
            store=PrefixStore("work", store),
        )
    finally:
        dist.destroy_process_group()


def _end_without_launcher(launcher: int, grace_seconds: float) -> None:
    """End this process when its launcher is gone and it has not stopped in good order since: it may hang inside torch."""
    while os.getppid() == launcher:
        time.sleep(1)
    time.sleep(grace_seconds)
    os._exit(ExitCode.STORAGE)


@contextmanager
def lost_processes() -> Iterator[None]:
    """Turn what torch raises when a process or the store is gone into a `CommunicationError`."""
    try:
        yield
    except (RuntimeError, ConnectionError) as error:  # torch's DistError is a RuntimeError, Gloo raises a plain one
        raise CommunicationError(
            f"another process of this run does not answer ({_brief(error)})",
            hint="everything up to the last checkpoint is kept: run the same command again to continue",
        ) from error


def _brief(error: Exception) -> str:
    """The first sentence of torch's message, without the place in its source code that it begins with."""
    return re.sub(r"\[/[^\]]*\] ", "", str(error).splitlines()[0]).split(". ")[0]
