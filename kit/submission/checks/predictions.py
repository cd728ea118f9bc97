"""Rules about the scores: the pool's names and codes, and accuracies that are counts of images."""

import math
from collections import Counter
from collections.abc import Iterator

from kit.errors import InputError
from kit.files import content_key
from kit.pool import Entry
from kit.submission import layout
from kit.submission.checks.contents import Submission
from kit.submission.checks.registry import Problem, rule

MAX_SHARE_ERROR = 0.9
MAX_SHARE_WARNING = 0.5
MIN_ENTRIES = 10


@rule("pool", "the pool is the one that the run scored, names and codes once each", layout.POOL)
def _pool(submission: Submission) -> Iterator[str]:
    entries = submission.pool
    for what, values in (("name", [entry.name for entry in entries]), ("code", [entry.code for entry in entries])):
        repeated = ((value, count) for value, count in Counter(values).items() if count > 1)
        yield from (f"the {what} {value[:60]!r} occurs {count} times" for value, count in repeated)
    fingerprint = content_key([[entry.name, entry.code] for entry in entries])
    if fingerprint != submission.resolved.pool_fingerprint:
        yield f"its fingerprint is {fingerprint}, the run noted {submission.resolved.pool_fingerprint}"


@rule("codes", "every code is an architecture of the profile's search space")
def _codes(submission: Submission) -> Iterator[Problem]:
    for file, entries in ((layout.POOL, submission.pool), (layout.SUBMISSION, submission.predictions)):
        for entry in entries:
            if entry.code not in submission.architectures:
                yield Problem(file, f"entry {entry.name[:60]!r}: {_why(submission, entry.code)}")


@rule("submission-pool", "submission.json has the pool's names and codes in the pool's order", layout.SUBMISSION)
def _submission_pool(submission: Submission) -> Iterator[str]:
    wanted, found = submission.pool, submission.predictions
    if len(wanted) != len(found):
        yield f"it has {len(found)} entries, the pool has {len(wanted)}"
    for number, (a, b) in enumerate(zip(wanted, found, strict=False), 1):
        if (a.name, a.code) != (b.name, b.code):
            yield f"entry {number} is {_show(b)}, the pool has {_show(a)} there"


@rule("accuracies", "every accuracy is a finite fraction and a whole number of images", layout.SUBMISSION)
def _accuracies(submission: Submission) -> Iterator[str]:
    images = {row.code: row.images for row in submission.evaluations}
    for entry in submission.predictions:
        if entry.accuracy is None or not math.isfinite(entry.accuracy) or not 0 <= entry.accuracy <= 1:
            yield f"entry {entry.name[:60]!r} has the accuracy {entry.accuracy}, expected 0..1"
        elif (count := images.get(entry.code)) is not None and round(entry.accuracy * count) / count != entry.accuracy:
            yield f"entry {entry.name[:60]!r}: {entry.accuracy} is no multiple of 1/{count}"


@rule("evaluations", "evaluations.jsonl counts correct predictions for the pool, in its order, on equally many images")
def _evaluations(submission: Submission) -> Iterator[Problem]:
    rows, wanted = submission.evaluations, submission.pool
    if len(rows) != len(wanted):
        yield Problem(layout.EVALUATIONS, f"it has {len(rows)} lines, the pool has {len(wanted)} entries")
    for number, (row, entry) in enumerate(zip(rows, wanted, strict=False), 1):
        if (row.name, row.code) != (entry.name, entry.code):
            yield Problem(
                layout.EVALUATIONS, f"line {number} is {row.name[:60]!r} {row.code}, the pool has {_show(entry)} there"
            )
        if row.correct > row.images:
            yield Problem(layout.EVALUATIONS, f"line {number} has {row.correct} correct of {row.images} images")
        if row.images != rows[0].images:
            yield Problem(layout.EVALUATIONS, f"line {number} has {row.images} images, the first line {rows[0].images}")


@rule("accuracies-match", "every accuracy is exactly correct / images of evaluations.jsonl", layout.SUBMISSION)
def _accuracies_match(submission: Submission) -> Iterator[str]:
    for entry in submission.predictions:
        counts = submission.counts.get(entry.code)
        if counts is None:
            yield f"entry {_show(entry)} was not evaluated"
        elif entry.accuracy != counts[0] / counts[1]:
            yield f"entry {entry.name[:60]!r} has {entry.accuracy}, evaluated were {counts[0]} of {counts[1]}"


@rule("constant-accuracies", "the accuracies tell architectures apart", layout.SUBMISSION)
def _constant_accuracies(submission: Submission) -> Iterator[str]:
    if (share := _largest_share(submission)) > MAX_SHARE_ERROR:
        yield f"{share:.0%} of the entries have the same accuracy"


@rule("few-accuracies", "no accuracy is shared by half of the entries", layout.SUBMISSION)
def _few_accuracies(submission: Submission) -> Iterator[str]:
    if MAX_SHARE_ERROR >= (share := _largest_share(submission)) > MAX_SHARE_WARNING:
        yield f"{share:.0%} of the entries have the same accuracy"


def _largest_share(submission: Submission) -> float:
    entries = submission.predictions
    if len(entries) < MIN_ENTRIES:
        return 0.0
    return Counter(entry.accuracy for entry in entries).most_common(1)[0][1] / len(entries)


def _why(submission: Submission, code: str) -> str:
    try:
        submission.space.parse(code)
    except InputError as error:
        return str(error)[:200]
    return "it is no code"


def _show(entry: Entry) -> str:
    return f"{entry.name[:60]!r} {entry.code[:60]}"
