"""Decoding single images: whatever is wrong with one ends as an error that names it."""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from torch import Tensor

from kit.data.batches import to_rgb
from kit.errors import StorageError

# What Pillow's decoders raise for damaged files: most are OSError, the rest slips through from single formats.
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class FileStore:
    """Image files by path."""

    paths: Sequence[str]

    def load(self, index: int) -> Image.Image:
        path = self.paths[index]
        with decoding(path), open(path, "rb") as file:
            return decode(file)


@dataclass(frozen=True)
class ArrayStore:
    """Pixels in memory, uint8 `(N, 1 or 3, H, W)`, as images: for augmentations that need single ones."""

    pixels: Tensor

    def load(self, index: int) -> Image.Image:
        return Image.fromarray(to_rgb(self.pixels[index : index + 1])[0].permute(1, 2, 0).numpy())


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn what a decoder raises into a `StorageError` that names the image."""
    try:
        yield
    except DECODING_ERRORS as error:
        raise StorageError(
            f"cannot read the image {name}: {error}",
            hint="restore this file from its origin, or remove it from the data set",
        ) from error


def decode(file: BinaryIO) -> Image.Image:
    """A whole image as RGB; colours hidden under transparency come out, the transparency is dropped."""
    with Image.open(file) as image:
        image.load()
        # Pillow warns about palettes with transparency unless they pass through RGBA.
        opened = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
        return opened.convert("RGB")


def file_listing(paths: Sequence[str], root: Path) -> list[tuple[str, int]]:
    """Names relative to `root` and sizes in bytes: they identify images without reading them."""
    prefix = f"{root}{os.sep}"
    entries = []
    for path in paths:
        try:
            entries.append((path.removeprefix(prefix).replace(os.sep, "/"), os.stat(path).st_size))
        except OSError as error:
            raise StorageError(f"cannot read the image {path}: {error.strerror}", hint=_HINT) from error
    return sorted(entries)


_HINT = "restore this file from its origin, or remove it from the data set"
