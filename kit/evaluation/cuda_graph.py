"""The walk over a tree as one CUDA graph: hundreds of small kernels are launched at once instead of one after another."""

from collections.abc import Callable

import torch
from torch import Tensor

from kit.data import Batch


class CapturedWalk:
    """`walk(batch)` recorded once and replayed for every batch of the same size.

    `walk` must not wait for the device, and must compute on the tensors of the batch it is given.
    """

    def __init__(self, walk: Callable[[Batch], Tensor], batch: Batch, device: torch.device) -> None:
        self._batch = Batch(batch.images.to(device, copy=True), batch.labels.to(device, copy=True))
        self._graph = torch.cuda.CUDAGraph()
        # Libraries choose their algorithms and allocate on first use, which a recording must not contain.
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            walk(self._batch)
        torch.cuda.current_stream(device).wait_stream(aside)
        with torch.cuda.graph(self._graph):
            self._result = walk(self._batch)

    def fits(self, batch: Batch) -> bool:
        """Whether the recording is for batches of this size."""
        return batch.images.shape == self._batch.images.shape

    def __call__(self, batch: Batch) -> Tensor:
        """What `walk(batch)` returns."""
        self._batch.images.copy_(batch.images, non_blocking=True)
        self._batch.labels.copy_(batch.labels, non_blocking=True)
        self._graph.replay()
        return self._result.clone()
