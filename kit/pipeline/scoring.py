"""Calibrating and scoring a pool with a supernet's weights, resumable sub-network by sub-network."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.data import Data, normalize
from kit.evaluation import EvaluationImages, ResultsFile, evaluate_architectures
from kit.events import EvaluationFinished, EvaluationStarted, Event, SubnetEvaluated
from kit.files import content_key
from kit.pool import Pool, write_predictions
from kit.recipe import Profile
from kit.search_space import macs
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.training.trainer import Hardware


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
            }
        )

    @property
    def calibration_images(self) -> int:
        return self.profile.calibration.batches * self.profile.calibration.batch_size

    def macs_one_by_one(self, codes: Iterable[str]) -> int:
        """Multiply-adds of calibrating and scoring each of these sub-networks by itself."""
        profile = self.profile
        images = self.calibration_images + self.data.val_size
        return images * sum(
            macs(
                profile.search_space.parse(code),
                space=profile.search_space,
                resolution=profile.resolution,
                num_classes=self.data.num_classes,
            )
            for code in codes
        )


def score_pool(job: ScoringJob, should_stop: Callable[[], bool], *, fresh: bool = False) -> Iterator[Event]:
    """Score what has no result yet, then write the predictions; ends early, results kept, on a stop."""
    results_file = ResultsFile(job.results, job.key)
    if fresh:
        job.results.unlink(missing_ok=True)
    results = results_file.read()
    missing = [architecture for architecture in job.pool.architectures if architecture.code not in results]
    yield EvaluationStarted(
        subnets=len(job.pool),
        done=len(job.pool) - len(missing),
        images=job.data.val_size,
        calibration_images=job.calibration_images,
    )
    if missing:
        supernet = job.supernet.to(job.hardware.device).eval()
        done = len(job.pool) - len(missing)
        with results_file.appending() as writer:
            started = time.perf_counter()
            for score in evaluate_architectures(supernet, missing, evaluation_images(job)):
                code, done = score.architecture.code, done + 1
                writer.append(score)
                results[code] = (score.correct, score.images)
                yield SubnetEvaluated(
                    code=code,
                    correct=score.correct,
                    images=score.images,
                    done=done,
                    subnets=len(job.pool),
                    seconds=time.perf_counter() - started,
                )
                if should_stop() and done < len(job.pool):
                    return
                started = time.perf_counter()
    accuracies = {code: correct / images for code, (correct, images) in results.items()}
    write_predictions(job.predictions, job.pool, [accuracies[code] for code in job.pool.codes])
    yield EvaluationFinished(subnets=len(job.pool), predictions=str(job.predictions))


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
