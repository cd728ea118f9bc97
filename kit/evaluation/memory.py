"""When memory runs out: the same work in smaller portions."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from kit.errors import StorageError

Item = TypeVar("Item")
Result = TypeVar("Result")
Portion = TypeVar("Portion", bound=Sequence[object])


def in_halves(
    work: Callable[[Portion], list[Result]], items: Portion, *, what: str, note: Callable[[str], None]
) -> list[Result]:
    """`work(items)`, or the results of its halves one after another where memory does not suffice for the whole.

    Raises `StorageError` when even one item is too much.
    """
    try:
        return work(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) < 2:
            raise StorageError(
                f"out of memory with {len(items)} {what} at once",
                hint="lower calibration.batch_size and evaluation.batch_size in the profile, or use a larger device",
            ) from error
    # Outside the handler: the error's traceback holds the activations that were in the way.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    note(f"out of memory with {len(items)} {what} at once: going on with {middle}, with the same results")
    first: Portion = items[:middle]  # type: ignore[assignment]
    second: Portion = items[middle:]  # type: ignore[assignment]
    return [*in_halves(work, first, what=what, note=note), *in_halves(work, second, what=what, note=note)]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's or the machine's memory is used up (on a CPU torch raises a plain error)."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
