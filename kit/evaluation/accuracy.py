"""Calibrate and score sub-networks one by one: the readable reference for every faster way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from kit.data import Batch
from kit.evaluation.kept_statistics import KeptStatistics
from kit.results import Score
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.calibration import bn_statistics, calibrate
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
    keep_answers: bool = False
    """Scores say which images were classified correctly."""
    kept: KeptStatistics | None = None
    """Where calibrated statistics are kept: who is found there is not calibrated again."""


def evaluate_architectures(
    supernet: ElasticResNet | FewShotSupernet, architectures: Iterable[Architecture], images: EvaluationImages
) -> Iterator[Score]:
    """Extract, calibrate and score each architecture in turn. Neither the supernet nor the order changes a result."""
    for architecture in architectures:
        answers = _answers(calibrated_subnet(supernet, architecture, images), images)
        yield from scores_of([architecture], [each[None] for each in answers], images)


def calibrated_subnet(
    supernet: ElasticResNet | FewShotSupernet, architecture: Architecture, images: EvaluationImages
) -> ResNet:
    """The extracted sub-network with its BN statistics calibrated, in eval mode."""
    network = extract_subnet(supernet, architecture)
    buffers = bn_statistics(network)
    if images.kept is not None and (known := images.kept.load([architecture])) is not None:
        for buffer, values in zip(buffers, known[0].split([len(each) for each in buffers]), strict=True):
            buffer.copy_(values)
        return network.eval()
    with precision(network.fc.weight.device, images.autocast), laid_out_by_shape(network, images.by_shape):
        calibrate(network, map(images.prepare, images.calibration), statistics=images.statistics)
    if images.kept is not None:
        images.kept.save([architecture], [torch.cat(buffers)])
    return network


def count_correct(network: nn.Module, images: EvaluationImages) -> tuple[int, int]:
    """Correct predictions and images on the validation set, in eval mode."""
    answers = _answers(network, images)
    return sum(int(right.sum()) for right in answers), sum(map(len, answers))


def scores_of(architectures: Sequence[Architecture], answers: Sequence[Tensor], images: EvaluationImages) -> list[Score]:
    """Scores from which images were classified correctly: bool `(architectures, N)` for each batch."""
    rows = torch.stack([right.sum(dim=1) for right in answers], dim=1).tolist() if answers else [[] for _ in architectures]
    total = sum(right.shape[1] for right in answers)
    packed = [b""] * len(rows)
    if images.keep_answers and answers:
        packed = [row.tobytes() for row in np.packbits(torch.cat(list(answers), dim=1).cpu().numpy(), axis=1)]
    return [
        Score(each, sum(row), total, parts=tuple(row), answers=bits)
        for each, row, bits in zip(architectures, rows, packed, strict=True)
    ]


@torch.no_grad()
def _answers(network: nn.Module, images: EvaluationImages) -> list[Tensor]:
    """Which images of each batch a network classifies correctly, bool `(N,)`."""
    network.eval()
    device = next(network.parameters()).device
    with precision(device, images.autocast), laid_out_by_shape(network, images.by_shape):
        return [
            network(images.prepare(batch.images)).argmax(dim=1) == batch.labels.to(device, non_blocking=True)
            for batch in images.validation
        ]
