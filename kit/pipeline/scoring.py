"""Calibrating and scoring a pool with a supernet's weights, resumable sub-network by sub-network."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kit.data import Data, normalize
from kit.evaluation import EvaluationImages, ResultsFile, Score, evaluate_architectures, evaluate_prefix_tree, units
from kit.events import EvaluationFinished, EvaluationStarted, Event, SubnetEvaluated
from kit.files import content_key
from kit.pool import Pool, write_predictions
from kit.recipe import Profile
from kit.search_space import Architecture, macs
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.prefix import grow, tree_macs
from kit.training.trainer import Hardware

Method = Literal["tree", "one-by-one"]


@dataclass(frozen=True, kw_only=True)
class ScoringJob:
    """A pool to score, with what, and where the results go."""

    supernet: ElasticResNet | FewShotSupernet
    weights_sha256: str
    data: Data
    profile: Profile
    hardware: Hardware
    pool: Pool
    seed: int
    results: Path
    predictions: Path
    method: Method = "tree"

    @property
    def key(self) -> str:
        """What a result depends on besides the architecture; results of another key are not reused."""
        profile = self.profile
        return content_key(
            {
                "weights": self.weights_sha256,
                "data": self.data.fingerprint,
                "images": [profile.resolution, profile.images.augmentation],
                "calibration": profile.calibration.model_dump(mode="json"),
                "precision": profile.training.precision,
                "seed": self.seed,
                "method": self.method,
            }
        )

    @property
    def calibration_images(self) -> int:
        return self.profile.calibration.batches * self.profile.calibration.batch_size

    def missing(self, results: Collection[str]) -> list[Architecture]:
        """What is still to be scored: a subtree with any gap whole, so that a resumed sweep rounds as an undisturbed one."""
        architectures = self.pool.architectures
        if self.method == "tree":
            gaps = [unit for _, unit in units(self.supernet, architectures) if any(a.code not in results for a in unit)]
            return [architecture for unit in gaps for architecture in unit]
        return [architecture for architecture in architectures if architecture.code not in results]

    def macs_one_by_one(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds of calibrating and scoring each of these sub-networks by itself."""
        return self._images * sum(macs(architecture, **self._scale) for architecture in architectures)

    def macs_done(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds that the job's method needs for these sub-networks."""
        if self.method == "one-by-one":
            return self.macs_one_by_one(architectures)
        return self._images * sum(
            tree_macs(grow(enumerate(unit)), **self._scale) for _, unit in units(self.supernet, architectures)
        )

    @property
    def _images(self) -> int:
        return self.calibration_images + self.data.val_size

    @property
    def _scale(self) -> dict[str, Any]:
        profile = self.profile
        return {
            "space": profile.search_space,
            "resolution": profile.resolution,
            "num_classes": self.data.num_classes,
        }


def score_pool(job: ScoringJob, should_stop: Callable[[], bool], *, fresh: bool = False) -> Iterator[Event]:
    """Score what has no result yet, then write the predictions; ends early, results kept, on a stop."""
    results_file = ResultsFile(job.results, job.key)
    if fresh:
        job.results.unlink(missing_ok=True)
    results = results_file.read()
    missing = job.missing(results)
    done = len(job.pool) - len(missing)
    yield EvaluationStarted(
        subnets=len(job.pool), done=done, images=job.data.val_size, calibration_images=job.calibration_images
    )
    if missing:
        with results_file.appending() as writer:
            started = time.perf_counter()
            for scores in _score(job, missing):
                seconds, started = (time.perf_counter() - started) / len(scores), time.perf_counter()
                for score in scores:
                    writer.append(score)
                    done += 1
                    results[score.architecture.code] = (score.correct, score.images)
                    yield SubnetEvaluated(
                        code=score.architecture.code,
                        correct=score.correct,
                        images=score.images,
                        done=done,
                        subnets=len(job.pool),
                        seconds=seconds,
                    )
                if should_stop() and done < len(job.pool):
                    return
    accuracies = {code: correct / images for code, (correct, images) in results.items()}
    write_predictions(job.predictions, job.pool, [accuracies[code] for code in job.pool.codes])
    yield EvaluationFinished(subnets=len(job.pool), predictions=str(job.predictions))


def _score(job: ScoringJob, missing: list[Architecture]) -> Iterator[list[Score]]:
    """Scores in the portions in which the method produces them."""
    supernet = job.supernet.to(job.hardware.device).eval()
    images = evaluation_images(job)
    if job.method == "tree":
        return evaluate_prefix_tree(supernet, missing, images)
    return ([score] for score in evaluate_architectures(supernet, missing, images))


def evaluation_images(job: ScoringJob) -> EvaluationImages:
    """The batches that every sub-network of the job sees, drawn once."""
    calibration = job.profile.calibration
    hardware = job.hardware
    return EvaluationImages(
        calibration=job.data.calibration_batches(
            seed=job.seed, batch_size=calibration.batch_size, batches=calibration.batches
        ),
        validation=job.data.val_batches(batch_size=job.profile.evaluation.batch_size),
        prepare=lambda images: normalize(images, job.data, device=hardware.device, channels_last=hardware.channels_last),
        statistics=calibration.statistics,
        autocast=hardware.autocast,
    )
