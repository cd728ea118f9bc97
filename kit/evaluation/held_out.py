"""Whether a supernet has converged: its largest, its smallest and some sampled sub-networks on images that no step sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from timm.models.resnet import ResNet
from torch.nn import functional as F

from kit.evaluation.accuracy import EvaluationImages, calibrated_subnet
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import precision


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a sub-network gets right of some validation images, and its mean cross-entropy on them."""

    accuracy: float
    loss: float


def held_out(
    supernet: ElasticResNet | FewShotSupernet, architecture: Architecture, images: EvaluationImages, limit: int
) -> HeldOut:
    """Calibrate a copy of one sub-network and try it on the first batches, until `limit` images were seen.

    The supernet stays as it is.
    """
    return _measure(calibrated_subnet(supernet, architecture, images).eval(), images, limit)


@torch.no_grad()
def _measure(network: ResNet, images: EvaluationImages, limit: int) -> HeldOut:
    device = network.fc.weight.device
    correct, loss = torch.zeros((), dtype=torch.int64, device=device), torch.zeros((), dtype=torch.float64, device=device)
    total = 0
    with precision(device, images.autocast):
        for inputs, labels in _batches(images, limit):
            labels = labels.to(device, non_blocking=True)
            logits = network(inputs).float()
            correct += (logits.argmax(dim=1) == labels).sum()
            loss += F.cross_entropy(logits, labels, reduction="sum")
            total += len(labels)
    return HeldOut(int(correct) / total, float(loss) / total)


def _batches(images: EvaluationImages, limit: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    left = limit
    for batch in images.validation:
        yield images.prepare(batch.images[:left]), batch.labels[:left]
        left -= len(batch.labels)
        if left <= 0:
            return
