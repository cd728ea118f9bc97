"""`hfds/NAME:/path`, `wds/NAME:/path`, `tfds/NAME:/path`: what timm reads with the help of further packages."""

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset
from torch import Tensor

from kit.data.identity import Note, content_listing
from kit.data.images import decode, decoding
from kit.data.splits import ImageSplit, Source, array_fingerprint, check_classes, check_labels
from kit.errors import InputError, StorageError
from kit.files import content_key

VAL_NAMES = ("validation", "val", "test")
NEEDED_MODULE = {"hfds": "datasets", "wds": "webdataset", "tfds": "tensorflow_datasets"}
# What the libraries behind timm's names raise when they do not find what was asked for.
OPENING_ERRORS = (ImportError, OSError, RuntimeError, ValueError, KeyError, AssertionError)


def open_timm(prefix: str, name: str, root: Path, *, cache_bytes: int, note: Note) -> Source:
    """Raises `InputError` when the data set is not there, and says which package it needs."""
    module = NEEDED_MODULE[prefix]
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{prefix}/{name} needs a package that is not installed", hint=f"pip install {module}")
    train = create(prefix, name, root, ("train",))
    val = create(prefix, name, root, VAL_NAMES)
    where = f"{prefix}/{name} in {root}"
    return _indexed(train, val, where, note) if prefix == "hfds" else _streamed(train, val, where, cache_bytes)


def create(prefix: str, name: str, root: Path, splits: Sequence[str]) -> Any:
    """The dataset of the first of these split names that exists."""
    failures = []
    for split in splits:
        try:
            # These libraries print on import and while they read; stdout belongs to the kit's own results.
            with contextlib.redirect_stdout(sys.stderr):
                return create_dataset(f"{prefix}/{name}", root=str(root), split=split, is_training=False, download=False)
        except OPENING_ERRORS as error:
            failures.append(f"{split}: {str(error).strip() or type(error).__name__}")
    raise InputError(
        f"cannot open {prefix}/{name} in {root} ({'; '.join(failures)})",
        hint="put the data there, or unpack it and use folder:/path",
    )


def _indexed(train: Any, val: Any, where: str, note: Note) -> Source:
    classes = list(train.reader.class_to_idx)
    check_classes(classes, list(val.reader.class_to_idx), where=where)
    splits = []
    for dataset in (train, val):
        labels = torch.as_tensor(list(dataset.reader.dataset[dataset.reader.label_key])).long()
        check_labels(labels, len(classes), where=where)
        splits.append(ImageSplit(_ReaderStore(dataset, where), torch.arange(len(labels)), labels))
    contents = [_content(dataset, split.labels, note) for dataset, split in zip((train, val), splits, strict=True)]
    fingerprint = content_key(["hfds", classes, *contents])
    return Source(splits[0], splits[1], tuple(classes), fingerprint)


def _content(dataset: Any, labels: Tensor, note: Note) -> list[Any]:
    """The labels, and every byte of the files behind a split (its images themselves where it has no files)."""
    table = dataset.reader.dataset
    if files := sorted(str(file["filename"]) for file in table.cache_files):
        hashes = [sha256 for _, sha256 in content_listing(files, Path(os.path.commonpath(files)), note)]
    else:
        hashes = [hashlib.sha256(dataset.reader[index][0].read()).hexdigest() for index in range(len(labels))]
    return [array_fingerprint(labels), hashes]


def _streamed(train: Any, val: Any, where: str, cache_bytes: int) -> Source:
    """Streams have no order that could be resumed or shared out, so they are read once and kept, decoded."""
    parts = [_read_stream(dataset, where, cache_bytes) for dataset in (train, val)]
    count = 1 + max(int(labels.max()) for _, labels in parts)
    for _, labels in parts:
        check_labels(labels, count, where=where)
    splits = [ImageSplit(_Kept(images), torch.arange(len(images)), labels) for images, labels in parts]
    fingerprint = content_key([array_fingerprint(labels, *images) for images, labels in parts])
    return Source(splits[0], splits[1], tuple(map(str, range(count))), fingerprint)


def _read_stream(dataset: Any, where: str, cache_bytes: int) -> tuple[list[Tensor], Tensor]:
    # Under torch.distributed the readers would give every rank other images; the kit's ranks share one order.
    dataset.reader.dist_rank, dataset.reader.dist_num_replicas = 0, 1
    images, labels, held = [], [], 0
    for image, label in _quietly(iter(dataset), where):
        pixels = torch.from_numpy(np.array(image.convert("RGB")))
        images.append(pixels)
        labels.append(int(label))
        held += pixels.numel()
        if held > cache_bytes:
            raise InputError(
                f"{where} is larger than {cache_bytes / 2**30:.1f} GiB when decoded", hint="unpack it and use folder:/path"
            )
    expected = len(dataset)
    if not images or (expected and len(images) != expected):
        raise StorageError(f"{where} has {len(images)} readable images of {expected}", hint="a shard is missing or damaged")
    return images, torch.tensor(labels, dtype=torch.int64)


def _quietly(stream: Iterator[Any], where: str) -> Iterator[Any]:
    while True:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                item = next(stream, None)
        except OPENING_ERRORS as error:
            raise StorageError(f"cannot read {where}: {error}") from error
        if item is None:
            return
        yield item


@dataclass(frozen=True)
class _ReaderStore:
    """The images behind a timm dataset with a reader. Its own `__getitem__` puts others in place of unreadable images."""

    dataset: Any
    name: str

    def load(self, index: int) -> Image.Image:
        with decoding(self.describe(index)):
            file, _ = self.dataset.reader[index]
            with file:
                return decode(file)

    def describe(self, index: int) -> str:
        """What a user can find the image by."""
        filename = self.dataset.filename(index, absolute=True)
        return str(filename) if filename else f"{index} of {self.name}"


@dataclass(frozen=True)
class _Kept:
    images: list[Tensor]

    def load(self, index: int) -> Image.Image:
        return Image.fromarray(self.images[index].numpy())
