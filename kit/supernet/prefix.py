"""Architectures by common prefix: what can be computed once for all that begin alike."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kit.costs import IN_CHANNELS, layers
from kit.search_space import Architecture, Scale

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """One shareable part of a path: the stem (stage -1) or a block, with its widths."""

    stage: int
    block: int
    mid_channels: int
    out_channels: int


@dataclass(slots=True, eq=False)
class PathTree:
    """Paths by common prefix; `ends` are the positions of those whose last block is here. Each node is itself alone."""

    children: dict[Piece, "PathTree"] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)


def grow(architectures: Iterable[tuple[int, Architecture]]) -> PathTree:
    """The tree of these (position, architecture) pairs."""
    root = PathTree()
    for position, architecture in architectures:
        node = root
        for piece in pieces(architecture):
            node = node.children.setdefault(piece, PathTree())
        node.ends.append(position)
    return root


def pieces(architecture: Architecture) -> list[Piece]:
    """The stem and the blocks of an architecture, in order."""
    stem = Piece(-1, 0, architecture.stem_channels, architecture.stem_channels)
    blocks = [
        Piece(index, block, mid, stage.out_channels)
        for index, stage in enumerate(architecture.stages)
        for block, mid in enumerate(stage.mid_channels)
    ]
    return [stem, *blocks]


def families(children: Iterable[Piece]) -> list[list[Piece]]:
    """Siblings at the same place of the network: they differ in width alone, so they can share their first convolutions."""
    return list(grouped(children, lambda piece: (piece.stage, piece.block)).values())


def by_mid(family: Iterable[Piece]) -> dict[int, list[Piece]]:
    """Siblings by inner width: those that agree in it differ in how many channels of the same output they keep."""
    return grouped(family, lambda piece: piece.mid_channels)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items with the same key together, in the order of their first."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def tree_macs(tree: PathTree, scale: Scale) -> int:
    """Multiply-adds per image of computing every node once, siblings sharing what they can at their largest width."""
    # Multiply-adds grow with the product of both numbers of channels: those of one channel are worked out once.
    thin = {
        each.name: replace(each, in_channels=1, out_channels=1).macs for each in layers(scale.space.whole.largest, scale)
    }

    def layer(name: str, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels * thin[name]

    total = 0
    pending = [(tree, IN_CHANNELS)]
    while pending:
        node, channels = pending.pop()
        total += layer("fc", channels, scale.num_classes) * bool(node.ends)
        for family in families(node.children):
            widest_out = max(piece.out_channels for piece in family)
            if family[0].stage < 0:
                total += layer("conv1", channels, widest_out)
                continue
            name = f"layer{family[0].stage + 1}.{family[0].block}"
            total += layer(f"{name}.conv1", channels, max(piece.mid_channels for piece in family))
            for mid, alike in by_mid(family).items():
                total += layer(f"{name}.conv2", mid, max(piece.out_channels for piece in alike))
            if f"{name}.downsample.0" in thin:
                total += layer(f"{name}.downsample.0", channels, widest_out)
        pending += [(child, piece.out_channels) for piece, child in node.children.items()]
    return total
