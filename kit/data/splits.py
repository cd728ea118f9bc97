"""The two forms a split of a data set can have, and fixed subsets of them."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from kit.errors import InputError, StorageError, some
from kit.randomness import derive_random


@dataclass(frozen=True)
class ArraySplit:
    """A small data set held in memory: pixels `(N, C, H, W)`, uint8 with C = 1 or 3, and labels `(N,)`, int64."""

    pixels: Tensor
    labels: Tensor

    def subset(self, indices: Tensor) -> "ArraySplit":
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices])


class ImageStore(Protocol):
    """Images that are decoded when asked for."""

    def load(self, index: int) -> Image.Image:
        """The RGB image; raises `StorageError` naming it when it cannot be decoded."""


@dataclass(frozen=True)
class ImageSplit:
    """Images of any size behind a store; `indices` says which of them belong here, `labels` has one entry for each."""

    store: ImageStore
    indices: Tensor
    labels: Tensor

    def subset(self, indices: Tensor) -> "ImageSplit":
        return replace(self, indices=self.indices[indices], labels=self.labels[indices])


Split = ArraySplit | ImageSplit


@dataclass(frozen=True)
class Source:
    """Both splits of a data set; `fingerprint` names its content wherever it lies."""

    train: Split
    val: Split
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()


def take(split: Split, count: int | None, *, what: str) -> Split:
    """The fixed stratified subset of `count` images, in the split's order; all of them for None.

    It depends on the labels only, not on the seed of a run, and a smaller subset lies inside every larger one.
    Raises `InputError` when there are fewer images or `count` is not positive; `what` names the setting.
    """
    available = len(split.labels)
    if count is None or count == available:
        return split
    if not 0 < count < available:
        raise InputError(
            f"{what} = {count}, but the data has {available} such images", hint=f"choose 1..{available} or leave {what} out"
        )
    return split.subset(torch.tensor(sorted(stratified_order(split.labels.tolist())[:count]), dtype=torch.int64))


def left_out(split: Split, count: int | None) -> Split | None:
    """What `take` leaves, in the split's order; None where that is nothing."""
    if count is None or count == len(split.labels):
        return None
    return split.subset(torch.tensor(sorted(stratified_order(split.labels.tolist())[count:]), dtype=torch.int64))


def stratified_order(labels: Sequence[int]) -> list[int]:
    """A fixed shuffle of the indices of `labels` in which every beginning has the classes in their proportions."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    placed: list[tuple[float, int, int]] = []
    for label, indices in sorted(members.items()):
        rng = derive_random("stratified order", label)
        rng.shuffle(indices)
        offset = rng.random()
        placed += [((rank + offset) / len(indices), label, index) for rank, index in enumerate(indices)]
    return [index for _, _, index in sorted(placed)]


def array_fingerprint(*tensors: Tensor) -> str:
    """Hex SHA-256 of shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def check_classes(train: Sequence[str], val: Sequence[str], *, where: str) -> None:
    """Raise `InputError` unless both splits have the same two or more classes."""
    missing, surplus = sorted(set(train) - set(val)), sorted(set(val) - set(train))
    if missing or surplus:
        sides = [(missing, "train", "val"), (surplus, "val", "train")]
        differences = [f"only in {side}, not in {other}: {some(names)}" for names, side, other in sides if names]
        raise InputError(
            f"the classes of train and val in {where} differ: {'; '.join(differences)}",
            hint="give both splits the same class folders; a label means nothing to the other split otherwise",
        )
    if len(train) < 2:
        raise InputError(f"{where} has only one class ({some(train)})", hint="a classifier needs at least two")


def check_labels(labels: Tensor, classes: int, *, where: str) -> None:
    """Raise `StorageError` for a label that no class has."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise StorageError(f"{where} has the label {low if low < 0 else high}, but its classes are 0..{classes - 1}")
