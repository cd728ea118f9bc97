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
    """SGD with a set of momentum buffers per group of sub-networks: a step reads and writes those of one group.

    At first no parameter has a gradient: each is left alone until its first use (C).
    """

    def __init__(self, network: nn.Module, settings: OptimizerSettings) -> None:
        network.zero_grad(set_to_none=True)
        super().__init__(network.parameters(), lr=0.0, momentum=settings.momentum, weight_decay=settings.weight_decay)
        self.states: dict[str, defaultdict[Tensor, Any]] = {"": self.state}

    def prepare(self, rate: float, group: str = "") -> None:
        """Begin a step at `rate` that works on the buffers of `group`.

        Gradients become zero, not None: a parameter once used goes on decaying and moving when it is unused (C).
        """
        self.use(group)
        self.param_groups[0]["lr"] = rate
        self.zero_grad(set_to_none=False)

    def use(self, group: str) -> None:
        """Make the buffers of `group` the state."""
        self.state = self.states.setdefault(group, defaultdict(dict))
