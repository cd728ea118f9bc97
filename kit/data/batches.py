"""What leaves the data layer: uint8 batches, and the one place where pixels become floats."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

CHANNELS = 3
Statistics = tuple[float, float, float]


class Batch(NamedTuple):
    """Images `(N, 3, H, W)`, uint8, and labels `(N,)`, int64."""

    images: Tensor
    labels: Tensor


class Normalisation(Protocol):
    """Anything with the channel means and standard deviations of pixels scaled to 0..1; a `Data` is one."""

    @property
    def mean(self) -> Statistics: ...
    @property
    def std(self) -> Statistics: ...


def normalize(
    images: Tensor,
    data: Normalisation,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> Tensor:
    """`(images / 255 - mean) / std` per channel: uint8 `(N, 3, H, W)` -> `dtype` of the same shape, on `device`."""
    assert images.dtype == torch.uint8, f"pixels must be uint8, not {images.dtype}"
    # The bytes travel to the device, not the floats; half precision only rounds the result.
    moved = images.to(device=device, non_blocking=True)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (data.mean, data.std))
    scale = (1 / (255 * std)).to(moved.device, exact)
    shift = (-mean / std).to(moved.device, exact)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return moved.to(exact, memory_format=layout).mul_(scale).add_(shift).to(dtype)


def to_rgb(images: Tensor) -> Tensor:
    """Uint8 `(N, 1 or 3, H, W)` -> contiguous `(N, 3, H, W)`, grey repeated."""
    return images.expand(-1, CHANNELS, -1, -1).contiguous()
