"""Leading slices of weights, and gradients that are added where they belong instead of being padded to full size."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_into_slices: ContextVar[bool] = ContextVar("gradients_into_slices", default=False)


@contextmanager
def gradients_into_slices() -> Iterator[None]:
    """Make slices taken in this block add their gradient straight to the weight's `.grad` when `backward()` runs.

    Autograd pads the gradient of a slice with zeros to the weight's full size and adds all of it, which moves more memory
    than the slice itself. The sums are the same, bit for bit. In such a block only `backward()` gives gradients of sliced
    weights: `torch.autograd.grad` and hooks on these weights see none.
    """
    token = _into_slices.set(True)
    try:
        yield
    finally:
        _into_slices.reset(token)


def leading_slice(weight: Tensor, out_channels: int, in_channels: int) -> Tensor:
    """`weight[:out_channels, :in_channels]`, the whole weight if that is what it is."""
    if weight.shape[:2] == (out_channels, in_channels):
        return weight
    if _into_slices.get() and torch.is_grad_enabled() and weight.requires_grad and weight.is_leaf:
        sliced: Tensor = _LeadingSlice.apply(weight, out_channels, in_channels)
        return sliced
    return weight[:out_channels, :in_channels]


class _LeadingSlice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, out_channels: int, in_channels: int) -> Tensor:
        ctx.weight = weight
        return weight.detach()[:out_channels, :in_channels]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        weight = ctx.weight
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad[: gradient.shape[0], : gradient.shape[1]] += gradient
        return None, None, None
