"""Leading slices of weights, and gradients that are added where they belong instead of being padded to full size."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

SMALL = 2**16
"""Weights with fewer numbers are left to autograd: of these the book-keeping costs more than the memory."""
_from_size: ContextVar[int | None] = ContextVar("gradients_into_slices", default=None)
"""How many numbers a weight must have for its slices to work so; None outside of every block."""


@contextmanager
def gradients_into_slices(at_least: int = SMALL) -> Iterator[None]:
    """Make slices taken in this block add their gradient straight to the weight's `.grad` when `backward()` runs.

    Autograd pads the gradient of a slice with zeros to the weight's full size and adds all of it, which moves more memory
    than the slice itself. The sums are the same, bit for bit. In such a block only `backward()` gives gradients of sliced
    weights: `torch.autograd.grad` and hooks on these weights see none.
    """
    token = _from_size.set(at_least)
    try:
        yield
    finally:
        _from_size.reset(token)


def leading_slice(weight: Tensor, out_channels: int, in_channels: int) -> Tensor:
    """`weight[:out_channels, :in_channels]`, the whole weight if that is what it is."""
    if weight.shape[:2] == (out_channels, in_channels):
        return weight
    smallest = _from_size.get()
    is_trained = torch.is_grad_enabled() and weight.requires_grad and weight.is_leaf
    if smallest is not None and weight.numel() >= smallest and is_trained:
        sliced: Tensor = _LeadingSlice.apply(weight, out_channels, in_channels)
        return sliced
    for dimension, size in enumerate((out_channels, in_channels)):
        weight = leading_entries(weight, size, dimension)
    return weight


def leading_entries(tensor: Tensor, size: int, dimension: int = 0) -> Tensor:
    """The first `size` entries along a dimension, as a view; the tensor itself if these are all."""
    return tensor if tensor.shape[dimension] == size else tensor.narrow(dimension, 0, size)


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
