"""`kit evaluate --top K`: all architectures on few images, those that may be among the best on more, until these are known.

Every round is scored like a pool of its own, on a window of the images, so what it did is found again by its key.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kit.correlation.elimination import Bools, Elimination
from kit.evaluation import Evaluator
from kit.evaluation.kept_statistics import KeptStatistics
from kit.events import EvaluationFinished, Event, Note, SubnetEvaluated
from kit.files import content_key, storage_errors, write_json
from kit.pipeline.scoring import ScoringJob, score_missing
from kit.pool import write_predictions
from kit.results import KEY_LENGTH
from kit.search_space import Architecture

ANSWERS = "answers.jsonl"
"""Scores on parts of the images, with the answer to each: a file of its own, so that nobody takes them for whole scores."""
TOP_SUFFIX = ".top.json"
"""Beside the predictions: the best K, and on how many images each accuracy is."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """`subnets` sub-networks had seen `images` images each in the end, and `dropped` of them are not among the best."""

    images: int
    subnets: int
    dropped: int
    image_passes: int
    """Images through sub-networks in this round, each by itself: of calibration, and the validation images that were new."""


class TopSweep:
    """Finds the best of a pool on all images; `job` is the full sweep, of which only a part is done."""

    def __init__(self, job: ScoringJob, elimination: Elimination) -> None:
        evaluator = job.evaluator
        self.elimination = elimination
        self.key = content_key([evaluator.key, job.pool.fingerprint, asdict(elimination)])
        name = f"{job.predictions.stem}-top{elimination.k}-{self.key[:6]}.json"
        self.job = replace(job, results=job.results.with_name(ANSWERS), predictions=job.predictions.with_name(name))
        self.windows = list(zip((0, *elimination.ends), elimination.ends, strict=False))
        self.rounds: list[Round] = []
        self._now: list[tuple[ScoringJob, set[Architecture]]] = []
        """Of each round that began: the open part of the pool on the images that were new, and who was scored just now."""
        self._statistics = self.job.results.with_name(f"statistics-{evaluator.key[:KEY_LENGTH]}")
        self._answers: dict[str, Bools] = dict.fromkeys(job.pool.codes, np.zeros(0, dtype=np.bool_))
        self._open = list(job.pool.codes)

    def execute(self, should_stop: Callable[[], bool], *, fresh: bool = False) -> Iterator[Event]:
        """Score what decides, then write the predictions; ends early, results kept, on a stop."""
        group = self.job.group
        if fresh and group.is_first:
            self._forget()
        for window in self.windows:
            job = replace(self.job, evaluator=self._on(window), pool=self.job.pool.subset(self._open))
            yield from self._score(job, should_stop, fresh=fresh and window[0] == 0)
            if group.any(should_stop()):
                return
            group.barrier()  # nobody writes results any more
            if group.is_first:
                yield Note(message=self._decide(job, window))
            self._open = group.share(self._open)
            if len(self._open) <= self.elimination.k:
                break
        if group.is_first:
            predictions, pool = self.job.predictions, self.job.pool
            write_predictions(predictions, pool, {code: float(right.mean()) for code, right in self._answers.items()})
            images = {code: len(right) for code, right in self._answers.items()}
            write_json(predictions.with_suffix(TOP_SUFFIX), {**self.document(), "images": images})
            self._forget()
            yield EvaluationFinished(subnets=len(pool), predictions=str(predictions))

    def report(self, seconds: float) -> dict[str, Any]:
        """What `--json` says of a finished sweep in which this start of the command took `seconds`."""
        passes = sum(len(scored) * job.evaluator.images_per_subnet for job, scored in self._now)
        return {
            "scored_now": len(set().union(*(scored for _, scored in self._now))),
            "images_per_second": passes / seconds,
            "macs_done": sum(job.macs_done(scored) for job, scored in self._now),
            "idle_share": sum(job.evaluator.waited for job, _ in self._now) / seconds,
            "top": self.document(),
        }

    def document(self) -> dict[str, Any]:
        """The best K and how they were found; only the first process knows it, once the sweep is finished."""
        evaluator, pool = self.job.evaluator, self.job.pool
        best = sorted(self._open, key=lambda code: -self._answers[code].mean())
        names = dict(zip(pool.codes, pool.names, strict=True))
        return {
            "k": self.elimination.k,
            "confidence": self.elimination.confidence,
            "settled": len(self._open) == self.elimination.k,
            "codes": best,
            "best": [
                {
                    "name": names[code],
                    "code": code,
                    "accuracy": float(self._answers[code].mean()),
                    "images": len(self._answers[code]),
                }
                for code in best
            ],
            "image_passes": sum(each.image_passes for each in self.rounds),
            "full_image_passes": len(pool) * evaluator.images_per_subnet,
            "rounds": [asdict(each) for each in self.rounds],
        }

    @property
    def first_key(self) -> str:
        """The key of the scores of the first round, which every architecture has."""
        return self._on(self.windows[0]).key

    def _on(self, window: tuple[int, int]) -> Evaluator:
        return replace(self.job.evaluator, window=window, kept=KeptStatistics(self._statistics))

    def _forget(self) -> None:
        """Remove the statistics, which are needed on the way only: whom another K takes further is calibrated once more."""
        with storage_errors("remove", self._statistics), suppress(FileNotFoundError):
            shutil.rmtree(self._statistics)

    def _score(self, job: ScoringJob, should_stop: Callable[[], bool], *, fresh: bool) -> Iterator[Event]:
        by_code = dict(zip(job.pool.codes, job.pool.architectures, strict=True))
        scored: set[Architecture] = set()
        self._now.append((job, scored))
        for event in score_missing(job, should_stop, fresh=fresh):
            if isinstance(event, SubnetEvaluated):
                scored.add(by_code[event.code])
            yield event

    def _decide(self, job: ScoringJob, window: tuple[int, int]) -> str:
        """Take in the answers of a round, and drop whom they rule out; returns what is to be said of it."""
        found = _read(job, window[1] - window[0])
        for code in self._open:
            self._answers[code] = np.concatenate([self._answers[code], found[code]])
        kept = self.elimination.open(np.stack([self._answers[code] for code in self._open]))
        subnets = len(self._open)
        self._open = [code for code, is_open in zip(self._open, kept, strict=True) if is_open]
        left = len(self._open)
        self.rounds.append(
            Round(
                images=window[1],
                subnets=subnets,
                dropped=subnets - left,
                image_passes=subnets * job.evaluator.images_per_subnet,
            )
        )
        told = f"round {len(self.rounds)}: {subnets:,} sub-networks on {window[1]:,} of {self.elimination.images:,} images"
        return f"{told}, {left:,} may be among the best {self.elimination.k:,}"


def _read(job: ScoringJob, images: int) -> dict[str, Bools]:
    """Which of a round's images each architecture has right, shape (images,), by code."""
    job.results_file.merge()
    packed = job.results_file.read_answers()
    return {code: _unpack(packed[code], images) for code in job.pool.codes}


def _unpack(packed: bytes, images: int) -> Bools:
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=images).astype(np.bool_)
