"""In which order a convolution's images lie in memory: a fixed rule of shapes, so that results do not depend on timing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

FEW_PIXELS = 16
LANES = 16
"""float32 numbers in the widest registers of CPUs."""


def layout_by_shape(conv: nn.Conv2d, x: Tensor, out_channels: int) -> torch.memory_format:
    """The layout for one convolution of `x`, `(N, C, H, W)`: channels last but for whole registers of very small images.

    Measured in float32 and bfloat16 on CPUs (docs/performance.md): batch normalisation and almost every convolution of this
    network are faster with channels last; a convolution to at most 4 x 4 pixels is not, unless its width leaves registers
    half empty.
    """
    height, width = x.shape[2:]
    pixels = -(-height // conv.stride[0]) * -(-width // conv.stride[1])  # this network pads by half a kernel
    whole_registers = pixels <= FEW_PIXELS and out_channels % LANES == 0
    return torch.contiguous_format if whole_registers else torch.channels_last


def layout_of(x: Tensor) -> torch.memory_format:
    """The layout that `x` has; contiguous where it could be either."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


@contextmanager
def laid_out_by_shape(network: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Within the block every convolution of `network` gets its images as `layout_by_shape` says, if that is `wanted`."""

    def lay_out(conv: Any, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        return x.contiguous(memory_format=layout_by_shape(conv, x, conv.out_channels))

    with ExitStack() as stack:
        for module in network.modules() if wanted else ():
            if isinstance(module, nn.Conv2d):
                stack.callback(module.register_forward_pre_hook(lay_out).remove)
        yield
