"""The challenge's JSON in and out: `{"arch1": {"acc": 0.7123, "arch": "1252..."}, ...}`, names and order kept."""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.errors import InputError, some
from kit.files import content_key, decode_text, storage_errors, write_bytes
from kit.randomness import derive_random
from kit.search_space import RESNET48, Architecture, InvalidArchitectureError, SearchSpace

GZIP_MAGIC = b"\x1f\x8b"
SHOWN = 3


@dataclass(frozen=True)
class Pool:
    """Named, distinct architectures in a fixed order, with an accuracy for each of them or for none.

    Raises `InputError` when it is empty, or when a name or a code occurs twice.
    """

    names: tuple[str, ...]
    architectures: tuple[Architecture, ...]
    accuracies: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("a pool needs at least one architecture")
        assert len(self.names) == len(self.architectures) == len(self.accuracies or self.names)
        if len(set(self.names)) < len(self.names):
            raise InputError(f"the name {_first_repeated(self.names)!r} occurs twice")
        if len(self._index) < len(self.names):
            code = _first_repeated(self.codes)
            same = [repr(name) for name, other in zip(self.names, self.codes, strict=True) if other == code]
            raise InputError(f"entries {' and '.join(same[:SHOWN])} are the same architecture {code}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, Architecture]]:
        return zip(self.names, self.architectures, strict=True)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(architecture.code for architecture in self.architectures)

    @property
    def scores(self) -> dict[str, float]:
        """Accuracies by code. Raises `InputError` if it has none."""
        if self.accuracies is None:
            raise InputError("the predictions hold no accuracies", hint="every entry needs 'acc'")
        return dict(zip(self.codes, self.accuracies, strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """Content key of names and codes in their order; accuracies do not change it."""
        return content_key([[name, architecture.code] for name, architecture in self])

    def subset(self, codes: Iterable[str]) -> "Pool":
        """The entries with these codes, in this pool's order. Raises `InputError` for a code that is not in the pool."""
        wanted = set(codes)
        if unknown := wanted - self._index.keys():
            raise InputError(f"not in the pool: {some(sorted(unknown), SHOWN)}")
        return self._take([index for code, index in self._index.items() if code in wanted])

    def head(self, limit: int) -> "Pool":
        """The first `limit` entries (all, if there are fewer)."""
        return self._take(list(range(min(limit, len(self)))))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {code: index for index, code in enumerate(self.codes)}

    def _take(self, indices: list[int]) -> "Pool":
        accuracies = None if self.accuracies is None else tuple(self.accuracies[i] for i in indices)
        return Pool(tuple(self.names[i] for i in indices), tuple(self.architectures[i] for i in indices), accuracies)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a challenge file whose code has not been parsed yet."""

    name: str
    code: str
    accuracy: float | None


def load_pool(path: str | Path, space: SearchSpace = RESNET48) -> Pool:
    """Read a challenge file, `.json` or `.json.gz`; entries without `acc` are allowed if none has one.

    Raises `InputError` naming the entry (and the digit) that is wrong, `StorageError` when the file cannot be read.
    """
    path = Path(path)
    entries = parse_entries(read_document(path), source=str(path))
    architectures = []
    for entry in entries:
        try:
            architectures.append(space.parse(entry.code))
        except InvalidArchitectureError as error:
            message = f"{path}: entry {entry.name!r}: {error}"
            raise InvalidArchitectureError(message, position=error.position, hint=error.hint) from error
    accuracies = tuple(entry.accuracy for entry in entries if entry.accuracy is not None)
    if accuracies and len(accuracies) < len(entries):
        without = next(entry.name for entry in entries if entry.accuracy is None)
        raise InputError(f"{path}: entry {without!r} has no 'acc', others have one", hint="give all entries one, or none")
    with _naming(path):
        return Pool(tuple(entry.name for entry in entries), tuple(architectures), accuracies or None)


def draw_pool(space: SearchSpace, size: int, seed: int) -> Pool:
    """`size` distinct architectures of `space`, named arch1..archN: a function of its arguments."""
    if not 1 <= size <= space.size:
        raise InputError(f"cannot draw {size} distinct architectures from a space of {space.size}")
    rng = derive_random("pool", seed)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < size:
        architecture = space.sample(rng)
        drawn.setdefault(architecture.code, architecture)
    return Pool(tuple(f"arch{number}" for number in range(1, size + 1)), tuple(drawn.values()))


def write_predictions(path: str | Path, pool: Pool, accuracies: Iterable[float] | Mapping[str, float]) -> None:
    """Write the challenge file: the pool's names and order, `acc` a fraction in full precision.

    `accuracies` are one per entry in the pool's order, or a mapping from codes, which may cover a part of the pool (then
    only that part is written). A path that ends with `.gz` is compressed. Raises `InputError` for anything but a fraction.
    """
    if isinstance(accuracies, Mapping):
        pool = pool.subset(accuracies)
        scored = [float(accuracies[code]) for code in pool.codes]
    else:
        scored = [float(accuracy) for accuracy in accuracies]
    _one_for_each(scored, pool)
    for name, accuracy in zip(pool.names, scored, strict=True):
        if not 0 <= accuracy <= 1:
            raise InputError(f"the accuracy of {name!r} is {accuracy}: expected a fraction in 0..1")
    write_scores(path, pool, scored)


def write_scores(path: str | Path, pool: Pool, scores: Sequence[float]) -> None:
    """Write the challenge file with any finite numbers as `acc`, one per entry in the pool's order; `.gz` is compressed."""
    path = Path(path)
    _one_for_each(scores, pool)
    rows = {
        name: {"acc": finite_number(score, f"the score of {name!r}"), "arch": code}
        for name, code, score in zip(pool.names, pool.codes, scores, strict=True)
    }
    data = json.dumps(rows, allow_nan=False).encode()
    # Without a time stamp, writing the same predictions twice gives the same bytes.
    write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _one_for_each(scores: Sequence[float], pool: Pool) -> None:
    if len(scores) != len(pool):
        raise InputError(f"{len(scores)} accuracies for a pool of {len(pool)} architectures")


def read_document(path: Path) -> Any:
    """A JSON value from a plain or gzip-compressed file; a repeated key or bad JSON is an `InputError`."""
    with storage_errors("read", path):
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            try:
                data = gzip.decompress(data)
            except (EOFError, zlib.error) as error:
                raise OSError(f"the gzip data is damaged ({error})") from error
    text = decode_text(data, source=str(path))
    try:
        with _naming(path):
            return json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def parse_entries(document: Any, *, source: str) -> list[Entry]:
    """The entries of a challenge document, types checked, codes not. `source` names it in the `InputError`."""
    if not isinstance(document, dict):
        raise InputError(
            f"{source}: expected an object of names and entries, found {_kind(document)}",
            hint='the format is {"arch1": {"acc": 0.7123, "arch": "1252..."}, ...}',
        )
    if not document:
        raise InputError(f"{source}: the pool is empty")
    return [_parse_entry(value, name, f"{source}: entry {name!r}") for name, value in document.items()]


def finite_number(value: Any, what: str) -> float:
    """`value` as a float. Raises `InputError` naming `what` if it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} must be a number, found {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{what} must be finite, found {number}")
    return number


def _parse_entry(value: Any, name: str, where: str) -> Entry:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be an object with 'acc' and 'arch', found {_kind(value)}")
    if "arch" not in value:
        raise InputError(f"{where} has no 'arch'")
    if unexpected := sorted(value.keys() - {"acc", "arch"}):
        raise InputError(f"{where} has an unexpected key {unexpected[0]!r}", hint="an entry holds 'acc' and 'arch' only")
    code = value["arch"]
    if not isinstance(code, str):
        raise InputError(f"{where}: 'arch' must be a string of 52 digits, found {_kind(code)}")
    accuracy = finite_number(value["acc"], f"{where}: 'acc'") if "acc" in value else None
    return Entry(name, code, accuracy)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise InputError(f"the key {_first_repeated([key for key, _ in pairs])!r} occurs twice in one object")
    return result


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}", hint=error.hint) from error


def _first_repeated(values: Iterable[str]) -> str:
    seen: set[str] = set()
    return next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
