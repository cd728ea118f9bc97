"""Batches made one ahead: while the last one is computed on, the next is read, decoded and moved."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from kit.data import Batch


class Ahead:
    """Batches, as often as one iterates, each of them made by a thread while its predecessor is used."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.waited = 0.0
        """Seconds in which whoever iterates had to wait, in all iterations together."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches in their order. What making one raises is raised in its place."""
        source = iter(self.batches)
        with ThreadPoolExecutor(1, thread_name_prefix="next-batch") as thread:
            coming = thread.submit(next, source, None)
            while True:
                started = time.perf_counter()
                batch = coming.result()
                self.waited += time.perf_counter() - started
                if batch is None:
                    return
                coming = thread.submit(next, source, None)
                yield batch
