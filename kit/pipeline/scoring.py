"""Calibrating and scoring a pool with a supernet's weights, unit by unit: resumable, and by several processes at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kit.costs import pool_costs
from kit.data import Batch, Data, normalize
from kit.evaluation import EvaluationImages, Unit, changed_by_folding, evaluate_architectures, plan_units, score_unit
from kit.evaluation.prefix_tree import Tick
from kit.evaluation.sweep import ScoreUnit, UnitDone, sweep
from kit.evaluation.units import UNIT_SIZE
from kit.events import EvaluationFinished, EvaluationStarted, Event, Note, RankSoFar, SubnetEvaluated
from kit.pipeline.rank_so_far import RankMeter
from kit.pool import Pool, write_predictions
from kit.recipe import Profile
from kit.results import Counts, ResultsFile, Score
from kit.search_space import Architecture, Scale
from kit.strict import key_of
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.prefix import grow, tree_macs
from kit.training.trainer import Hardware

Method = Literal["tree", "one-by-one"]
DEVICE_SHARE = 0.25
"""Decoded images may take this much of a GPU's free memory; the rest is for activations."""


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
        return key_of(
            weights=self.weights_sha256,
            data=self.data.fingerprint,
            images=self.profile.images,
            resolution=self.profile.resolution,
            calibration=self.profile.calibration,
            evaluation=self.profile.evaluation,
            precision=self.profile.training.precision,
            seed=self.seed,
            method=self.method,
        )

    @property
    def calibration_images(self) -> int:
        return self.profile.calibration.batches * self.profile.calibration.batch_size

    @cached_property
    def units(self) -> list[Unit]:
        """The pool in the portions and the order in which it is scored: the same for every process and every start."""
        return plan_units(self.supernet, self.pool.architectures, UNIT_SIZE if self.method == "tree" else 1)

    def macs_one_by_one(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds of calibrating and scoring each of these sub-networks by itself."""
        return self._images * pool_costs([each.code for each in architectures], self.scale).total_macs

    def macs_done(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds that the job's method needs for these sub-networks."""
        if self.method == "one-by-one":
            return self.macs_one_by_one(architectures)
        chosen = set(architectures)
        planned = ([each for each in unit.architectures if each in chosen] for unit in self.units)
        return self._images * sum(tree_macs(grow(enumerate(unit)), self.scale) for unit in planned)

    @property
    def _images(self) -> int:
        return self.calibration_images + self.data.val_size

    @property
    def scale(self) -> Scale:
        return replace(self.profile.scale, num_classes=self.data.num_classes)


def score_pool(
    job: ScoringJob,
    should_stop: Callable[[], bool],
    *,
    fresh: bool = False,
    meter: RankMeter | None = None,
    until_ci: float | None = None,
) -> Iterator[Event]:
    """Score what has no result yet, then write the predictions; ends early, results kept, on a stop.

    Every process of the job's group works on it; the first one reports. With a `meter` it also reports how well the scores
    rank so far, and stops scoring once the 95 % interval of Pearson's r is at most `until_ci` wide.
    """
    group = job.hardware.group
    results_file = ResultsFile(job.results, job.key)
    results: dict[str, Counts] = {}
    if group.is_first:
        if fresh:
            results_file.clear()
        results_file.merge()
        results = results_file.read()
    # A unit with any gap is scored whole, so that a resumed sweep rounds as an undisturbed one.
    gaps = [position for position, unit in enumerate(job.units) if any(a.code not in results for a in unit.architectures)]
    missing = [job.units[position] for position in group.share(gaps)]
    progress = _Progress(job, results, len(job.pool) - sum(map(len, missing)))
    if group.is_first:
        yield EvaluationStarted(
            subnets=len(job.pool), done=progress.done, images=job.data.val_size, calibration_images=job.calibration_images
        )
    if missing:
        images = evaluation_images(job)
        if group.is_first and images.fold and job.method == "tree":
            changed, predictions = changed_by_folding(job.supernet.to(job.hardware.device).eval(), missing[0], images)
            yield Note(message=f"folding BN changes {changed:,} of {predictions:,} predictions (first batch, first unit)")
        with closing(sweep(missing, _scorer(job, images), results_file, group, should_stop)) as finished:
            for done in finished:
                yield from progress.add(done)
                figure = meter and meter.measure(progress.accuracies)
                if figure:
                    yield figure
                    if until_ci is not None and _width(figure) <= until_ci and progress.done < len(job.pool):
                        yield Note(message=_why_early(figure, progress.done, len(job.pool)))
                        progress.enough = True
                        break
    if group.any(should_stop()):
        return
    group.barrier()  # nobody writes results any more
    if group.is_first:
        results_file.merge()
        pool = job.pool.subset(progress.accuracies) if progress.enough else job.pool
        write_predictions(job.predictions, pool, [progress.accuracies[code] for code in pool.codes])
        yield EvaluationFinished(subnets=len(pool), predictions=str(job.predictions))


class _Progress:
    """What has been scored so far, as the first process knows it."""

    def __init__(self, job: ScoringJob, results: dict[str, Counts], done: int) -> None:
        wanted = set(job.pool.codes)
        self.accuracies = {code: correct / images for code, (correct, images) in results.items() if code in wanted}
        self.job = job
        self.done = done
        self.enough = False

    def add(self, finished: UnitDone) -> Iterator[Event]:
        for message in finished.notes:
            yield Note(message=message)
        # Other processes work at the same time: the pool as a whole takes a fraction of what each one needs.
        seconds = finished.seconds / len(finished.unit) / self.job.hardware.group.size
        for architecture, correct in zip(finished.unit.architectures, finished.correct, strict=True):
            self.done += 1
            self.accuracies[architecture.code] = correct / finished.images
            yield SubnetEvaluated(
                code=architecture.code,
                correct=correct,
                images=finished.images,
                done=self.done,
                subnets=len(self.job.pool),
                seconds=seconds,
            )


def _width(figure: RankSoFar) -> float:
    return figure.pearson["high"] - figure.pearson["low"]


def _why_early(figure: RankSoFar, done: int, subnets: int) -> str:
    return (
        f"stopped after {done:,} of {subnets:,} sub-networks: Pearson's 95 % interval is {_width(figure):.4f} wide; "
        "the same command without --until-ci scores the rest"
    )


def _scorer(job: ScoringJob, images: EvaluationImages) -> ScoreUnit:
    """The job's way of scoring a unit."""
    supernet = job.supernet.to(job.hardware.device).eval()

    def one_by_one(unit: Unit, tick: Tick, note: Callable[[str], None]) -> list[Score]:
        tick()
        return list(evaluate_architectures(supernet, unit.architectures, images))

    def tree(unit: Unit, tick: Tick, note: Callable[[str], None]) -> list[Score]:
        return score_unit(supernet, unit, images, tick=tick, note=note)

    return tree if job.method == "tree" else one_by_one


def evaluation_images(job: ScoringJob) -> EvaluationImages:
    """The batches that every sub-network of the job sees, drawn once."""
    calibration, hardware = job.profile.calibration, job.hardware
    batches = job.data.calibration_batches(seed=job.seed, batch_size=calibration.batch_size, batches=calibration.batches)
    validation: Iterable[Batch] = job.data.val_batches(batch_size=job.profile.evaluation.batch_size)
    if hardware.device.type == "cuda":
        batches, validation = _near(batches, list(validation), hardware.device)
    return EvaluationImages(
        calibration=batches,
        validation=validation,
        prepare=lambda images: normalize(images, job.data, device=hardware.device, channels_last=hardware.channels_last),
        statistics=calibration.statistics,
        autocast=hardware.autocast,
        cuda_graphs=job.profile.runtime.cuda_graphs,
        fold=job.profile.evaluation.fold_batch_norm,
    )


def _near(
    calibration: Sequence[Tensor], validation: Sequence[Batch], device: torch.device
) -> tuple[list[Tensor], list[Batch]]:
    """Decoded images where a GPU gets at them fast: in its own memory if they take little of it, else page-locked."""
    needed = sum(images.nbytes for images in (*calibration, *(batch.images for batch in validation)))
    free, _ = torch.cuda.mem_get_info(device)

    def move(images: Tensor) -> Tensor:
        return images.to(device) if needed < free * DEVICE_SHARE else images.pin_memory()

    return [move(images) for images in calibration], [Batch(move(batch.images), batch.labels) for batch in validation]
