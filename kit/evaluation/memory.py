"""When memory runs out: the same work in smaller portions, and words instead of a traceback where that does not help."""

import ctypes
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from kit.errors import StorageError

Result = TypeVar("Result")
Portion = TypeVar("Portion", bound=Sequence[object])

ONEDNN = ("could not create a primitive", "could not execute a primitive", "could not create a memory")
"""oneDNN allocates for itself, and says no more than that it failed."""
SAID = ("can't allocate memory", "CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""How PyTorch's CPU allocator, the CUDA runtime and its libraries put it where torch raises a plain error."""
KEPT = "what is finished is kept; run again with more memory, fewer processes or a smaller batch (a key of the profile)"
LESS = "lower calibration.batch_size and evaluation.batch_size in the profile, or use a larger device"


class Portions:
    """How many items fit into memory at once, learnt on the way: half as many each time it runs out, never more again.

    So it runs out no more often than the first portion can be halved. Trying every portion whole first would go on and on
    where the room changes: libraries keep buffers for each size that they have seen.
    """

    def __init__(self, what: str, note: Callable[[str], None]) -> None:
        self.what = what
        self.note = note
        self.most: int | None = None

    def __call__(self, work: Callable[[Portion], list[Result]], items: Portion) -> list[Result]:
        """The results of `work` on portions of `items`, in order; `note` is told of each halving.

        Raises `StorageError` when even one item is too much.
        """
        results: list[Result] = []
        done = 0
        while done < len(items):
            part: Portion = items[done : done + (self.most or len(items))]  # type: ignore[assignment]
            try:
                results += work(part)
                done += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                told = f"{_told(error)} with {len(part)} {self.what} at once"
                if len(part) < 2:
                    raise StorageError(told, hint=LESS) from error
            # Outside the handler: the error's traceback holds the activations that were in the way.
            _give_back()
            self.most = len(part) // 2
            self.note(f"{told}: going on with {self.most}, with the same results")
        return results


def _give_back() -> None:
    """Garbage, the blocks that a GPU's allocator keeps, and what the C library keeps of freed memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc: oneDNN maps its own memory and cannot use what malloc holds
        libc.malloc_trim(0)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn what torch raises when memory runs out into a `StorageError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if (found := in_words(error)) is None:
            raise
        raise found from error


def in_words(error: BaseException) -> StorageError | None:
    """What to tell a user about an error that says that memory is used up; None for any other."""
    return StorageError(_told(error), hint=KEPT) if is_out_of_memory(error) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's or the machine's memory is used up."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or text in ONEDNN or any(said in text for said in SAID)


def _told(error: BaseException) -> str:
    """In words; oneDNN's are kept, because it says the same of some other failures."""
    return f"out of memory ({error})" if str(error) in ONEDNN else "out of memory"
