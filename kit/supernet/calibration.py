"""BN calibration: re-estimate the running statistics of one network (P 3.1)."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn


def bn_statistics(network: nn.Module) -> list[Tensor]:
    """The running mean and variance of every BN layer, in the order of the layers: the buffers themselves, `(C,)` each."""
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return [buffer for layer in layers for buffer in (layer.running_mean, layer.running_var) if buffer is not None]


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor], *, statistics: Literal["average"] | float = "average") -> None:
    """Reset every BN layer's statistics and estimate them on `batches` of images; leaves the network in eval mode.

    `average` takes the mean of the batches' means and (unbiased) variances, so the order of the batches does not matter; a
    number is a momentum in PyTorch's sense, starting from the reset values (the released code uses 0.1).
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
    network.train()
    for number, images in enumerate(batches, 1):
        for layer in layers:
            # What a momentum of None comes to, but torch would ask the device for the number of batches, layer by layer.
            layer.momentum = 1 / number if statistics == "average" else statistics
        network(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()
