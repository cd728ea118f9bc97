"""Decoding single images: whatever is wrong with one ends as an error that names it."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kit.data.batches import to_rgb
from kit.data.splits import ImageSplit, Split
from kit.errors import StorageError

CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of 8 bits a channel."""
SIXTEEN_BITS = ("PNG", "PPM")
"""Formats whose grey of mode I has 16 bits, whatever the version of Pillow calls it."""


RESTORE_HINT = "restore this file from its origin, or remove it from the data set"


class UnknownRangeError(ValueError):
    """Pixels that no rule maps to 0..255."""


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


def as_images(split: Split) -> ImageSplit:
    """A split whose images are decoded one by one, whatever holds them."""
    if isinstance(split, ImageSplit):
        return split
    return ImageSplit(ArrayStore(split.pixels), torch.arange(len(split.labels)), split.labels)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn what a decoder raises into a `StorageError` that names the image."""
    try:
        yield
    except UnknownRangeError as error:
        raise StorageError(f"cannot use the image {name}: {error}", hint="convert it to 8 bits a channel") from error
    except DECODING_ERRORS as error:
        raise StorageError(
            f"cannot read the image {name}: {error}",
            hint=RESTORE_HINT,
        ) from error


def decode(file: BinaryIO) -> Image.Image:
    """A whole image (the first frame of several) as RGB; transparency is dropped, 16-bit grey is scaled.

    Raises `UnknownRangeError` for pixels of which nobody knows which is white.
    """
    with Image.open(file) as image:
        image.load()
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BITS):
            # Pillow's own conversion cuts off everything above 255.
            grey = np.asarray(image).astype(np.uint32)
            return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
        if image.mode not in CONVERTIBLE:
            raise UnknownRangeError(
                f"its pixels are numbers of mode {image.mode!r} without a known range, "
                "so there is no telling which of them is white"
            )
        # Pillow warns about palettes with transparency unless they pass through RGBA.
        opened = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
        return opened.convert("RGB")
