"""Exact calibration and scoring of many sub-networks at once: whatever begins alike is computed once.

Train-mode BN uses batch statistics, so a block's activations and calibrated statistics depend on the stem and the blocks up
to it alone. The tree of architectures is walked depth first, one batch of images at a time: memory is one activation per
branching level, and the statistics of every node. Siblings share even more: convolution and BN act on each output channel by
itself, so the narrower of two blocks with the same input is the leading channels of the wider one, as long as their inner
widths agree; and their first convolutions are leading channels of the widest one in any case.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit.data import Batch
from kit.evaluation.accuracy import EvaluationImages
from kit.evaluation.cuda_graph import CapturedCount
from kit.evaluation.memory import in_halves
from kit.evaluation.units import Unit, plan_units
from kit.results import Score
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import elastic_conv, precision
from kit.supernet.prefix import PathTree, Piece, by_mid, families, grow
from kit.supernet.slicing import leading_slice

TakeLogits = Callable[[Sequence[int], Tensor], None]
Tick = Callable[[], None]
"""Called again and again while the work goes on; what it raises ends it."""


def evaluate_prefix_tree(
    supernet: ElasticResNet | FewShotSupernet, architectures: Sequence[Architecture], images: EvaluationImages
) -> Iterator[list[Score]]:
    """Scores of all architectures, one unit at a time: the same as `evaluate_architectures` gives, in another order.

    Peak memory depends on the largest unit, not on the number of architectures.
    """
    for unit in plan_units(supernet, architectures):
        yield score_unit(supernet, unit, images)


def score_unit(
    supernet: ElasticResNet | FewShotSupernet,
    unit: Unit,
    images: EvaluationImages,
    *,
    tick: Tick = lambda: None,
    note: Callable[[str], None] = lambda message: None,
) -> list[Score]:
    """Calibrate and score the architectures of a unit together, in order.

    When memory runs out, fewer of them are calibrated at once and fewer images are classified at once: the scores stay the
    same, and `note` is told.
    """
    network = unit.network(supernet)

    def score(part: Sequence[Architecture]) -> list[Score]:
        return _score(CalibratedTree(network, part, images, tick=tick), part, images, note)

    return in_halves(score, unit.architectures, what="sub-networks calibrated", note=note)


def _score(
    tree: "CalibratedTree",
    architectures: Sequence[Architecture],
    images: EvaluationImages,
    note: Callable[[str], None],
) -> list[Score]:
    device = next(tree.network.parameters()).device
    count = _Counter(tree, len(architectures), images.cuda_graphs and device.type == "cuda")
    correct = torch.zeros(len(architectures), dtype=torch.int64, device=device)
    total = 0
    for batch in images.validation:
        on_device = batch._replace(labels=batch.labels.to(device, non_blocking=True))
        for hits in in_halves(partial(count, on_device), range(len(batch.labels)), what="images classified", note=note):
            correct += hits
        total += len(batch.labels)
    return [Score(architecture, hits, total) for architecture, hits in zip(architectures, correct.tolist(), strict=True)]


class _Counter:
    """Correct predictions per architecture on some rows of a batch; a walk that runs out of memory leaves nothing behind."""

    def __init__(self, tree: "CalibratedTree", architectures: int, capture: bool) -> None:
        self.tree = tree
        self.architectures = architectures
        self.capture = capture
        self._captured: CapturedCount | None = None

    def __call__(self, batch: Batch, rows: range) -> list[Tensor]:
        part = Batch(batch.images[rows.start : rows.stop], batch.labels[rows.start : rows.stop])
        if not self.capture:
            return [self._count(part)]
        self._captured = self._captured or CapturedCount(self._count, part, part.labels.device)
        return [self._captured(part) if self._captured.fits(part) else self._count(part)]

    def _count(self, batch: Batch) -> Tensor:
        hits = torch.zeros(self.architectures, dtype=torch.int64, device=batch.labels.device)
        self.tree.classify(batch.images, _Count(hits, batch.labels))
        return hits


@dataclass(frozen=True, slots=True)
class _Count:
    """Counts correct predictions on the device: nothing waits for it while the tree is walked."""

    hits: Tensor
    labels: Tensor

    def __call__(self, ends: Sequence[int], logits: Tensor) -> None:
        found = (logits.argmax(dim=1) == self.labels).sum()
        for end in ends:
            self.hits[end] += found


@torch.no_grad()
def changed_by_folding(supernet: ElasticResNet | FewShotSupernet, unit: Unit, images: EvaluationImages) -> tuple[int, int]:
    """How many predictions of a unit on the first validation batch change when BN is folded, and how many there are."""
    batch = next(iter(images.validation))
    found: list[dict[int, Tensor]] = []
    for fold in (False, True):
        tree = CalibratedTree(unit.network(supernet), unit.architectures, replace(images, fold=fold))
        found.append({})
        tree.classify(batch.images, lambda ends, logits: found[-1].update(dict.fromkeys(ends, logits.argmax(dim=1))))
    changed = sum(int((found[0][position] != found[1][position]).sum()) for position in range(len(unit)))
    return changed, len(unit) * len(batch.labels)


@dataclass(slots=True)
class Statistics:
    """Running statistics of one BN layer at one place of the tree."""

    mean: Tensor
    variance: Tensor


class CalibratedTree:
    """Architectures of one supernet, calibrated on the calibration batches of `images` when the tree is made."""

    def __init__(
        self,
        network: ElasticResNet,
        architectures: Iterable[Architecture],
        images: EvaluationImages,
        *,
        tick: Tick = lambda: None,
    ) -> None:
        self.network: Any = network  # timm's layers have no precise types
        self.images = images
        self.tick = tick
        self.root = grow(enumerate(architectures))
        self._statistics: dict[tuple[object, ...], Statistics] = {}
        self._momentum: float | None = None
        for number, batch in enumerate(images.calibration, 1):
            # An average over batches is a momentum of 1 / n at the n-th, in nn.BatchNorm2d too.
            self._momentum = 1 / number if images.statistics == "average" else images.statistics
            self._walk(batch, None)
        self._momentum = None

    def classify(self, images: Tensor, take: TakeLogits) -> None:
        """Send decoded images through every node; `take(positions of architectures, logits)` is called once per shape."""
        self._walk(images, take)

    def _walk(self, images: Tensor, take: TakeLogits | None) -> None:
        with torch.no_grad(), precision(self.network.fc.weight.device, self.images.autocast):
            # A stack of generators, not recursion: no frame holds an activation that nothing needs any more.
            stack = [self._expand(self.root, self.images.prepare(images), take)]
            while stack:
                step = next(stack[-1], None)
                if step is None:
                    stack.pop()
                else:
                    stack.append(self._expand(*step, take))
                    self.tick()
                del step

    def _expand(self, node: PathTree, x: Tensor, take: TakeLogits | None) -> Iterator[tuple[PathTree, Tensor]]:
        """Children of a node with their activations, one after another."""
        if node.ends and take is not None:
            take(node.ends, self.network.forward_head(x))
        waiting = families(node.children)
        held = [x]
        del x  # from here on nothing holds an activation longer than it is needed
        while waiting:
            family = waiting.pop(0)
            compute = self._stem if family[0].stage < 0 else self._block
            for piece, output in compute(family, node, held[0] if waiting else held.pop()):
                held_output = [output]
                del output
                yield node.children[piece], held_output.pop()

    def _stem(self, family: list[Piece], node: PathTree, x: Tensor) -> Iterator[tuple[Piece, Tensor]]:
        network = self.network
        widest = max(piece.out_channels for piece in family)
        x = F.relu(self._conv_bn(network.conv1, network.bn1, x, widest, node, ("stem",)), inplace=True)
        return _narrowed([network.maxpool(x)], family)

    def _block(self, family: list[Piece], node: PathTree, x: Tensor) -> Iterator[tuple[Piece, Tensor]]:
        """A block at all widths of its family: each part is computed once, at the largest width that is asked for."""
        place = family[0].stage, family[0].block
        block = self.network.stages[place[0]][place[1]]
        widest = max(piece.mid_channels for piece in family)
        hidden = F.relu(self._conv_bn(block.conv1, block.bn1, x, widest, node, (*place, "bn1")), inplace=True)
        if block.downsample is not None:
            conv, bn = block.downsample
            widest = max(piece.out_channels for piece in family)
            x = self._conv_bn(conv, bn, x, widest, node, (*place, "downsample"))
        waiting = list(by_mid(family).items())
        while waiting:
            mid, alike = waiting.pop(0)
            widest = max(piece.out_channels for piece in alike)
            result = self._conv_bn(block.conv2, block.bn2, hidden[:, :mid], widest, node, (*place, mid))
            result += x[:, :widest]
            held = [F.relu(result, inplace=True)]
            del result
            if not waiting:
                del hidden, x
            yield from _narrowed(held, alike)

    def _conv_bn(
        self, conv: nn.Conv2d, bn: nn.BatchNorm2d, x: Tensor, channels: int, node: PathTree, key: tuple[object, ...]
    ) -> Tensor:
        """Convolution and BN with the statistics under `key`, which take the batch in while calibrating."""
        if (node, *key) not in self._statistics:
            blank = torch.zeros(channels, device=x.device, dtype=bn.weight.dtype)
            self._statistics[node, *key] = Statistics(blank, torch.ones_like(blank))
        own = self._statistics[node, *key]
        scale, shift = bn.weight[:channels], bn.bias[:channels]
        if self.images.fold and self._momentum is None:
            factor = scale * torch.rsqrt(own.variance + bn.eps)
            weight = leading_slice(conv.weight, channels, x.shape[1]) * factor[:, None, None, None]
            return F.conv2d(x, weight, shift - own.mean * factor, conv.stride, conv.padding)
        x = elastic_conv(conv, x, channels)
        calibrating = self._momentum is not None
        return F.batch_norm(x, own.mean, own.variance, scale, shift, calibrating, self._momentum or 0.0, bn.eps)


def _narrowed(held: list[Tensor], family: Sequence[Piece]) -> Iterator[tuple[Piece, Tensor]]:
    """The output of a family, `held` by nobody else, cut to each member's channels; given away with the last one."""
    for position, piece in enumerate(family, 1):
        whole = held[0] if position < len(family) else held.pop()
        cut = [_leading_channels(whole, piece.out_channels)]
        del whole
        yield piece, cut.pop()


def _leading_channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return x[:, :channels].contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
