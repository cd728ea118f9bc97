"""Exact calibration and scoring of many sub-networks at once: whatever begins alike is computed once.

Train-mode BN uses batch statistics, so a block's activations and calibrated statistics depend on the stem and the blocks up
to it alone. The tree of architectures is walked depth first, one batch of images at a time: memory is one activation per
level, the statistics live in the nodes. Siblings of different inner width share conv1 (leading slices of one convolution).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit.evaluation.accuracy import EvaluationImages, Score
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import elastic_conv, precision
from kit.supernet.prefix import PathTree, Piece, families, grow

Unit = list[Architecture]
TakeLogits = Callable[[Sequence[int], Tensor], None]


def evaluate_prefix_tree(
    supernet: ElasticResNet | FewShotSupernet, architectures: Iterable[Architecture], images: EvaluationImages
) -> Iterator[list[Score]]:
    """Scores of all architectures, one unit at a time: the same as `evaluate_architectures` gives, in another order.

    Peak memory depends on the largest unit, not on the number of architectures.
    """
    for member, unit in units(supernet, architectures):
        device = next(member.parameters()).device
        correct = torch.zeros(len(unit), dtype=torch.int64, device=device)
        total = 0
        tree = CalibratedTree(member, unit, images)
        for batch in images.validation:
            tree.classify(batch.images, partial(_count, correct, batch.labels.to(device, non_blocking=True)))
            total += len(batch.labels)
        yield [Score(architecture, hits, total) for architecture, hits in zip(unit, correct.tolist(), strict=True)]


def _count(correct: Tensor, labels: Tensor, ends: Sequence[int], logits: Tensor) -> None:
    # Stays on the device: no synchronisation while the tree is walked.
    correct[ends] += (logits.argmax(dim=1) == labels).sum()


def units(
    supernet: ElasticResNet | FewShotSupernet, architectures: Iterable[Architecture]
) -> Iterator[tuple[ElasticResNet, Unit]]:
    """Subtrees to compute at once: those of one member that share stem and stage 1, by first use."""
    groups: dict[tuple[int, object], Unit] = {}
    for architecture in architectures:
        cell = supernet.cell_of(architecture) if isinstance(supernet, FewShotSupernet) else 0
        groups.setdefault((cell, architecture.stages[0]), []).append(architecture)
    for unit in groups.values():
        yield supernet.member_of(unit[0]) if isinstance(supernet, FewShotSupernet) else supernet, unit


@dataclass(slots=True)
class Statistics:
    """Running statistics of one BN layer of one node."""

    mean: Tensor
    variance: Tensor


@dataclass(slots=True)
class Node:
    """A tree node with the calibrated statistics of its BN layers, in the order of their use."""

    children: dict[Piece, "Node"] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)


class CalibratedTree:
    """A unit of one supernet, calibrated on the calibration batches of `images` when it is made."""

    def __init__(self, network: ElasticResNet, unit: Unit, images: EvaluationImages) -> None:
        self.network: Any = network  # timm's layers have no precise types
        self.images = images
        self.root = _node(grow(enumerate(unit)))
        self._momentum: float | None = None
        for number, batch in enumerate(images.calibration, 1):
            # An average over batches is a momentum of 1 / n at the n-th, in nn.BatchNorm2d too.
            self._momentum = 1 / number if images.statistics == "average" else images.statistics
            self._walk(batch, None)
        self._momentum = None

    def classify(self, images: Tensor, take: TakeLogits) -> None:
        """Send decoded images through every node; `take(positions in the unit, logits)` is called per distinct shape."""
        self._walk(images, take)

    def _walk(self, images: Tensor, take: TakeLogits | None) -> None:
        with torch.no_grad(), precision(self.network.fc.weight.device, self.images.autocast):
            self._descend(self.root, self.images.prepare(images), take)

    def _descend(self, node: Node, x: Tensor, take: TakeLogits | None) -> None:
        if node.ends and take is not None:
            take(node.ends, self.network.forward_head(x))
        for family in families(node.children):
            shared = self._shared(family, x)
            for piece in family:
                child = node.children[piece]
                self._descend(child, self._finish(piece, child, x, shared), take)

    def _shared(self, family: Sequence[Piece], x: Tensor) -> list[Tensor]:
        """The convolutions that siblings have in common, at the largest width of any of them."""
        first = family[0]
        widest_mid = max(piece.mid_channels for piece in family)
        widest_out = max(piece.out_channels for piece in family)
        if first.stage < 0:
            return [elastic_conv(self.network.conv1, x, widest_out)]
        block = self.network.stages[first.stage][first.block]
        convolved = [elastic_conv(block.conv1, x, widest_mid)]
        if block.downsample is not None:
            convolved.append(elastic_conv(block.downsample[0], x, widest_out))
        return convolved

    def _finish(self, piece: Piece, node: Node, x: Tensor, shared: list[Tensor]) -> Tensor:
        """The rest of the stem or a block, from its shared convolutions."""
        network = self.network
        layers = _Layers(node, self._momentum)
        if piece.stage < 0:
            stem: Tensor = network.maxpool(F.relu(layers.normalise(network.bn1, shared[0][:, : piece.out_channels])))
            return stem
        block = network.stages[piece.stage][piece.block]
        hidden = F.relu(layers.normalise(block.bn1, shared[0][:, : piece.mid_channels]), inplace=True)
        result = layers.normalise(block.bn2, elastic_conv(block.conv2, hidden, piece.out_channels))
        shortcut = x
        if block.downsample is not None:
            shortcut = layers.normalise(block.downsample[1], shared[1][:, : piece.out_channels])
        result += shortcut
        return F.relu(result, inplace=True)


class _Layers:
    """The BN layers of one node, asked for in order."""

    def __init__(self, node: Node, momentum: float | None) -> None:
        self._node = node
        self._momentum = momentum
        self._next = 0

    def normalise(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """BN with this node's own statistics, which take the batch in while calibrating."""
        channels = x.shape[1]
        if self._next == len(self._node.statistics):
            blank = torch.zeros(channels, device=x.device, dtype=bn.weight.dtype)
            self._node.statistics.append(Statistics(blank, torch.ones_like(blank)))
        own = self._node.statistics[self._next]
        self._next += 1
        return F.batch_norm(
            x,
            own.mean,
            own.variance,
            bn.weight[:channels],
            bn.bias[:channels],
            self._momentum is not None,
            self._momentum or 0.0,
            bn.eps,
        )


def _node(tree: PathTree) -> Node:
    return Node({piece: _node(child) for piece, child in tree.children.items()}, tree.ends)
