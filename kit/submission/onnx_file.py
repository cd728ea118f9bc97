"""ONNX files as the checks see them: `onnx` parses all but the weights, which are read one by one. Nothing is executed."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from kit.errors import StorageError

INPUT, OUTPUT, BATCH = "images", "logits", "batch"  # what every graph of the kit has
DTYPES: dict[int, np.dtype[Any]] = {TensorProto.FLOAT: np.dtype("<f4"), TensorProto.INT64: np.dtype("<i8")}
VARINT, BYTES = 0, 2
FIXED = {1: 8, 5: 4}
MAX_VARINT_BYTES = 10
MAX_PART_BYTES = 1024**2
MAX_TENSORS, MAX_TENSOR_BYTES = 1000, 4096  # without the numbers
GRAPH_PARTS = {"node", "name", "doc_string", "input", "output", "value_info", "metadata_props"}
PLAIN_ATTRIBUTES = {"name", "type", "doc_string", "ref_attr_name", "f", "i", "s", "floats", "ints", "strings"}
TENSOR_PARTS = {"name", "dims", "data_type", "data_location", "external_data", "doc_string", "metadata_props"}

Place = tuple[int, int]
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Initializer:
    """A tensor stored in the graph; `place` is where its numbers lie in the file, None if it does not hold them as bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    place: Place | None
    external: bool


@dataclass(frozen=True)
class OnnxFile:
    """A model without its graph, the graph without its weights, and where those lie."""

    model: ModelProto
    graph: GraphProto
    initializers: tuple[Initializer, ...]
    texts: tuple[str, ...]
    """Every name, comment and note in the file, for the search for private words."""

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [(entry.key, entry.value) for entry in self.model.metadata_props]

    @property
    def inputs(self) -> dict[str, list[str | int]]:
        return {value.name: _shape(value) for value in self.graph.input}

    @property
    def outputs(self) -> dict[str, list[str | int]]:
        return {value.name: _shape(value) for value in self.graph.output}


def read_onnx(file: BinaryIO, size: int, source: str) -> OnnxFile:
    """Parse a model; its weights stay in the file. Raises `StorageError` for bytes that are no ONNX model, or hold more."""
    try:
        head, graphs = _split(file, (0, size), ModelProto.GRAPH_FIELD_NUMBER, MAX_PART_BYTES)
        if len(graphs) != 1:
            raise ValueError("it has no graph with weights")
        body, places = _split(file, graphs[0], GraphProto.INITIALIZER_FIELD_NUMBER, MAX_PART_BYTES)
        model, graph, tensors = _parse(ModelProto(), head), _parse(GraphProto(), body, GRAPH_PARTS), []
        for node in graph.node:
            for attribute in node.attribute:
                _require_parts(attribute, PLAIN_ATTRIBUTES)
        texts = [*_texts(model), *_texts(graph)]
        for place in places:
            facts, numbers = _split(file, place, TensorProto.RAW_DATA_FIELD_NUMBER, MAX_TENSOR_BYTES)
            tensor = _parse(TensorProto(), facts, TENSOR_PARTS)
            texts += _texts(tensor)
            external = bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL
            dtype, where = DTYPES.get(tensor.data_type), numbers[0] if len(numbers) == 1 else None
            tensors.append(Initializer(tensor.name, tuple(tensor.dims), dtype, where, external))
    except (DecodeError, LookupError, ValueError) as error:
        raise StorageError(f"{source} is no valid ONNX file: {error}"[:200]) from error
    if not tensors:
        raise StorageError(f"{source} is no valid ONNX file: it has no graph with weights")
    return OnnxFile(model, graph, tuple(tensors), tuple(texts))


def read_numbers(file: BinaryIO, tensor: Initializer) -> NDArray[Any] | None:
    """The numbers of a tensor; None when it holds none of a type and count that weights have."""
    if tensor.place is None or tensor.dtype is None or tensor.external:
        return None
    start, end = tensor.place
    if end - start != prod(tensor.shape) * tensor.dtype.itemsize:
        return None
    file.seek(start)
    return np.frombuffer(file.read(end - start), tensor.dtype).reshape(tensor.shape)


def _split(file: BinaryIO, place: Place, number: int, limit: int) -> tuple[bytes, list[Place]]:
    """A message without its fields of one number, which are too large for memory, and where the contents of those lie."""
    rest, places = bytearray(), list[Place]()
    at, end = place
    while at < end:
        file.seek(at)
        head = file.read(min(2 * MAX_VARINT_BYTES, end - at))
        key, used = _varint(head, 0)
        value, used = _varint(head, used) if key & 7 in (VARINT, BYTES) else (FIXED[key & 7], used)
        stop = at + used + (0 if key & 7 == VARINT else value)
        if stop > end:
            raise ValueError("a field ends after its message")
        if key == number << 3 | BYTES:
            places.append((at + used, stop))
        elif len(rest) + stop - at > limit:
            raise ValueError(f"it has more than {limit} bytes besides its weights")
        else:
            file.seek(at)
            rest += file.read(stop - at)
        if len(places) > MAX_TENSORS:
            raise ValueError(f"it has more than {MAX_TENSORS} tensors")
        at = stop
    return bytes(rest), places


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        byte = data[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    raise ValueError("a number has too many bytes")


def _parse(message: M, data: bytes, parts: set[str] | None = None) -> M:
    message.ParseFromString(data)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise ValueError("it has fields that ONNX does not have")
    if parts is not None:
        _require_parts(message, parts)
    return message


def _require_parts(message: Message, parts: set[str]) -> None:
    others = {field.name for field, _ in message.ListFields()} - parts
    if others:
        raise ValueError(f"{type(message).__name__} has {', '.join(sorted(others))}, which this network does not need")


def _texts(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        for each in [value] if isinstance(value, str | bytes | int | float | Message) else value:
            if isinstance(each, Message):
                yield from _texts(each)
            elif isinstance(each, bytes) and field.type == field.TYPE_STRING:  # what protobuf gives for other encodings
                raise ValueError(f"its {field.name} is no UTF-8")
            elif isinstance(each, str | bytes):
                yield each if isinstance(each, str) else each.decode("utf-8", "replace")


def _shape(value: ValueInfoProto) -> list[str | int]:
    dimensions = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dimensions]
