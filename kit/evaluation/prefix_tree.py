"""Exact calibration and scoring of many sub-networks at once: whatever begins alike is computed once.

Train-mode BN uses batch statistics, so a block's activations and calibrated statistics depend on the stem and the blocks up
to it alone. The tree of architectures is compiled into a list of operations, depth first, each with the results it frees; a
batch of images is one run through the list. Memory is one activation per branching level, and the statistics. Siblings share
even more: convolution and BN act on each output channel by itself, so the narrower of two blocks with the same input is the
leading channels of the wider one, as long as their inner widths agree; and their first convolutions are leading channels of
the widest one in any case.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit.data import Batch
from kit.evaluation.accuracy import EvaluationImages, scores_of
from kit.evaluation.cuda_graph import CapturedWalk
from kit.evaluation.memory import Portions
from kit.evaluation.units import Unit, plan_units
from kit.results import Score
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import precision
from kit.supernet.layout import layout_by_shape, layout_of
from kit.supernet.prefix import PathTree, Piece, by_mid, families, grow
from kit.supernet.slicing import leading_slice

TakeLogits = Callable[[Sequence[int], Tensor], None]
Compute = Callable[..., Tensor]
KEPT_BYTES = 1 << 28
"""Of sliced weights that a tree keeps from one batch to the next."""
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
    subnets, classified = Portions("sub-networks calibrated", note), Portions("images classified", note)

    def score(part: Sequence[Architecture]) -> list[Score]:
        return _score(CalibratedTree(network, part, images, tick=tick), part, images, classified)

    return subnets(score, unit.architectures)


def _score(
    tree: "CalibratedTree",
    architectures: Sequence[Architecture],
    images: EvaluationImages,
    classified: Portions,
) -> list[Score]:
    device = next(tree.network.parameters()).device
    grade = _Grader(tree, len(architectures), images.cuda_graphs and device.type == "cuda")
    answers: list[Tensor] = []
    for batch in images.validation:
        on_device = batch._replace(labels=batch.labels.to(device, non_blocking=True))
        answers.append(torch.cat(classified(partial(grade, on_device), range(len(batch.labels))), dim=1))
    return scores_of(architectures, answers, images)


class _Grader:
    """Which of some rows of a batch each architecture has right; a walk that runs out of memory leaves nothing behind."""

    def __init__(self, tree: "CalibratedTree", architectures: int, capture: bool) -> None:
        self.tree = tree
        self.architectures = architectures
        self.capture = capture
        self._captured: CapturedWalk | None = None

    def __call__(self, batch: Batch, rows: range) -> list[Tensor]:
        part = Batch(batch.images[rows.start : rows.stop], batch.labels[rows.start : rows.stop])
        if not self.capture:
            return [self._grade(part)]
        self._captured = self._captured or CapturedWalk(self._grade, part, part.labels.device)
        return [self._captured(part) if self._captured.fits(part) else self._grade(part)]

    def _grade(self, batch: Batch) -> Tensor:
        right = torch.zeros(self.architectures, len(batch.labels), dtype=torch.bool, device=batch.labels.device)
        self.tree.classify(batch.images, _Grade(right, batch.labels))
        return right


@dataclass(frozen=True, slots=True)
class _Grade:
    """Notes correct predictions on the device: nothing waits for it while the tree is walked."""

    right: Tensor
    labels: Tensor

    def __call__(self, ends: Sequence[int], logits: Tensor) -> None:
        found = logits.argmax(dim=1) == self.labels
        for end in ends:
            self.right[end] = found


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
class Operation:
    """One step of a walk. A result has the number of its operation, the images have -1."""

    compute: Compute | None
    """None: the architectures that end here are classified."""
    inputs: tuple[int, ...]
    ends: Sequence[int] = ()
    freed: tuple[int, ...] = ()
    """Inputs that nothing needs afterwards."""


class CalibratedTree:
    """Architectures of one supernet, calibrated on the calibration batches of `images` when the tree is made.

    Statistics that `images` keep are taken from there.
    """

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
        self._slices = Slices(images)
        self._operations: list[Operation] = []
        self._layers: dict[int, Layers] = {}
        architectures = list(architectures)
        self._compile(grow(enumerate(architectures)), -1, ())
        needed: set[int] = set()
        for operation in reversed(self._operations):
            operation.freed = tuple(set(operation.inputs) - needed)
            needed.update(operation.inputs)
        layers = [self._layers[position] for position in range(len(architectures))]
        if images.kept is not None and (known := images.kept.load(architectures)) is not None:
            for own, values in zip(layers, known, strict=True):
                buffers = _statistics(own)
                for buffer, part in zip(buffers, values.split([len(each) for each in buffers]), strict=True):
                    buffer.copy_(part)
            return
        for number, batch in enumerate(images.calibration, 1):
            # An average over batches is a momentum of 1 / n at the n-th, in nn.BatchNorm2d too.
            self.classify(batch, None, 1 / number if images.statistics == "average" else images.statistics)
        if images.kept is not None:
            images.kept.save(architectures, [torch.cat(_statistics(own)) for own in layers])

    def classify(self, images: Tensor, take: TakeLogits | None, momentum: float | None = None) -> None:
        """Send decoded images through every node; `take(positions of architectures, logits)` is called once per shape.

        With a `momentum` the statistics take the images in.
        """
        with torch.no_grad(), precision(self.network.fc.weight.device, self.images.autocast):
            results = {-1: self.images.prepare(images)}
            for number, operation in enumerate(self._operations):
                if operation.compute is not None:
                    results[number] = operation.compute(momentum, *[results[each] for each in operation.inputs])
                elif take is not None:
                    take(operation.ends, self.network.forward_head(results[operation.inputs[0]]))
                for each in operation.freed:
                    del results[each]
                self.tick()

    def _compile(self, node: PathTree, x: int, layers: "Layers") -> None:
        """Add what follows a node, one child after another, so that few results wait at a time."""
        if node.ends:
            self._add(None, x, ends=node.ends)
            self._layers |= dict.fromkeys(node.ends, layers)
        for family in families(node.children):
            compute = self._stem if family[0].stage < 0 else self._block
            for piece, output, own in compute(family, x):
                self._compile(node.children[piece], output, (*layers, *own))

    def _add(self, compute: Compute | None, *inputs: int, ends: Sequence[int] = ()) -> int:
        self._operations.append(Operation(compute, inputs, ends))
        return len(self._operations) - 1

    def _stem(self, family: list[Piece], x: int) -> "Iterator[tuple[Piece, int, Layers]]":
        network = self.network
        conv_bn = ConvBN(self._slices, max(piece.out_channels for piece in family), network.conv1, network.bn1)
        whole = self._add(lambda momentum, images: network.maxpool(F.relu(conv_bn(momentum, images), inplace=True)), x)
        for piece, output in self._narrowed(whole, conv_bn.channels, family):
            yield piece, output, ((conv_bn, piece.out_channels),)

    def _block(self, family: list[Piece], x: int) -> "Iterator[tuple[Piece, int, Layers]]":
        """A block at all widths of its family: each part is computed once, at the largest width that is asked for."""
        block = self.network.stages[family[0].stage][family[0].block]
        first = ConvBN(self._slices, max(piece.mid_channels for piece in family), block.conv1, block.bn1)
        hidden = self._add(lambda momentum, x: F.relu(first(momentum, x), inplace=True), x)
        outer = []
        if block.downsample is not None:
            outer.append(ConvBN(self._slices, max(piece.out_channels for piece in family), *block.downsample))
            x = self._add(outer[0], x)
        for mid, alike in by_mid(family).items():
            second = ConvBN(self._slices, max(piece.out_channels for piece in alike), block.conv2, block.bn2)
            whole = self._add(partial(_residual, second, mid), hidden, x)
            for piece, output in self._narrowed(whole, second.channels, alike):
                wide = [(each, piece.out_channels) for each in (second, *outer)]
                yield piece, output, ((first, mid), *wide)

    def _narrowed(self, whole: int, widest: int, family: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
        """The output of a family, cut to each member's channels."""
        for piece in family:
            cut = partial(_leading_channels, piece.out_channels)
            yield piece, whole if piece.out_channels == widest else self._add(cut, whole)


