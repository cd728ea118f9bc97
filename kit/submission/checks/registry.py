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
WARNINGS = {"few-accuracies", "figures-version", "several-supernets", "kit-version"}
USUAL_FIX = "build the archive again: `kit submission build RUN`"
FIXES = {
    "pack it with `kit submission build`, not by hand": "archive-format",
    "do not unpack it; ask for another one": "archive-safety",
    "leave out what `kit submission build` did not put in": "unexpected-files",
    "the archive is damaged or was changed: fetch it again": "manifest-hashes sha256sums",
    "leave the file out; weights are .safetensors": "no-pickles",
    "build the archive again: `build` leaves them out of what runs record": "private-data",
    "see `kit architecture CODE` for what is wrong with a code": "codes",
    "score the pool again (`kit evaluate RUN`) and build the archive from that; do not edit scores": (
        "submission-pool accuracies evaluations accuracies-match constant-accuracies"
    ),
    "use more validation images, or train longer": "few-accuracies",
    "build the archive from the run that these weights are of": "weights-hash",
    "remove the run's `exports` folder and build the archive again": "calibrated-weights onnx-index onnx-files",
    "check it with the version of matplotlib that drew them, too": "figures-version",
    "train and score without the truth, then build again": "no-truth",
    "tell the organisers, whose rules ask for one supernet": "several-supernets",
    "check it with the version that built it, too": "kit-version",
}
"""What to do where that is not the usual thing, with the ids of the rules."""
_FIX_OF = {name: fix for fix, names in FIXES.items() for name in names.split()}
_RULES: dict[str, Rule] = {}


def rule(name: str, holds: str) -> Callable[[Check], Check]:
    """Register a check under its id, with what is true when it finds nothing."""

    def register(check: Check) -> Check:
        assert name not in _RULES, f"two rules are named {name}"
        level: Level = "warning" if name in WARNINGS else "error"
        _RULES[name] = Rule(name, level, holds, _FIX_OF.get(name, USUAL_FIX), check)
        return check

    return register


def select_rules(version: str | None, skip: Collection[str]) -> list[Rule]:
    """The rules of a version without the skipped ones. Raises `InputError` for an unknown version or id."""
    if version not in (None, RULES_VERSION):
        raise InputError(f"there are no rules {version!r}", hint=f"there are: {RULES_VERSION}")
    rules = dict(sorted(_RULES.items(), key=lambda item: ORDER.index(item[1].check.__module__.rpartition(".")[2])))
    for name in skip:
        if name not in rules:
            near = difflib.get_close_matches(name, rules, 1)
            hint = (f"did you mean {near[0]}? " if near else "") + f"there are: {', '.join(rules)}"
            raise InputError(f"there is no check {name!r} to skip", hint=hint)
    return [each for each in rules.values() if each.id not in set(skip)]
