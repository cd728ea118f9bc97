"""The optimizer of the released code: SGD, cosine per epoch, weight decay on everything, stale gradients kept at zero."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from kit.recipe import OptimizerSettings

REFERENCE_BATCH = 256


def scaled_learning_rate(printed: float, batch_size: int, factor: float = 1.0) -> float:
    """The rate of epoch 0 from the printed one, which is for 256 images a step (linear scaling with the global batch)."""
    return printed * batch_size / REFERENCE_BATCH * factor


class GroupedSGD(torch.optim.SGD):
    """SGD with a set of momentum buffers per group of sub-networks: a step reads and writes those in use, and no others."""

    def __init__(self, network: nn.Module, settings: OptimizerSettings, base: float) -> None:
        parameters = network.parameters()
        super().__init__(parameters, lr=base, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=False)
        self.states: dict[str, defaultdict[Tensor, Any]] = {"": self.state}

    def use(self, group: str) -> None:
        """Work on the buffers of `group` (by default, the one without a name) from now on."""
        self.state = self.states.setdefault(group, defaultdict(dict))


def make_optimizer(network: nn.Module, settings: OptimizerSettings, base: float) -> GroupedSGD:
    """A fresh optimizer, and no parameter has a gradient: each is left alone until its first use, as in C."""
    network.zero_grad(set_to_none=True)
    return GroupedSGD(network, settings, base)


def clear_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Set gradients to zero, not to None: a parameter once used goes on decaying and moving when it is unused (C)."""
    optimizer.zero_grad(set_to_none=False)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for every parameter from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