class Slices:
    """Leading slices of weights as the convolutions of a tree use them, kept for the batches to come while there is room."""

    def __init__(self, images: EvaluationImages) -> None:
        self.images = images
        self.room = KEPT_BYTES
        self._kept: dict[tuple[nn.Conv2d, torch.Size, torch.memory_format], Tensor] = {}

    def __call__(self, conv: nn.Conv2d, x: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        """The images as they should lie, and the weights that fit them, `(channels, C, kernel, kernel)`."""
        weight = leading_slice(conv.weight, channels, x.shape[1])
        if not self.images.by_shape:
            return x, weight
        layout = layout_by_shape(conv, x, channels)
        return x.contiguous(memory_format=layout), self._laid_out(conv, weight, layout)

    def _laid_out(self, conv: nn.Conv2d, weight: Tensor, layout: torch.memory_format) -> Tensor:
        key = conv, weight.shape, layout
        if key in self._kept:
            return self._kept[key]
        # What is folded is rounded once, after that.
        dtype = None if self.images.fold else self.images.autocast
        weight = weight.to(dtype or weight.dtype).contiguous(memory_format=layout)
        if weight.nbytes <= self.room:
            self.room -= weight.nbytes
            self._kept[key] = weight
        return weight


class ConvBN:
    """Convolution and BN at one place of a tree, with the statistics that are calibrated there."""

    def __init__(self, slices: Slices, channels: int, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> None:
        self.slices, self.channels, self.conv, self.bn = slices, channels, conv, bn
        self.mean = torch.zeros(channels, device=bn.weight.device, dtype=bn.weight.dtype)
        self.variance = torch.ones_like(self.mean)

    def __call__(self, momentum: float | None, x: Tensor) -> Tensor:
        conv, bn, channels = self.conv, self.bn, self.channels
        scale, shift = bn.weight[:channels], bn.bias[:channels]
        x, weight = self.slices(conv, x, channels)
        if self.slices.images.fold and momentum is None:
            factor = scale * torch.rsqrt(self.variance + bn.eps)
            weight = weight * factor[:, None, None, None]
            return F.conv2d(x, weight, shift - self.mean * factor, conv.stride, conv.padding)
        x = F.conv2d(x, weight, None, conv.stride, conv.padding)
        return F.batch_norm(x, self.mean, self.variance, scale, shift, momentum is not None, momentum or 0.0, bn.eps)


Layers = tuple[tuple[ConvBN, int], ...]
"""The layers that an architecture goes through, and how many of their leading channels are its own."""


def _statistics(layers: Layers) -> list[Tensor]:
    """Views of an architecture's own means and variances, layer by layer."""
    return [values[:channels] for layer, channels in layers for values in (layer.mean, layer.variance)]


def _residual(second: ConvBN, mid: int, momentum: float | None, hidden: Tensor, x: Tensor) -> Tensor:
    result = second(momentum, hidden[:, :mid])
    result += x[:, : second.channels]
    return F.relu(result, inplace=True)


def _leading_channels(channels: int, momentum: float | None, x: Tensor) -> Tensor:
    return x[:, :channels].contiguous(memory_format=layout_of(x))
