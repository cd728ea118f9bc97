"""The shared step: paths that begin alike run their common blocks once, forward and backward.

Activations up to block k depend only on the stem and the first k blocks. The paths of a step form a tree; at a branch the
activation is detached, every branch runs forward and backward and adds its gradient there, and the sum goes back through the
shared part once. The gradients are those of `separate_backward`, summed in another order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kit.methods import Path
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import precision
from kit.supernet.prefix import PathTree, Piece, grow
from kit.supernet.slicing import gradients_into_slices
from kit.training.losses import path_loss


def shared_backward(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Path],
    teacher_logits: Tensor | None = None,
    *,
    autocast: torch.dtype | None = None,
) -> Tensor:
    """`separate_backward` with shared prefixes: same arguments, same gradients up to rounding, same return value.

    A shared block updates its BN running statistics once, not once per path; calibration replaces those before they matter.
    Memory is that of one path plus one activation per branching point above it.
    """
    soft_labels = None if teacher_logits is None else teacher_logits.detach().softmax(dim=1)
    losses: list[Tensor | None] = [None] * len(paths)
    for member, positions in _by_member(network, paths):
        step = _SharedStep(member, labels, paths, soft_labels, autocast, losses)
        tree = grow([(position, paths[position].architecture) for position in positions])
        for piece, subtree in tree.children.items():
            step.descend(piece, subtree, images)
    return torch.stack([loss for loss in losses if loss is not None])


@dataclass(frozen=True)
class _SharedStep:
    network: ElasticResNet
    labels: Tensor
    paths: Sequence[Path]
    soft_labels: Tensor | None
    autocast: torch.dtype | None
    losses: list[Tensor | None]

    def descend(self, piece: Piece, tree: PathTree, x: Tensor) -> None:
        """Run everything below `x`, its gradient into `x.grad` (if it wants one) and the weights' `.grad`."""
        x = self._forward(piece, x)
        while len(tree.children) == 1 and not tree.ends:
            [(piece, tree)] = tree.children.items()
            x = self._forward(piece, x)
        if not tree.children:
            self._loss(tree.ends, x).backward()
            return
        branching = x.detach().requires_grad_()
        if tree.ends:
            self._loss(tree.ends, branching).backward()
        for child, subtree in tree.children.items():
            self.descend(child, subtree, branching)
        x.backward(branching.grad)

    def _forward(self, piece: Piece, x: Tensor) -> Tensor:
        with precision(x.device, self.autocast), gradients_into_slices():
            if piece.stage < 0:
                return self.network.forward_stem(x, piece.out_channels)
            block = self.network.stages[piece.stage][piece.block]
            result: Tensor = block(x, piece.mid_channels, piece.out_channels)
            return result

    def _loss(self, ends: Sequence[int], x: Tensor) -> Tensor:
        """The weighted loss of all paths that end here; a repeated path is computed once."""
        with precision(x.device, self.autocast):
            logits = self.network.forward_head(x)
        total = torch.zeros((), device=x.device)
        for position in ends:
            cross_entropy, loss = path_loss(logits, self.labels, self.paths[position], self.soft_labels)
            self.losses[position] = cross_entropy.detach()
            total = total + loss
        return total


def _by_member(network: nn.Module, paths: Sequence[Path]) -> list[tuple[ElasticResNet, list[int]]]:
    """Positions of the paths by the supernet that computes them."""
    if isinstance(network, ElasticResNet):
        return [(network, list(range(len(paths))))]
    assert isinstance(network, FewShotSupernet), f"cannot share prefixes in a {type(network).__name__}"
    groups: dict[int, list[int]] = {}
    for position, path in enumerate(paths):
        groups.setdefault(network.cell_of(path.architecture), []).append(position)
    return [(network.member_of(paths[positions[0]].architecture), positions) for positions in groups.values()]
