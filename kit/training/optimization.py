"""The optimizer of the released code: SGD, cosine per epoch, weight decay on everything, stale gradients kept at zero."""

import math

import torch
from torch import nn

from kit.recipe import OptimizerSettings

REFERENCE_BATCH = 256


def scaled_learning_rate(printed: float, batch_size: int, factor: float = 1.0) -> float:
    """The rate of epoch 0 from the printed one, which is for 256 images a step (linear scaling with the global batch)."""
    return printed * batch_size / REFERENCE_BATCH * factor


def learning_rate_at(base: float, epoch: int, epochs: int) -> float:
    """The rate of `epoch` (from 0) of `epochs`: .5 base (1 + cos(pi epoch / epochs)), constant within an epoch (C)."""
    return 0.5 * base * (1 + math.cos(math.pi * epoch / epochs))


def make_optimizer(network: nn.Module, settings: OptimizerSettings, base: float) -> torch.optim.SGD:
    """A fresh optimizer, and no parameter has a gradient: each is left alone until its first use, as in C."""
    network.zero_grad(set_to_none=True)
    return torch.optim.SGD(
        network.parameters(), lr=base, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=False
    )


def clear_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Set gradients to zero, not to None: a parameter once used goes on decaying and moving when it is unused (C)."""
    optimizer.zero_grad(set_to_none=False)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for every parameter from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
