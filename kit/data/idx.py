"""The idx format of the MNIST family (http://yann.lecun.com/exdb/mnist/): a big-endian header, then bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from kit.data.splits import ArraySplit
from kit.errors import StorageError
from kit.files import storage_errors

UNSIGNED_BYTE = 8
PREFIXES = {"train": "train", "val": "t10k"}
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def holds_idx_files(folder: Path, *, packed: bool = True) -> bool:
    """Whether the four files of the family lie directly in `folder`, plain or (if `packed` may be) gzipped."""
    names = [f"{prefix}-{kind}" for prefix in PREFIXES.values() for kind in (IMAGES, LABELS)]
    return all(_find(folder, name) if packed else (folder / name).is_file() for name in names)


def read_idx_split(folder: Path, split: str) -> ArraySplit:
    """The `train` or `val` split in `folder`. Raises `StorageError` naming the file that is damaged."""
    prefix = PREFIXES[split]
    image_file, label_file = (_find(folder, f"{prefix}-{kind}") for kind in (IMAGES, LABELS))
    assert image_file is not None and label_file is not None, f"{folder} holds no idx files"
    images, labels = read_idx(image_file, dimensions=3), read_idx(label_file, dimensions=1)
    if len(images) != len(labels):
        raise StorageError(f"{image_file} holds {len(images)} images, but {label_file} {len(labels)} labels", hint=_HINT)
    return ArraySplit(images.unsqueeze(1), labels.long())


def read_idx(path: Path, *, dimensions: int) -> Tensor:
    """Unsigned bytes with this many dimensions; `.gz` is unpacked. Raises `StorageError` for anything else."""
    data = _read_bytes(path)
    header = 4 * (1 + dimensions)
    magic = struct.pack(">BBBB", 0, 0, UNSIGNED_BYTE, dimensions)
    if data[:4] != magic:
        raise StorageError(f"{path} is not an idx file: it starts with {data[:4].hex()}, expected {magic.hex()}", hint=_HINT)
    if len(data) < header:
        raise StorageError(f"{path} ends within its header ({len(data)} bytes)", hint=_HINT)
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    content = math.prod(shape)
    if not content or len(data) != header + content:
        described = " x ".join(map(str, shape))
        raise StorageError(
            f"{path} says it holds {described} bytes after a header of {header}, but has {len(data)} bytes in all",
            hint=_HINT,
        )
    return torch.frombuffer(data, dtype=torch.uint8, offset=header).view(shape)


_HINT = "fetch this file again from its origin"


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_bytes(path: Path) -> bytearray:
    try:
        with storage_errors("read", path):
            data = path.read_bytes()
            return bytearray(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (EOFError, zlib.error) as error:
        raise StorageError(f"{path} is a damaged gzip file: {error}", hint=_HINT) from error
