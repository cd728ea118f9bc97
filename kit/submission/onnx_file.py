"""ONNX files read without onnx: a strict reader of the few protobuf fields that the checks need. Nothing is executed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import StorageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT, INT64 = 1, 7
TYPES: dict[int, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), INT64: np.dtype("<i8")}
MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
GRAPH, METADATA, DOC, FUNCTIONS, TRAINING = 7, 14, 6, 25, 20
EXTERNAL = 1
MAX_VARINT_BYTES = 10

Field = tuple[int, int, Any]


@dataclass(frozen=True)
class Initializer:
    """A tensor stored in the graph; `data` is None for types that weights do not have."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any] | None
    external: bool


@dataclass
class OnnxFile:
    """What the checks look at."""

    metadata: dict[str, str] = field(default_factory=dict)
    repeated_metadata: bool = False
    initializers: list[Initializer] = field(default_factory=list)
    inputs: dict[str, list[str | int]] = field(default_factory=dict)
    outputs: dict[str, list[str | int]] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    """Every name, comment and note in the file, for the search for private words."""
    has_functions: bool = False


def read_onnx(data: bytes, source: str) -> OnnxFile:
    """Parse a model. Raises `StorageError` for bytes that are no ONNX model or hold fields that none has."""
    try:
        return _model(memoryview(data))
    except (IndexError, ValueError, TypeError, OverflowError) as error:
        raise StorageError(f"{source} is no valid ONNX file: {error}") from error


def _model(data: memoryview) -> OnnxFile:
    model = OnnxFile()
    for number, kind, value in _fields(data):
        if number not in MODEL_FIELDS:
            raise ValueError(f"it has the unknown field {number}")
        if number == GRAPH and kind == BYTES:
            _graph(value, model)
        elif number == METADATA:
            key, text = _pair(value)
            model.repeated_metadata |= key in model.metadata
            model.metadata[key] = text
        elif number == 8:
            parts = {part: inner for part, _, inner in _fields(value)}
            model.opsets[_string(parts.get(1, b""))] = int(parts.get(2, 0))
        elif number in (FUNCTIONS, TRAINING):
            model.has_functions = True
        elif kind == BYTES:
            model.texts.append(_string(value))
    if not model.initializers:
        raise ValueError("it has no graph with weights")
    return model


def _graph(data: memoryview, model: OnnxFile) -> None:
    for number, _, value in _fields(data):
        if number == 1:
            _node(value, model)
        elif number == 5:
            model.initializers.append(_tensor(value, model))
        elif number in (11, 12):
            name, shape = _value_info(value, model)
            (model.inputs if number == 11 else model.outputs)[name] = shape
        elif number == 13:
            _value_info(value, model)
        elif number in (2, 10):
            model.texts.append(_string(value))
        elif number == 16:
            model.texts += _pair(value)
        else:
            raise ValueError(f"its graph has the unexpected field {number}")


def _node(data: memoryview, model: OnnxFile) -> None:
    for number, _, value in _fields(data):
        if number in (1, 2, 3, 6, 8):
            model.texts.append(_string(value))
        elif number == 4:
            model.operators.add(_string(value))
        elif number == 7:
            model.domains.add(_string(value))
        elif number == 5:
            _attribute(value, model)
        elif number == 9:
            model.texts += _pair(value)
        else:
            raise ValueError(f"a node has the unexpected field {number}")


def _attribute(data: memoryview, model: OnnxFile) -> None:
    for number, kind, value in _fields(data):
        if number == 5:
            model.initializers.append(_tensor(value, model))
        elif number in (6, 11):
            raise ValueError("a node holds a graph of its own")
        elif kind == BYTES and number in (1, 4, 9, 13, 21):
            model.texts.append(bytes(value).decode("utf-8", "replace"))


def _tensor(data: memoryview, model: OnnxFile) -> Initializer:
    shape: list[int] = []
    parts: dict[int, Any] = {}
    external = False
    for number, kind, value in _fields(data):
        if number == 1:
            shape += _varints(value) if kind == BYTES else [value]
        elif number == 13 or (number == 14 and value == EXTERNAL):
            external = True
        elif number in (8, 12):
            model.texts.append(_string(value))
            parts[number] = value
        elif number == 16:
            model.texts += _pair(value)
        else:
            parts[number] = value
    dtype = TYPES.get(parts.get(2, 0))
    raw = parts.get(9, parts.get(4) if dtype == TYPES[FLOAT] else None)
    array = None
    if dtype is not None and isinstance(raw, memoryview) and not external:
        array = np.frombuffer(raw, dtype).reshape(shape)
    return Initializer(_string(parts.get(8, b"")), tuple(shape), array, external)


def _value_info(data: memoryview, model: OnnxFile) -> tuple[str, list[str | int]]:
    name, shape = "", list[str | int]()
    for number, _, value in _fields(data):
        if number == 1:
            name = _string(value)
        elif number == 2:
            shape = _dimensions(value)
        elif number == 3:
            model.texts.append(_string(value))
        elif number == 4:
            model.texts += _pair(value)
    model.texts.append(name)
    return name, shape


def _dimensions(data: memoryview) -> list[str | int]:
    tensor = next((value for number, _, value in _fields(data) if number == 1), memoryview(b""))
    shape = next((value for number, _, value in _fields(tensor) if number == 2), memoryview(b""))
    result: list[str | int] = []
    for _, _, dimension in _fields(shape):
        size: str | int = "?"
        for number, _, value in _fields(dimension):
            size = value if number == 1 else _string(value) if number == 2 else size
        result.append(size)
    return result


def _pair(data: memoryview) -> tuple[str, str]:
    parts = {number: value for number, _, value in _fields(data)}
    return _string(parts.get(1, b"")), _string(parts.get(2, b""))


def _fields(data: memoryview) -> Iterator[Field]:
    """Number, wire type and value of every field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field has the wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field ends after its message")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        byte = data[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    raise ValueError("a number has too many bytes")


def _varints(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _string(value: memoryview | bytes) -> str:
    return bytes(value).decode("utf-8")
