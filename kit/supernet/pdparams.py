"""Paddle's `.pdparams` without Paddle: a pickle of name -> numpy array in Paddle's names and layout."""

import pickle
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.search_space import SLOTS
from kit.supernet.array_pickle import read_arrays
from kit.supernet.nesting import Note, find_state, silent

Arrays = dict[str, NDArray[Any]]

BOOKKEEPING = "StructuredToParameterName@@"


def read_pdparams(data: bytes, *, source: str, key: str | None = None, note: Note = silent) -> Arrays:
    """Arrays in timm's names and layout, without Paddle's bookkeeping; `source`, `key`, `note` as in `find_state`.

    Raises `StorageError` when the bytes are damaged or hold anything but arrays, `InputError` for unknown names.
    """
    content = read_arrays(data, source=source)
    state = find_state(content, _is_array, source=source, key=key, note=note, ignored=BOOKKEEPING)
    return from_paddle(state)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def dump_pdparams(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The file that `paddle.load` reads, from arrays in timm's names; equal arrays give equal bytes."""
    data = pickle.dumps(to_paddle(arrays), protocol=2)
    # numpy 2 moved the function; every numpy finds it under the old name, the numpy of Paddle 2 only there. The name
    # is written out once, before the first array, and protocol 2 counts no bytes across it.
    return data.replace(b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n", 1)


def from_paddle(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Arrays in timm's names and layout (`members.K.` for `split_models.K.`). Raises `InputError` for other names."""
    return {_timm_name(name): _linear_transposed(name, array) for name, array in arrays.items()}


def to_paddle(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Arrays in Paddle's names and layout; Paddle has no `num_batches_tracked`, so it is left out."""
    kept = (name for name in arrays if not name.endswith(".num_batches_tracked"))
    return {_paddle_name(name): _linear_transposed(name, arrays[name]) for name in kept}


_STATISTICS = {"_mean": "running_mean", "_variance": "running_var"}
_MODULES = {
    "blocks.0.conv": "conv1",
    "blocks.0.bn": "bn1",
    **{
        f"blocks.{1 + sum(SLOTS[:stage]) + block}.{module}": f"layer{stage + 1}.{block}.{module}"
        for stage, slots in enumerate(SLOTS)
        for block in range(slots)
        for module in ("conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1")
    },
    f"blocks.{1 + sum(SLOTS)}.fc": "fc",
}
_PADDLE_MODULES = {ours: theirs for theirs, ours in _MODULES.items()}
_PADDLE_STATISTICS = {ours: theirs for theirs, ours in _STATISTICS.items()}


def _timm_name(name: str) -> str:
    member, module, tensor = _split_name(name, "split_models")
    if module not in _MODULES:
        raise InputError(
            f"the entry {name[:80]!r} is no name of the released ResNet-48, such as blocks.1.conv1.weight",
            hint="export the network's state dict itself, without a prefix (few-shot: split_models.K.)",
        )
    return (f"members.{member}." if member else "") + f"{_MODULES[module]}.{_STATISTICS.get(tensor, tensor)}"


def _paddle_name(name: str) -> str:
    member, module, tensor = _split_name(name, "members")
    if module not in _PADDLE_MODULES:
        raise InputError(f"{name!r} has no counterpart in the released ResNet-48, so it cannot be written as .pdparams")
    prefix = f"split_models.{member}." if member else ""
    return f"{prefix}{_PADDLE_MODULES[module]}.{_PADDLE_STATISTICS.get(tensor, tensor)}"


def _split_name(name: str, prefix: str) -> tuple[str, str, str]:
    """Member number (or nothing), module and tensor."""
    match = re.fullmatch(rf"(?:{prefix}\.(0|[1-9][0-9]*)\.)?(.+)\.([^.]+)", name)
    return (match[1] or "", match[2], match[3]) if match else ("", "", "")


def _linear_transposed(name: str, array: NDArray[Any]) -> NDArray[Any]:
    # Paddle keeps the linear weight as (in, out), torch as (out, in).
    return np.ascontiguousarray(array.T) if name.endswith("fc.weight") and array.ndim == 2 else array
