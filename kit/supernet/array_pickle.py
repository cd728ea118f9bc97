"""Pickles of name -> numpy array, read without running them.

A pickle is a program. `read_arrays` interprets the few instructions that a dict of arrays needs and knows eight names
by their text; it imports nothing and calls nothing that a file asks for, and builds arrays from checked numbers
(numpy's own `__setstate__` trusts its input, so it is not used). Everything else in a file is refused.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import StorageError

MAX_INSTRUCTIONS = 1_000_000  # five supernets take about 40,000; a bomb of empty dicts takes memory first
MAX_DIMENSIONS = 8
MAX_SIZE = 2**40
ELEMENT_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
ROW_MAJOR, COLUMN_MAJOR = "C", "F"


def read_arrays(data: bytes, *, source: str) -> dict[str, Any]:
    """A dict of arrays by name, with whatever plain values and dicts lie beside and around them; `source` names the file.

    Raises `StorageError` when the bytes are damaged or ask for anything but arrays (nothing of it is run).
    """
    try:
        value = _Interpreter().run(data)
    except _RefusedError as error:
        hint = "nothing of it was run; ask its author for arrays by name, or for a .safetensors file"
        raise StorageError(f"{source} is not a plain file of arrays: {error}", hint=hint) from error
    except (ValueError, LookupError) as error:
        # What truncated or garbled instructions and mismatched stacks raise.
        message = f"{source} is damaged or no such file of arrays: {error}"
        raise StorageError(message, hint="copy or download it again and compare its SHA-256") from error
    if not isinstance(value, dict):
        raise StorageError(f"{source} holds {_kind(value)}, expected arrays by name")
    return _finished(value, source)


def _finished(value: dict[str, Any], source: str) -> dict[str, Any]:
    """The dict, and every one inside it once, with arrays in place of their beginnings. Dicts may hold one another."""
    pending, seen, arrays = [value], {id(value)}, 0
    while pending:
        part = pending.pop()
        for name, item in part.items():
            if not _is_value(item):
                raise StorageError(f"{source}: the entry {name[:80]!r} is {_kind(item)}, expected an array")
            if isinstance(item, _Array):
                part[name] = item.value
                arrays += 1
            elif isinstance(item, dict) and id(item) not in seen:
                seen.add(id(item))
                pending.append(item)
    if value and not arrays:
        raise StorageError(f"{source} holds no arrays by name")
    return value


def _is_value(item: object) -> bool:
    """Whether an entry is a plain value or a whole array; arrays inside lists have no name, so they count as no value."""
    if isinstance(item, _Array):
        return item.value is not None
    inside = item if isinstance(item, list | tuple) else [item]
    return not any(isinstance(each, _Array | _Name | _Dtype) or each is _MARK for each in inside)


class _Name(Enum):
    RECONSTRUCT = auto()
    FROM_BUFFER = auto()
    NDARRAY = auto()
    DTYPE = auto()
    ENCODE = auto()
    ORDERED_DICT = auto()


_KNOWN_NAMES = {
    "numpy.core.multiarray._reconstruct": _Name.RECONSTRUCT,
    "numpy._core.multiarray._reconstruct": _Name.RECONSTRUCT,
    "numpy.core.numeric._frombuffer": _Name.FROM_BUFFER,
    "numpy._core.numeric._frombuffer": _Name.FROM_BUFFER,
    "numpy.ndarray": _Name.NDARRAY,
    "numpy.dtype": _Name.DTYPE,
    "_codecs.encode": _Name.ENCODE,
    "collections.OrderedDict": _Name.ORDERED_DICT,
}


class _RefusedError(Exception):
    """A well-formed instruction that files of arrays do not need."""


@dataclass(slots=True)
class _Dtype:
    code: str
    byte_order: str = "="

    def set_state(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, item size, alignment, flags): plain numbers have only an order.
        plain = isinstance(state, tuple) and len(state) >= 8 and state[2:8] == (None, None, None, -1, -1, 0)
        if not plain or state[1] not in ("<", ">", "=", "|"):
            raise _RefusedError("it describes array elements that are not plain numbers")
        self.byte_order = state[1]


@dataclass(slots=True)
class _Array:
    value: NDArray[Any] | None = None

    def set_state(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _RefusedError("it describes an array in an unknown way")
        _version, shape, dtype, column_major, raw = state
        self.value = _build_array(raw, dtype, shape, COLUMN_MAJOR if column_major is True else ROW_MAJOR)


def _build_array(raw: object, dtype: object, shape: Any, order: object) -> NDArray[Any]:
    """A row-major array of this machine's byte order, after checking that the numbers fit each other."""
    if isinstance(raw, str):  # Python 2's bytes
        raw = raw.encode("latin-1")
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise _RefusedError("it holds an array of Python objects")
    plausible = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS
    if not plausible or not all(type(size) is int and 0 < size < MAX_SIZE for size in shape):
        raise _RefusedError("it holds an array with an impossible shape")
    if order not in (ROW_MAJOR, COLUMN_MAJOR):
        raise _RefusedError("it holds an array of unknown memory order")
    stored = np.dtype(dtype.byte_order.replace("|", "=") + dtype.code)
    if math.prod(shape) * stored.itemsize != len(raw):
        raise ValueError(f"an array of {len(raw)} bytes claims the shape {shape}")
    flat = np.frombuffer(raw, stored).astype(stored.newbyteorder("="))
    return np.asarray(flat.reshape(shape, order="F" if order == COLUMN_MAJOR else "C"), order="C")


