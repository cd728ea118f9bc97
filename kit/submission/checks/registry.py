"""Rules by id and version: a rule looks at one submission and yields every problem it finds."""

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kit.errors import InputError
from kit.submission.checks.contents import Submission
from kit.submission.layout import RULES_VERSION

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: the member it is about (empty for the archive as a whole), and what is wrong with it."""

    file: str
    message: str


Check = Callable[[Submission], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check with a stable id; `holds` says what is true when it finds nothing, `fix` what to do when it does."""

    id: str
    level: Level
    holds: str
    fix: str
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report."""

    id: str
    level: Level
    ok: bool
    file: str
    message: str
    fix: str

    def to_json(self) -> dict[str, Any]:
        """The element of `checks` in `kit submission check --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


# From the container to what it says; within a module, as the rules are written there.
ORDER = ("structure", "predictions", "weights", "origin")
_RULES: dict[str, dict[str, Rule]] = {RULES_VERSION: {}}


def rule(
    name: str, holds: str, *, fix: str = "", level: Level = "error", versions: Collection[str] = (RULES_VERSION,)
) -> Callable[[Check], Check]:
    """Register a check; a changed rule is registered beside the old one, under a new version."""

    def register(check: Check) -> Check:
        for version in versions:
            assert name not in _RULES.setdefault(version, {}), f"two rules are named {name}"
            _RULES[version][name] = Rule(
                name, level, holds, fix or "build the archive again: `kit submission build RUN`", check
            )
        return check

    return register


def select_rules(version: str | None, skip: Collection[str]) -> list[Rule]:
    """The rules of a version without the skipped ones. Raises `InputError` for an unknown version or id."""
    version = version or RULES_VERSION
    if version not in _RULES:
        raise InputError(f"there are no rules {version!r}", hint=f"there are: {', '.join(sorted(_RULES))}")
    found = _RULES[version].values()
    rules = {each.id: each for each in sorted(found, key=lambda each: ORDER.index(each.check.__module__.rpartition(".")[2]))}
    for name in skip:
        if name not in rules:
            near = difflib.get_close_matches(name, rules, 1)
            hint = (f"did you mean {near[0]}? " if near else "") + f"there are: {', '.join(rules)}"
            raise InputError(f"there is no check {name!r} to skip", hint=hint)
    return [each for each in rules.values() if each.id not in set(skip)]
