"""Weights files without torch: a strict safetensors reader, and the names and shapes that an architecture must have."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kit.costs import layers
from kit.errors import InputError, StorageError
from kit.files import parse_json
from kit.search_space import Architecture, Scale, SearchSpace

METADATA = "__metadata__"
NOTE = "kit"
MAX_HEADER_BYTES = 8 * 1024**2
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
MEMBER = "members."
COUNTER = "num_batches_tracked"
STATISTICS = ("running_mean", "running_var", COUNTER)

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Type, shape and place of one tensor."""

    dtype: str
    shape: Shape
    start: int
    size: int


class TensorFile:
    """A `.safetensors` file read tensor by tensor. Raises `StorageError` for anything but a gapless, strict one."""

    def __init__(self, file: BinaryIO, size: int, source: str) -> None:
        self._file = file
        self.source = source
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise StorageError(f"{source} is damaged or no .safetensors file")
        header = parse_json(file.read(length), source=f"the header of {source}")
        if not isinstance(header, dict):
            raise StorageError(f"the header of {source} is no JSON object")
        notes = header.pop(METADATA, {})
        if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
            raise StorageError(f"the notes of {source} are no texts")
        self.notes: dict[str, str] = notes
        self.tensors = {name: _parse_info(name, value, 8 + length, source) for name, value in header.items()}
        end = 8 + length
        for name, info in sorted(self.tensors.items(), key=lambda item: (item[1].start, item[1].size)):
            if info.start != end:
                raise StorageError(f"{source} has a gap or an overlap before {name}")
            end += info.size
        if end != size:
            raise StorageError(f"{source} has {size} bytes, its tensors end at {end}")

    @property
    def note(self) -> dict[str, Any]:
        """What the kit noted. Raises `StorageError` if that is no JSON object."""
        value = parse_json(self.notes.get(NOTE, "{}").encode(), source=f"the kit's note in {self.source}")
        if not isinstance(value, dict):
            raise StorageError(f"the kit's note in {self.source} is no JSON object")
        return value

    def read(self, name: str) -> Array:
        """One tensor, in memory."""
        info = self.tensors[name]
        self._file.seek(info.start)
        return np.frombuffer(self._file.read(info.size), DTYPES[info.dtype]).reshape(info.shape)

    def not_finite(self) -> Iterator[str]:
        """Names of tensors that hold nan or infinity, or a variance below zero."""
        for name, info in self.tensors.items():
            if info.dtype == "F32":
                values = self.read(name)
                # The sum is finite whenever every value is (float64 cannot overflow here), and needs no copy.
                if not np.isfinite(values.sum(dtype=np.float64)) or (
                    name.endswith("running_var") and values.min(initial=0) < 0
                ):
                    yield name


def expected_shapes(architecture: Architecture, space: SearchSpace, num_classes: int) -> dict[str, Shape]:
    """Names and shapes of timm's state dict for this architecture, in the order of computation."""
    shapes: dict[str, Shape] = {}
    for layer in layers(architecture, Scale(space, 1, num_classes)):
        if not layer.normalised:
            shapes[f"{layer.name}.weight"] = (layer.out_channels, layer.in_channels)
            shapes[f"{layer.name}.bias"] = (layer.out_channels,)
            continue
        shapes[f"{layer.name}.weight"] = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        norm = norm_of(layer.name)
        shapes |= {f"{norm}.{part}": (layer.out_channels,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{norm}.{COUNTER}"] = ()
    return shapes


def supernet_shapes(space: SearchSpace, num_classes: int, members: int) -> dict[str, Shape]:
    """Names and shapes of a supernet's file; `members` is 0 for a single supernet."""
    single = expected_shapes(space.whole.largest, space, num_classes)
    return {f"{prefix}{name}": shape for prefix in prefixes(members) for name, shape in single.items()}


def prefixes(members: int) -> list[str]:
    """What stands before the names of each sub-supernet."""
    return [f"{MEMBER}{index}." for index in range(members)] or [""]


def norm_of(conv: str) -> str:
    """The name of the batch norm that follows a convolution."""
    return conv.replace("downsample.0", "downsample.1").replace("conv", "bn")


def folded(
    read: Callable[[str], Array], architecture: Architecture, space: SearchSpace, num_classes: int, eps: float = 1e-5
) -> Iterator[tuple[str, Array, Array]]:
    """Name, weight and bias of every layer after its batch norm is folded into it, from calibrated weights."""
    for layer in layers(architecture, Scale(space, 1, num_classes)):
        weight = read(f"{layer.name}.weight")
        if not layer.normalised:
            yield layer.name, weight, read(f"{layer.name}.bias")
            continue
        norm = norm_of(layer.name)
        scale = read(f"{norm}.weight") / np.sqrt(read(f"{norm}.running_var") + np.float32(eps))
        yield layer.name, weight * scale[:, None, None, None], read(f"{norm}.bias") - read(f"{norm}.running_mean") * scale


def cells_of(note: dict[str, Any]) -> list[SearchSpace]:
    """The cells that a few-shot file notes. Raises `InputError`."""
    cells = note.get("cells", [])
    if not isinstance(cells, list):
        raise InputError(f"cells are no list: {json.dumps(cells)[:40]}")
    return [SearchSpace.from_json(cell) for cell in cells]


def _parse_info(name: str, value: Any, base: int, source: str) -> TensorInfo:
    where = f"{source}: {name[:80]}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise StorageError(f"{where} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [None]
    if dtype not in DTYPES or len(offsets) != 2 or not all(type(number) is int and number >= 0 for number in numbers):
        raise StorageError(f"{where} has a type, shape or place that weights do not have ({dtype!r}, {shape!r})"[:200])
    start, end = offsets
    if end - start != prod(shape) * DTYPES[dtype].itemsize:
        raise StorageError(f"{where} has {end - start} bytes for the shape {shape}")
    return TensorInfo(dtype, tuple(shape), base + start, end - start)
