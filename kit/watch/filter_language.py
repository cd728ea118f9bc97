"""The language of filters: `acc > .7 and (macs < 2.5G or depths = 3 4 6 3) and not code ~ 77`.

A filter is parsed into a value, which then picks rows of a pool. Nothing typed is
ever executed. Every error names the place where it was noticed, in characters counted from 1.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.watch.pool_rows import Floats, PoolRows

Mask = NDArray[np.bool_]

NUMBERS = ("acc", "macs", "params", "depth", "stem", "latency", "true", "error", "cell", "front")
TEXTS = ("code", "name")
FIELDS = (*NUMBERS, "depths", *TEXTS)
ALIASES = {
    "accuracy": "acc",
    "multiply-adds": "macs",
    "parameters": "params",
    "truth": "true",
    "rank_error": "error",
    "ms": "latency",
}
STAGES = 4
ANY = -1
"""Stands for `*` among depths."""
DEEPEST = 60
"""Brackets and `not` inside each other: more is no filter, and Python's own stack is finite."""
SUFFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "%": 1e-2}
HELP = "acc > .7 and macs < 2.5G and depths = 3 4 * 3 and not code ~ 77"

_OPERATORS: dict[str, Callable[[Floats, float], Mask]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_JOINS = {"and": np.logical_and, "or": np.logical_or}
_SAME = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!=", "<>": "!="}
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<operator><=|>=|!=|==|<>|[=<>~≤≥≠])|(?P<bracket>[()])"""
    r"""|(?P<word>[^\s()=<>~!≤≥≠"',]+)|(?P<comma>,)|(?P<other>\S))"""
)
_NUMBER = re.compile(r"([+-]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([kKMGB%]?)")


class FilterError(InputError):
    """A filter that cannot be understood; `position` counts characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"at {position}: {message}")
        self.position = position


@dataclass(frozen=True)
class Number:
    """A row's number compared with a value; a row without one never matches."""

    field: str
    operator: str
    value: float

    def mask(self, rows: PoolRows) -> Mask:
        column = rows.numbers(self.field)
        return _OPERATORS[self.operator](column, self.value) & ~np.isnan(column)


@dataclass(frozen=True)
class Depths:
    """All four depths compared, stage by stage; `!=` is what `=` is not."""

    operator: str
    values: tuple[int, ...]

    def mask(self, rows: PoolRows) -> Mask:
        if self.operator == "!=":
            return ~Depths("=", self.values).mask(rows)
        table = rows.depths()
        kept = np.ones(len(rows), dtype=np.bool_)
        for stage, value in enumerate(self.values):
            if value != ANY:
                kept &= _OPERATORS[self.operator](table[:, stage].astype(np.float64), value)
        return kept


@dataclass(frozen=True)
class Text:
    """A text that equals a pattern with `*` and `?`, or (`~`) has it somewhere; capitals do not matter."""

    field: str
    operator: str
    pattern: str

    def mask(self, rows: PoolRows) -> Mask:
        texts = rows.texts(self.field)
        if self.operator == "~" and not {"*", "?"} & set(self.pattern):
            wanted = self.pattern.lower()
            return np.fromiter((wanted in text.lower() for text in texts), dtype=np.bool_, count=len(texts))
        pattern = f"*{self.pattern}*" if self.operator == "~" else self.pattern
        # `[` is no wildcard here: names may hold it.
        matches = re.compile(translate(pattern.replace("[", "[[]")), re.IGNORECASE).match
        found = np.fromiter((matches(text) is not None for text in texts), dtype=np.bool_, count=len(texts))
        return ~found if self.operator == "!=" else found


@dataclass(frozen=True)
class Not:
    """What does not match."""

    inner: "Filter"

    def mask(self, rows: PoolRows) -> Mask:
        return ~self.inner.mask(rows)


@dataclass(frozen=True)
class Joined:
    """What matches all parts (`and`), or at least one (`or`)."""

    word: str
    parts: tuple["Filter", ...]

    def mask(self, rows: PoolRows) -> Mask:
        kept: Mask = _JOINS[self.word].reduce([part.mask(rows) for part in self.parts])
        return kept


Filter = Number | Depths | Text | Not | Joined
"""A parsed filter: `mask(rows)` picks."""


def parse_filter(text: str) -> Filter | None:
    """The filter that `text` says; None for an empty one. Raises `FilterError`."""
    parser = _Parser(text)
    return None if parser.next.kind == "end" else parser.whole()


class _Token(NamedTuple):
    kind: str
    text: str
    """Of a quoted token with its quotes, so that it is never taken for another one."""
    position: int


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        assert kind is not None
        position = match.start(kind) + 1
        if kind == "other":
            wanted = "a closing quote is missing" if match[kind] in "\"'" else f"{match[kind]!r} has no meaning here"
            raise FilterError(wanted, position)
        if kind != "comma":
            yield _Token(kind, match[kind], position)
    yield _Token("end", "", len(text.rstrip()) + 1)


class _Parser:
    """Recursive descent: or, and, not, brackets, comparisons, in rising strength."""

    def __init__(self, text: str) -> None:
        self._tokens = iter(list(_tokens(text)))
        self.next = next(self._tokens)
        self._depth = 0

    def whole(self) -> Filter:
        result = self._either()
        if self.next.text == ")":
            self._refuse("there is no ( for this )")
        if self.next.kind != "end":
            self._refuse(f"expected 'and' or 'or', found {self.next.text!r}")
        return result

    def _either(self) -> Filter:
        return self._joined("or", self._both)

    def _both(self) -> Filter:
        return self._joined("and", self._single)

    def _joined(self, word: str, part: Callable[[], Filter]) -> Filter:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _single(self) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"more than {DEEPEST} brackets inside each other")
        opened = self.next.position
        if self._takes("not"):
            found: Filter = Not(self._single())
        elif self._takes("("):
            found = self._either()
            if not self._takes(")"):
                self._refuse(f"the ( at {opened} is not closed")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Filter:
        name = self.next.text.lower()
        field = ALIASES.get(name, name)
        if field not in FIELDS:
            found = f"found {self.next.text!r}" if name else "the filter ends here"
            self._refuse(f"expected one of {', '.join(FIELDS)}; {found}")
        self._take()
        if field == "front" and self.next.kind != "operator":
            return Number("front", "=", 1.0)
        allowed = ("=", "!=", "~") if field in TEXTS else tuple(_OPERATORS)
        operator = _SAME.get(self.next.text, self.next.text)
        self._expect(operator in allowed, f"{' '.join(allowed)} after {field}")
        if field == "depths":
            return Depths(operator, self._four_depths())
        if field in TEXTS:
            pattern = self._expect(self.next.kind in ("word", "quoted"), f"what {field} should hold")
            return Text(field, operator, pattern.text[1:-1] if pattern.kind == "quoted" else pattern.text)
        return Number(field, operator, self._number(field))

    def _number(self, field: str) -> float:
        match = _NUMBER.fullmatch(self.next.text)
        value = float(match[1]) * SUFFIXES.get(match[2], 1.0) if match else 0.0
        if not math.isfinite(value):
            self._refuse("this number is too large")
        self._expect(match is not None, f"a number to compare {field} with")
        return value

    def _four_depths(self) -> tuple[int, ...]:
        values: list[int] = []
        while (missing := STAGES - len(values)) > 0:
            digits = self.next.text
            # `3463` is as good as `3 4 6 3`.
            good = re.fullmatch(r"[\d*]+", digits, re.ASCII)
            if good and len(digits) > missing:
                self._refuse(f"depths are {STAGES} digits, one per stage")
            self._expect(good is not None, f"{missing} more depth{'s' if missing > 1 else ''} (or * for any)")
            values += [ANY if digit == "*" else int(digit) for digit in digits]
        return tuple(values)

    def _take(self) -> _Token:
        taken, self.next = self.next, next(self._tokens)
        return taken

    def _takes(self, word: str) -> bool:
        return self.next.text.lower() == word and bool(self._take())

    def _expect(self, good: bool, expected: str) -> _Token:
        """Take the next token. Refused unless it is `good`."""
        if not good:
            self._refuse(f"expected {expected}" + (f", found {self.next.text!r}" if self.next.text else ""))
        return self._take()

    def _refuse(self, message: str) -> NoReturn:
        raise FilterError(message, self.next.position)
