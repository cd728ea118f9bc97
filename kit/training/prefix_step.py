"""The shared step: paths that begin alike run their common blocks once, forward and backward.

Activations up to block k depend only on the stem and the first k blocks. The paths of a step form a tree; at a branch the
activation is detached, every branch runs forward and backward and adds its gradient there, and the sum goes back through the
shared part once. The gradients are those of `separate_backward`, summed in another order.

Paths that only go forward run first, in a tree of their own. A branch that holds what others learn from is visited before
them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from kit.methods import Path
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.elastic import precision
from kit.supernet.prefix import PathTree, Piece, grouped, grow
from kit.supernet.slicing import gradients_into_slices
from kit.training.objective import Objective

T = TypeVar("T")


def shared_backward(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Path],
    teacher_logits: Tensor | None = None,
    *,
    autocast: torch.dtype | None = None,
    objective: type[Objective] = Objective,
) -> Tensor:
    """`separate_backward` with shared prefixes: same arguments, same gradients up to rounding, same return value.

    A shared block updates its BN running statistics once, not once per path; calibration replaces those before they matter.
    Memory is that of one path plus one activation per branching point above it.
    """
    step = objective(paths, labels, teacher_logits)
    order = step.order()
    for trained in (False, True):
        groups = _by_member(network, paths, [position for position in order if paths[position].trained == trained])
        for member, positions in _ready_first(groups, lambda group: group[1], step):
            tree = grow((position, paths[position].architecture) for position in positions)
            shared = _SharedStep(network, member, images, autocast, step)
            with torch.set_grad_enabled(trained), gradients_into_slices():
                for piece, subtree in shared.branches(tree):
                    assert piece is not None, "a path is more than nothing"
                    (shared.train if trained else shared.measure)(piece, subtree, images)
    return step.result()


Branch = tuple[Piece | None, PathTree]
"""What leaves a node: a child behind its piece, or (None) the paths that end here."""


@dataclass(frozen=True)
class _SharedStep:
    network: nn.Module
    member: ElasticResNet
    """The network itself, or the sub-supernet that computes these paths."""
    images: Tensor
    autocast: torch.dtype | None
    objective: Objective

    @cached_property
    def blocks(self) -> list[list[nn.Module]]:
        """Of every stage; looking them up in the network takes longer."""
        return [list(stage) for stage in self.member.stages]

    def train(self, piece: Piece, tree: PathTree, x: Tensor) -> None:
        """Run everything below `x`, its gradient into `x.grad` (if it wants one) and the weights' `.grad`."""
        x = self._forward(piece, x)
        while len(tree.children) == 1 and not tree.ends:
            [(piece, tree)] = tree.children.items()
            x = self._forward(piece, x)
        if not tree.children:
            self._loss(tree.ends, x).backward()
            return
        branching = x.detach().requires_grad_()
        for child, subtree in self.branches(tree):
            if child is None:
                self._loss(subtree.ends, branching).backward()
            else:
                self.train(child, subtree, branching)
        x.backward(branching.grad)

    def measure(self, piece: Piece, tree: PathTree, x: Tensor) -> None:
        """Run everything below `x`, forward only."""
        x = self._forward(piece, x)
        if tree.ends:
            logits = self._logits(x)
            for position in tree.ends:
                self.objective.measure(position, logits)
        for child, subtree in tree.children.items():
            self.measure(child, subtree, x)

    def branches(self, tree: PathTree) -> Iterator[Branch]:
        """What leaves a node, in the order to visit it."""
        ends: list[Branch] = [(None, PathTree(ends=tree.ends))] if tree.ends else []
        return _ready_first([*ends, *tree.children.items()], lambda branch: _positions(branch[1]), self.objective)

    def _forward(self, piece: Piece, x: Tensor) -> Tensor:
        with precision(x.device, self.autocast):
            if piece.stage < 0:
                return self.member.forward_stem(x, piece.out_channels)
            result: Tensor = self.blocks[piece.stage][piece.block](x, piece.mid_channels, piece.out_channels)
            return result

    def _logits(self, x: Tensor) -> Tensor:
        with precision(x.device, self.autocast):
            return self.member.forward_head(x)

    def _loss(self, ends: Sequence[int], x: Tensor) -> Tensor:
        """The weighted loss of all paths that end here; a repeated path is computed once."""
        for position in self.objective.missing(ends):  # no order of branches has it done by now
            with torch.no_grad(), precision(x.device, self.autocast):
                self.objective.measure(position, self.network(self.images, self.objective.paths[position].architecture))
        logits = self._logits(x)
        total = torch.zeros((), device=x.device)
        for position in ends:
            total = total + self.objective.add(position, logits)
        return total


def _ready_first(branches: Iterable[T], positions: Callable[[T], Iterable[int]], objective: Objective) -> Iterator[T]:
    """Branches as they stand, but one whose paths need what another computes waits for it, if that does not wait too."""
    waiting = list(branches)
    if objective.independent:
        yield from waiting
        return
    while waiting:
        ready = next((each for each in waiting if not objective.missing(positions(each))), waiting[0])
        waiting.remove(ready)
        yield ready


def _positions(tree: PathTree) -> list[int]:
    """The paths that end somewhere in a tree."""
    return [*tree.ends, *(position for child in tree.children.values() for position in _positions(child))]


def _by_member(
    network: nn.Module, paths: Sequence[Path], positions: Sequence[int]
) -> list[tuple[ElasticResNet, Sequence[int]]]:
    """Positions of the paths by the supernet that computes them."""
    if isinstance(network, ElasticResNet):
        return [(network, positions)]
    assert isinstance(network, FewShotSupernet), f"cannot share prefixes in a {type(network).__name__}"
    groups = grouped(positions, lambda position: network.member_of(paths[position].architecture))
    return list(groups.items())
