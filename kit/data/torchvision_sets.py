"""`torch/NAME:/path`: torchvision's data sets under timm's names, small ones straight from memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from kit.data.identity import Note, content_listing
from kit.data.idx import PREFIXES, holds_idx_files, read_idx_split
from kit.data.images import FileStore
from kit.data.splits import ArraySplit, ImageSplit, Source, array_fingerprint, check_classes, check_labels
from kit.data.timm_sets import create
from kit.files import content_key

# The data sets whose torchvision layout is FOLDER/raw/ with idx files.
IDX_FOLDERS = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST", "kmnist": "KMNIST"}
TORCH_NAMES = (*IDX_FOLDERS, "cifar10", "cifar100", "qmnist", "imagenet", "places365", "image_folder")


def open_torchvision(name: str, root: Path, note: Note) -> Source:
    """Raises `InputError` when the data set is not there, `StorageError` when it is damaged."""
    folder = _idx_folder(name, root) if name in IDX_FOLDERS else None
    return _from_timm(name, root, note) if folder is None else _from_idx(name, folder)


def _idx_folder(name: str, root: Path) -> Path | None:
    """Where idx files lie that torchvision would not find: directly in `root`, or still packed in its own layout."""
    raw = root / IDX_FOLDERS[name] / "raw"
    if holds_idx_files(raw, packed=False):
        # Torchvision will read these; it reports damage as bare assertions, so they are checked first.
        for split in PREFIXES:
            read_idx_split(raw, split)
        return None
    return next((folder for folder in (root, raw) if holds_idx_files(folder)), None)


def _from_idx(name: str, folder: Path) -> Source:
    train, val = read_idx_split(folder, "train"), read_idx_split(folder, "val")
    classes = getattr(torchvision.datasets, IDX_FOLDERS[name]).classes
    return _from_arrays(train, val, classes, str(folder))


def _from_timm(name: str, root: Path, note: Note) -> Source:
    train, val = create("torch", name, root, ("train",)), create("torch", name, root, ("val",))
    where = f"torch/{name} in {root}"
    classes = _class_names(train)
    check_classes(classes, _class_names(val), where=where)
    pixels = [_pixels(dataset) for dataset in (train, val)]
    labels = [_labels(dataset) for dataset in (train, val)]
    if pixels[0] is not None and pixels[1] is not None:
        return _from_arrays(ArraySplit(pixels[0], labels[0]), ArraySplit(pixels[1], labels[1]), classes, where)
    paths = [[str(sample[0]) for sample in _samples(dataset)] for dataset in (train, val)]
    first, second = (
        ImageSplit(FileStore(files), torch.arange(len(files)), part) for files, part in zip(paths, labels, strict=True)
    )
    listings = [content_listing(files, root, note) for files in paths]
    return Source(first, second, tuple(classes), content_key([f"torch/{name}", classes, listings]))


def _from_arrays(train: ArraySplit, val: ArraySplit, classes: Sequence[str], where: str) -> Source:
    for part in (train, val):
        check_labels(part.labels, len(classes), where=where)
    fingerprint = array_fingerprint(train.pixels, train.labels, val.pixels, val.labels)
    return Source(train, val, tuple(classes), fingerprint)


def _pixels(dataset: Any) -> Tensor | None:
    """Uint8 `(N, C, H, W)` when torchvision holds the data set in memory: `(N, H, W)` tensors or `(N, H, W, 3)` arrays."""
    data = getattr(dataset, "data", None)
    if data is None:
        return None
    pixels = torch.as_tensor(data)
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def _samples(dataset: Any) -> list[tuple[str, int]]:
    # Places365 has another word for it.
    samples: list[tuple[str, int]] = dataset.samples if hasattr(dataset, "samples") else dataset.imgs
    return samples


def _labels(dataset: Any) -> Tensor:
    labels = torch.as_tensor(dataset.targets).long()
    # QMNIST keeps the label in front of where the digit came from.
    return labels[:, 0].clone() if labels.ndim == 2 else labels


def _class_names(dataset: Any) -> list[str]:
    # ImageNet's classes are tuples of synonyms.
    return [name if isinstance(name, str) else ", ".join(name) for name in dataset.classes]
