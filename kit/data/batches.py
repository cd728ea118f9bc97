"""What leaves the data layer: uint8 batches, and the one place where pixels become floats."""

from functools import lru_cache
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
    scale, shift = _scale_and_shift(data.mean, data.std, moved.device, exact)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return moved.to(exact, memory_format=layout).mul_(scale).add_(shift).to(dtype)


@lru_cache(maxsize=16)
def _scale_and_shift(mean: Statistics, std: Statistics, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # Kept on the device: copying them there for every batch would make the host wait.
    means, deviations = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
    return (1 / (255 * deviations)).to(device, dtype), (-means / deviations).to(device, dtype)


def to_rgb(images: Tensor) -> Tensor:
    """Uint8 `(N, 1 or 3, H, W)` -> contiguous `(N, 3, H, W)`, grey repeated."""
    return images.expand(-1, CHANNELS, -1, -1).contiguous()
