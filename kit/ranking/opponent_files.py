"""Rankings that users bring, such as what `kit score` wrote: named challenge JSON files with a number for each code."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.pool import load_pool
from kit.ranking.opponents import LATENCY, OPPONENTS
from kit.search_space import SearchSpace

RESERVED = frozenset({LATENCY, *(each.name for each in OPPONENTS)})
"""Names of what kit counts itself."""


@dataclass(frozen=True)
class OpponentFile:
    """A named file."""

    name: str
    path: Path

    def read(self, space: SearchSpace) -> dict[str, float]:
        """What it says of every code. Raises `KitError`."""
        return load_pool(self.path, space).scores


def parse_opponent(text: str) -> OpponentFile:
    """The file that `NAME=FILE` names, which need not exist. Raises `InputError`."""
    name, separator, file = text.partition("=")
    if not (name and separator and file):
        raise InputError(f"opponent {text!r} is not NAME=FILE", hint="for instance zen=zen.json")
    if name in RESERVED:
        raise InputError(f"opponent {name}: kit counts that itself", hint="choose another name")
    return OpponentFile(name, Path(file))


def read_opponents(texts: Iterable[str], space: SearchSpace) -> dict[str, dict[str, float]]:
    """By the names in `NAME=FILE`: what each file says of every code. Raises `KitError`."""
    return {each.name: each.read(space) for each in map(parse_opponent, texts)}
