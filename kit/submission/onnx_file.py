"""ONNX files read without onnx: a strict reader of the few protobuf fields that the checks need. Nothing is executed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kit.errors import StorageError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT, INT64 = 1, 7
TYPES: dict[int, np.dtype[Any]] = {FLOAT: np.dtype("<f4"), INT64: np.dtype("<i8")}
MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
GRAPH, OPSET, METADATA, TRAINING, FUNCTIONS = 7, 8, 14, 20, 25
EXTERNAL = 1
MAX_VARINT_BYTES = 10
MAX_SMALL_BYTES = 1024**2

Field = tuple[int, int, Any]
Place = tuple[int, int]


@dataclass(frozen=True)
class Initializer:
    """A tensor stored in the graph; `place` is where its numbers lie, None for types that weights do not have."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    place: Place | None
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


def read_onnx(file: BinaryIO, size: int, source: str) -> OnnxFile:
    """Parse a model; its weights stay in the file. Raises `StorageError` for bytes that are no ONNX model, or hold more."""
    try:
        return _model(_Reader(file), (0, size))
    except (LookupError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise StorageError(f"{source} is no valid ONNX file: {error}"[:200]) from error


def read_numbers(file: BinaryIO, tensor: Initializer) -> NDArray[Any] | None:
    """The numbers of a tensor; None when it holds none of a type and count that weights have."""
    if tensor.place is None or tensor.dtype is None or tensor.external:
        return None
    start, end = tensor.place
    if end - start != prod(tensor.shape) * tensor.dtype.itemsize:
        return None
    file.seek(start)
    return np.frombuffer(file.read(end - start), tensor.dtype).reshape(tensor.shape)


class _Reader:
    """Messages that are too large for memory, read field by field; a field with bytes is a place in the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def fields(self, place: Place) -> Iterator[tuple[int, int, Any]]:
        at, end = place
        while at < end:
            self._file.seek(at)
            head = memoryview(self._file.read(min(2 * MAX_VARINT_BYTES, end - at)))
            key, used = _varint(head, 0)
            number, kind = key >> 3, key & 7
            value, used = _varint(head, used) if kind in (VARINT, BYTES) else ({FIXED32: 4, FIXED64: 8}[kind], used)
            if number == 0 or at + used + (0 if kind == VARINT else value) > end:
                raise ValueError("a field has no number, or ends after its message")
            at += used
            if kind == VARINT:
                yield number, kind, value
                continue
            yield number, kind, (at, at + value)
            at += value

    def load(self, place: Place) -> memoryview:
        """The bytes of a small field."""
        start, end = place
        if end - start > MAX_SMALL_BYTES:
            raise ValueError(f"it has a field of {end - start} bytes that is no tensor")
        self._file.seek(start)
        return memoryview(self._file.read(end - start))


def _model(reader: _Reader, place: Place) -> OnnxFile:
    model = OnnxFile()
    for number, kind, value in reader.fields(place):
        if number not in MODEL_FIELDS:
            raise ValueError(f"it has the unknown field {number}")
        if number == GRAPH and kind == BYTES:
            _graph(reader, value, model)
        elif number == METADATA:
            key, text = _pair(reader.load(value))
            model.repeated_metadata |= key in model.metadata
            model.metadata[key] = text
        elif number == OPSET:
            parts = {part: inner for part, _, inner in _fields(reader.load(value))}
            model.opsets[_string(parts.get(1, b""))] = int(parts.get(2, 0))
        elif number in (FUNCTIONS, TRAINING):
            model.has_functions = True
        elif kind == BYTES:
            model.texts.append(_string(reader.load(value)))
    if not model.initializers:
        raise ValueError("it has no graph with weights")
    return model


def _graph(reader: _Reader, place: Place, model: OnnxFile) -> None:
    for number, _, value in reader.fields(place):
        if number == 1:
            _node(reader.load(value), model)
        elif number == 5:
            model.initializers.append(_tensor(reader, value, model))
        elif number in (11, 12):
            name, shape = _value_info(reader.load(value), model)
            (model.inputs if number == 11 else model.outputs)[name] = shape
        elif number == 13:
            _value_info(reader.load(value), model)
        elif number in (2, 10):
            model.texts.append(_string(reader.load(value)))
        elif number == 16:
            model.texts += _pair(reader.load(value))
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
        if number in (5, 6, 10, 11, 22, 23):
            raise ValueError("a node holds a tensor or a graph of its own")
        if kind == BYTES and number in (1, 4, 9, 13, 21):
            model.texts.append(bytes(value).decode("utf-8", "replace"))


def _tensor(reader: _Reader, place: Place, model: OnnxFile) -> Initializer:
    shape: list[int] = []
    name, dtype, numbers, external = "", None, None, False
    for number, kind, value in reader.fields(place):
        if number == 1:
            shape += _varints(reader.load(value)) if kind == BYTES else [value]
        elif number == 2:
            dtype = TYPES.get(value)
        elif number == 8:
            name = _string(reader.load(value))
        elif number == 9:
            numbers = value
        elif number == 13 or (number == 14 and value == EXTERNAL):
            external = True
        elif number == 12:
            model.texts.append(_string(reader.load(value)))
        elif number == 16:
            model.texts += _pair(reader.load(value))
        elif number != 14:
            raise ValueError("a tensor does not hold its numbers as bytes")
    model.texts.append(name)
    return Initializer(name, tuple(shape), dtype, numbers, external)


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
