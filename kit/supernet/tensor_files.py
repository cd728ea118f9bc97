"""Weights files as tensors in timm's names: `.safetensors`, `.pth` and Paddle's `.pdparams`, read whole or not at all.

A few-shot file holds the tensors of member K under `members.K.`. What the kit knows about its weights (the space, the
cells) travels as one JSON text under the key `kit`: more than one metadata key would be written in random order.
"""

import argparse
import hashlib
import io
import json
import pickle
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from kit.errors import InputError, StorageError
from kit.files import parse_json, storage_errors, write_bytes
from kit.supernet.nesting import Note, find_state, silent
from kit.supernet.pdparams import dump_pdparams, read_pdparams

METADATA_KEY = "kit"
HEADER_LENGTH_BYTES = 8
# torch.load has no error of its own for damage; these are what its zip reader and its unpickler raise.
DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
)
DAMAGED_HINT = "copy or download the file again and compare its SHA-256"


HARMLESS = [argparse.Namespace]


class WeightsFormat(StrEnum):
    """File formats of weights, by suffix."""

    PDPARAMS = "pdparams"
    SAFETENSORS = "safetensors"
    PTH = "pth"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The content of a weights file: tensors by timm's names, and what the kit noted about them (or nothing)."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def read_weights_file(path: Path, *, sha256: str | None = None, key: str | None = None, note: Note = silent) -> WeightsFile:
    """Read a file of the format its suffix names; with `sha256` its bytes are compared before they are parsed.

    Of a checkpoint that holds more than weights, the state dict is taken: `key` and `note` as in `find_state`.

    Raises `StorageError` for what cannot be read or trusted, `InputError` for an unknown suffix or foreign names.
    """
    file_format = format_of(path)
    with storage_errors("read", path):
        data = path.read_bytes()
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256.lower():
        raise StorageError(f"{path} is not the file it should be: its SHA-256 is not {sha256}", hint=DAMAGED_HINT)
    if not data:
        raise StorageError(f"{path} is empty", hint=DAMAGED_HINT)
    _refuse_other_format(path, data, file_format)
    match file_format:
        case WeightsFormat.PDPARAMS:
            arrays = read_pdparams(data, source=str(path), key=key, note=note)
            return WeightsFile({name: torch.from_numpy(array) for name, array in arrays.items()})
        case WeightsFormat.SAFETENSORS:
            return _parse_safetensors(data, path, key, note)
        case WeightsFormat.PTH:
            return _parse_pth(data, path, key, note)


def write_weights_file(path: Path, content: WeightsFile, file_format: WeightsFormat) -> None:
    """Write whole or not at all; equal content gives equal bytes. `.pdparams` has no place for metadata."""
    # Cloned, because torch writes the whole storage behind a view, and strides of dimensions of size 1 as they are.
    tensors = {name: _canonical(tensor.detach().cpu()) for name, tensor in content.tensors.items()}
    metadata = json.dumps(content.metadata, sort_keys=True, separators=(",", ":"), allow_nan=False)
    match file_format:
        case WeightsFormat.PDPARAMS:
            write_bytes(path, dump_pdparams({name: tensor.numpy() for name, tensor in tensors.items()}))
        case WeightsFormat.SAFETENSORS:
            write_bytes(path, save_safetensors(tensors, metadata={METADATA_KEY: metadata}))
        case WeightsFormat.PTH:
            buffer = io.BytesIO()
            torch.save({"state_dict": tensors, METADATA_KEY: metadata}, buffer)
            write_bytes(path, buffer.getvalue())


def format_of(path: Path) -> WeightsFormat:
    """The format that a file's suffix names. Raises `InputError` for others."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix == "pt":
        return WeightsFormat.PTH
    try:
        return WeightsFormat(suffix)
    except ValueError:
        known = ", ".join(f".{known}" for known in WeightsFormat)
        raise InputError(f"{path} has no suffix of a weights file", hint=f"name it by its format: {known}") from None


def _parse_safetensors(data: bytes, path: Path, key: str | None, note: Note) -> WeightsFile:
    try:
        tensors: dict[str, Tensor] = load_safetensors(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise StorageError(f"{path} is damaged or not a .safetensors file: {error}", hint=DAMAGED_HINT) from error
    state = find_state(tensors, torch.is_tensor, source=str(path), key=key, note=note) if tensors else tensors
    # It was parsed by now, so it is there and has texts for values.
    length = int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")
    header = parse_json(data[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length], source=f"the header of {path}")
    return WeightsFile(state, _parse_metadata(header.get("__metadata__", {}).get(METADATA_KEY, "{}"), path))


def _parse_metadata(text: object, path: Path) -> dict[str, Any]:
    metadata = parse_json(text.encode(), source=f"the kit's note in {path}") if isinstance(text, str) else None
    if not isinstance(metadata, dict):
        raise StorageError(f"{path}: the kit's note is not a JSON object", hint=DAMAGED_HINT)
    return metadata


def _parse_pth(data: bytes, path: Path, key: str | None, note: Note) -> WeightsFile:
    try:
        # What training scripts keep beside their weights, and what holds nothing but values.
        with torch.serialization.safe_globals([*HARMLESS, *_numpy_scalars()]):
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = f"{path} is damaged or holds more than tensors{_asked_for(error)}; nothing of it was run"
        hint = "save the state dict alone: torch.save(net.state_dict(), FILE)"
        raise StorageError(message, hint=hint) from error
    except DAMAGE as error:
        raise StorageError(f"{path} is damaged or not a .pth file: {error}", hint=DAMAGED_HINT) from error
    metadata: dict[str, Any] = {}
    if isinstance(content, Mapping) and METADATA_KEY in content:
        metadata = _parse_metadata(content[METADATA_KEY], path)
        key = key or "state_dict"
        note = silent  # the kit's own layout is no news
    state = find_state(content, torch.is_tensor, source=str(path), key=key, note=note)
    for name, value in state.items():
        if not _is_plain(value):
            raise StorageError(f"{path}: the entry {name[:80]!r} is no plain tensor")
    return WeightsFile(state, metadata)


def _numpy_scalars() -> list[Any]:
    """What a number of numpy's, like a best accuracy, is pickled with."""
    reconstruct = type(np.float64(0)).__reduce__(np.float64(0))
    return [reconstruct[0], np.dtype, *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "?"))]


def _asked_for(error: pickle.UnpicklingError) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f" ({found[1]})" if found else ""


def _canonical(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _refuse_other_format(path: Path, data: bytes, expected: WeightsFormat) -> None:
    """A wrong suffix is a common slip and deserves a better message than what a parser says about it."""
    if data.startswith(b"PK\x03\x04"):
        found = WeightsFormat.PTH
    elif data[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + 2] == b'{"':
        found = WeightsFormat.SAFETENSORS
    else:
        return
    if found != expected:
        raise InputError(f"{path} is a .{found} file by its content", hint=f"give it the suffix .{found}")
