"""`kit submission check`: every rule runs over one typed submission and reports all that it finds; nothing is executed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kit.submission.archive import Archive
from kit.submission.checks import origin, predictions, structure, weights
from kit.submission.checks.contents import Submission
from kit.submission.checks.registry import Finding, Rule, select_rules

__all__ = ["CheckReport", "Finding", "check_archive"]

MODULES = (structure, predictions, weights, origin)  # imported, because importing registers their rules
MAX_FINDINGS = 20


@dataclass(frozen=True)
class CheckReport:
    """What every rule found; a rule that found nothing is there too, once."""

    checks: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule of level error found anything; warnings are for people."""
        return all(finding.ok or finding.level == "warning" for finding in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The document of `kit submission check --json`."""
        return {"ok": self.ok, "checks": [finding.to_json() for finding in self.checks]}


def check_archive(path: Path, *, skip: Collection[str] = (), rules: str | None = None) -> CheckReport:
    """Run all rules of a version (None: the newest) but the skipped ones over an archive.

    Raises `InputError` for an unknown id or version, `StorageError` for a file that is no archive or cannot be read.
    """
    chosen = select_rules(rules, skip)
    # A damaged file may hold any numbers; the rules judge results, and nobody wants numpy's warnings about them.
    with Archive(Path(path)) as archive, np.errstate(all="ignore"):
        submission = Submission(archive)
        return CheckReport(tuple(finding for rule in chosen for finding in _run(rule, submission)))


def _run(rule: Rule, submission: Submission) -> Iterator[Finding]:
    found = 0
    for found, problem in enumerate(islice(rule.problems(submission), MAX_FINDINGS + 1), 1):
        message = "and more" if found > MAX_FINDINGS else problem.message
        yield Finding(rule.id, rule.level, False, problem.file, message, rule.fix)
    if not found:
        yield Finding(rule.id, rule.level, True, "", rule.holds, rule.fix)
