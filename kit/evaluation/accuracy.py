"""Calibrate and score sub-networks one by one: the readable reference for every faster way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from kit.data import Batch
from kit.results import Score
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.calibration import calibrate
from kit.supernet.elastic import precision
from kit.supernet.layout import laid_out_by_shape


@dataclass(frozen=True, kw_only=True)
class EvaluationImages:
    """What every sub-network sees: the same calibration batches and the same validation batches, decoded once."""

    calibration: Sequence[Tensor]
    """uint8 `(N, 3, H, W)` each, with training augmentation."""
    validation: Iterable[Batch]
    prepare: Callable[[Tensor], Tensor]
    """Decoded images to network input on the device."""
    statistics: Literal["average"] | float = "average"
    autocast: torch.dtype | None = None
    """Lower precision of the forward passes; BN statistics stay float32."""
    cuda_graphs: bool = False
    """Record the walk over a unit's tree once and replay it for every batch. Prefix tree on a GPU only."""
    by_shape: bool = False
    """Lay images out for every convolution as `kit.supernet.layout` says."""
    fold: bool = False
    """Multiply calibrated BN into the convolutions before classifying: faster, and rounds differently. Prefix tree only."""


def evaluate_architectures(
    supernet: ElasticResNet | FewShotSupernet, architectures: Iterable[Architecture], images: EvaluationImages
) -> Iterator[Score]:
    """Extract, calibrate and score each architecture in turn. Neither the supernet nor the order changes a result."""
    for architecture in architectures:
        parts, total = count_parts(calibrated_subnet(supernet, architecture, images), images)
        yield Score(architecture, sum(parts), total, parts=parts)


def calibrated_subnet(
    supernet: ElasticResNet | FewShotSupernet, architecture: Architecture, images: EvaluationImages
) -> ResNet:
    """The extracted sub-network with its BN statistics calibrated, in eval mode."""
    network = extract_subnet(supernet, architecture)
    with precision(network.fc.weight.device, images.autocast), laid_out_by_shape(network, images.by_shape):
        calibrate(network, map(images.prepare, images.calibration), statistics=images.statistics)
    return network


def count_correct(network: nn.Module, images: EvaluationImages) -> tuple[int, int]:
    """Correct predictions and images on the validation set, in eval mode."""
    parts, total = count_parts(network, images)
    return sum(parts), total


@torch.no_grad()
def count_parts(network: nn.Module, images: EvaluationImages) -> tuple[tuple[int, ...], int]:
    """Correct predictions of each batch, and all images."""
    network.eval()
    device = next(network.parameters()).device
    parts = []
    total = 0
    with precision(device, images.autocast), laid_out_by_shape(network, images.by_shape):
        for batch in images.validation:
            predicted = network(images.prepare(batch.images)).argmax(dim=1)
            parts.append((predicted == batch.labels.to(device, non_blocking=True)).sum())
            total += len(batch.labels)
    return tuple(torch.stack(parts).tolist()) if parts else (), total
