"""Rules by id and version: a rule looks at one submission and yields every problem it finds."""

import difflib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from kit.errors import InputError, KitError
from kit.submission.checks.contents import Submission
from kit.submission.layout import RULES_VERSION

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: the member it is about (empty for the archive as a whole), and what is wrong with it."""

    file: str
    message: str


Check = Callable[[Submission], Iterator[Problem | str]]
"""Yields problems, or the message alone where it is about the rule's own file."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A check with a stable id; `holds` says what is true when it finds nothing, `fix` what to do when it does."""

    id: str
    level: Level
    file: str
    holds: str
    fix: str
    check: Check

    def problems(self, submission: Submission) -> Iterator[Problem]:
        """What it finds; that it cannot be judged is a finding, too."""
        try:
            for found in self.check(submission):
                yield Problem(self.file, found) if isinstance(found, str) else found
        except KitError as error:
            # What a rule needs is absent or damaged: another rule says so, but this one has not passed either.
            yield Problem("", f"cannot be judged: {error}"[:400])


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


TOLERANCE = 1e-9
# From the container to what it says; within a module, as the rules are written there.
ORDER = ("structure", "predictions", "weights", "origin")
WARNINGS = {"few-accuracies", "rank-truth", "figures-version", "several-supernets", "kit-version"}
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
    "run the recipe with this version of kit, which compares with a truth only where it fits": "rank-truth",
    "train and score without the truth, then build again": "no-truth",
    "tell the organisers, whose rules ask for one supernet": "several-supernets",
    "check it with the version that built it, too": "kit-version",
}
"""What to do where that is not the usual thing, with the ids of the rules."""
_FIX_OF = {name: fix for fix, names in FIXES.items() for name in names.split()}
_RULES: dict[str, Rule] = {}


def rule(name: str, holds: str, file: str = "") -> Callable[[Check], Check]:
    """Register a check under its id, with what is true when it finds nothing, and the file that it is about."""

    def register(check: Check) -> Check:
        assert name not in _RULES, f"two rules are named {name}"
        level: Level = "warning" if name in WARNINGS else "error"
        _RULES[name] = Rule(name, level, file, holds, _FIX_OF.get(name, USUAL_FIX), check)
        return check

    return register


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Where two JSON values differ, and how. Floats may differ by rounding."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            path = f"{where}.{key}" if where else str(key)
            if key in found and key in wanted:
                yield from differences(found[key], wanted[key], path)
            else:
                yield f"{path[:80]} is {'missing' if key in wanted else 'unexpected'}"
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(one, other, f"{where}.{place}")
    elif type(found) is not type(wanted) or (found != wanted and not (type(found) is float and _is_close(found, wanted))):
        yield f"{where[:80]} is {str(found)[:60]}, expected {str(wanted)[:60]}"


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


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