_MARK = object()
_Handler = Callable[["_Interpreter", Any], None]


class _Interpreter:
    """A stack machine for the pickle instructions that dicts of arrays consist of."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> object:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MAX_INSTRUCTIONS:
                raise _RefusedError(f"it has more than {MAX_INSTRUCTIONS} instructions")
            if instruction.name == "STOP":
                result: object = self.stack.pop()
                return result
            handler = _HANDLERS.get(instruction.name)
            if handler is None:
                raise _RefusedError(f"it uses the pickle instruction {instruction.name}, which arrays do not need")
            handler(self, argument)
        raise ValueError("it ends without a STOP instruction")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def push_name(self, name: str) -> None:
        if name not in _KNOWN_NAMES:
            raise _RefusedError(f"it asks for {name[:80]!r}")
        self.push(_KNOWN_NAMES[name])

    def stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push_name(f"{module}.{name}" if type(name) is type(module) is str else "a name that is not text")

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def push_tuple(self, length: int) -> None:
        items = [self.stack.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise _RefusedError("it puts entries into something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only text: hashing nested tuples can take forever.
            if type(key) is not str or key in target:
                raise _RefusedError("it has a dict key that is not text, or twice the same key")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise _RefusedError("it appends to something that is no list")
        target.extend(items)

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def new_dict(self) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.set_items(items)

    def call(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple):
            raise _RefusedError("it calls something without arguments")
        match (name, *arguments):
            case (_Name.RECONSTRUCT, _Name.NDARRAY, (0,), b"b" | "b"):
                self.push(_Array())
            case (_Name.FROM_BUFFER, raw, dtype, shape, order):
                self.push(_Array(_build_array(raw, dtype, shape, order)))
            case (_Name.DTYPE, str(code), *_) if code in ELEMENT_TYPES:
                self.push(_Dtype(code))
            case (_Name.ENCODE, str(text), "latin1"):
                self.push(text.encode("latin-1"))
            case (_Name.ORDERED_DICT,):
                self.push({})
            case _:
                raise _RefusedError("it calls something in a way that plain arrays of numbers do not need")

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, _Array | _Dtype):
            raise _RefusedError("it sets the state of something that is no array")
        target.set_state(state)


def _kind(value: object) -> str:
    if isinstance(value, _Array):
        return "an array without content"
    return "a name" if isinstance(value, _Name) else f"of type {type(value).__name__}"


_LITERALS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING UNICODE "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 FLOAT BINFLOAT"
)
_HANDLERS: dict[str, _Handler] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_MARK),
    **dict.fromkeys(_LITERALS.split(), lambda machine, argument: machine.push(argument)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.new_dict(),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, index: machine.remember(index)),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "GLOBAL": lambda machine, name: machine.push_name(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_name(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
