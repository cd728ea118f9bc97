"""A finished run with its scores: what exports and archives start from. The one place that knows how scores are kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from timm.models.resnet import ResNet
from torch import Tensor

from kit.data import Data
from kit.errors import InputError
from kit.evaluation import Evaluator
from kit.files import read_json, sha256_of_file
from kit.pipeline.compute import compute_differences
from kit.pipeline.evaluate import Evaluation, EvaluationRequest
from kit.pipeline.scoring import ScoringJob
from kit.pool import Pool, load_pool
from kit.recipe import Profile, load_profile
from kit.results import Counts, ResultsFile
from kit.run_dir import RunDirectory
from kit.search_space import Architecture, Scale
from kit.submission.calibrated import calibrate_as_scored
from kit.submission.readiness import missing_step
from kit.submission.selection import Scored, scored_entries
from kit.watch.run_summary import read_state

CONTINUE_HINT = "run its recipe's command again: it continues, and does only what is missing"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where networks that are exported come from."""

    profile: Profile
    data: Data
    recipe: str
    """Empty for networks that no recipe trained."""
    seed: int
    weights_sha256: str
    how: str
    """What was done to their weights, in words."""

    @property
    def trained_by(self) -> str:
        """For a model card."""
        return f"recipe `{self.recipe}`" if self.recipe else "`kit run alone`"

    @property
    def scale(self) -> Scale:
        return Scale(self.profile.search_space, self.profile.resolution, self.data.num_classes)


class Networks(Protocol):
    """Networks of a run, ready to be exported."""

    @property
    def origin(self) -> Origin: ...

    def subnet(self, architecture: Architecture) -> tuple[ResNet, Counts]:
        """One of them, on the CPU, with right answers and images."""
        ...

    def sample(self, count: int) -> Tensor:
        """The first validation images, normalised, on the CPU."""
        ...


@dataclass(frozen=True)
class ScoredRun:
    """A finished run, opened: its supernet and images, and a score for every entry of its pool."""

    run: RunDirectory
    job: ScoringJob
    entries: tuple[Scored, ...]
    recipe: str
    differences: tuple[str, ...]
    """How this process differs from the one that scored, in words."""

    @cached_property
    def by_code(self) -> dict[str, Scored]:
        return {entry.code: entry for entry in self.entries}

    @property
    def evaluator(self) -> Evaluator:
        """What every score comes from."""
        return self.job.evaluator

    @property
    def origin(self) -> Origin:
        evaluator = self.evaluator
        return Origin(
            profile=evaluator.profile,
            data=evaluator.data,
            recipe=self.recipe,
            seed=evaluator.seed,
            weights_sha256=evaluator.weights_sha256,
            how="weights inherited from the supernet and BN statistics calibrated for it. It was not trained by itself",
        )

    def subnet(self, architecture: Architecture) -> tuple[ResNet, Counts]:
        """A calibrated sub-network, on the CPU, and its recorded score, else the one that it gets now.

        Raises `StorageError` where it does not score what was recorded.
        """
        entry = self.by_code.get(architecture.code)
        recorded = None if entry is None else (entry.correct, entry.images)
        network, score = calibrate_as_scored(
            self.evaluator.network,
            architecture,
            self.evaluator.images,
            recorded=recorded,
            same_environment=not self.differences,
        )
        return network, recorded or score

    def sample(self, count: int) -> Tensor:
        """The first validation images as a network takes them, on the CPU."""
        taken = []
        for batch in self.evaluator.images.validation:
            taken.append(batch.images)
            if sum(map(len, taken)) >= count:
                break
        return self.evaluator.images.prepare(torch.cat(taken)[:count]).float().cpu().contiguous()


def require_finished(run: RunDirectory) -> None:
    """Raise `InputError` naming the first step that is missing, or that must be repeated because the weights changed."""
    resolved = read_json(run.resolved, kind=str)
    if resolved["kind"] != "recipe":
        raise InputError(f"{run.id} is no run of a recipe but of a {resolved['kind']}", hint="name a run of `kit runs list`")
    if run.is_locked:
        raise InputError(f"a process is working on run {run.id}", hint="wait until it has finished")
    if step := missing_step(run, read_state(run)):
        raise InputError(f"run {run.id} is not finished: {step}", hint=CONTINUE_HINT)
    if sha256_of_file(run.weights) != run.weights_sha256:
        raise InputError(
            f"the weights of run {run.id} changed after training: scores and weights no longer belong together",
            hint="restore weights/, or run its recipe's command again: it writes them anew from its phases and scores them",
        )


def open_scored_run(run: RunDirectory, data: str | None = None) -> ScoredRun:
    """Open a finished run; `data` is where its data set lies now, if it has moved.

    Raises `InputError` when a step is missing, and when data, scores and predictions do not belong together.
    """
    require_finished(run)
    resolved = read_json(run.resolved, recipe=dict, data_fingerprint=str)
    job = Evaluation(EvaluationRequest(target=str(run.path), runs=run.path.parent, data=data)).job
    if job.evaluator.data.fingerprint != resolved["data_fingerprint"]:
        raise InputError(
            f"the data are not those of run {run.id}", hint="name the same data set, wherever it lies now, with --data SPEC"
        )
    counts = ResultsFile(job.results, job.evaluator.key).read()
    missing = [code for code in job.pool.codes if code not in counts]
    if missing:
        raise InputError(
            f"run {run.id} is not finished: scoring is missing, {len(missing):,} of {len(job.pool):,} sub-networks have no "
            "score with these weights and data",
            hint=f"run `kit evaluate {run.id}`, or its recipe's command again",
        )
    entries = tuple(scored_entries(job.pool, map(counts.__getitem__, job.pool.codes), job.evaluator.scale))
    require_predictions(run, job.pool, (entry.accuracy for entry in entries))
    differences = tuple(compute_differences(read_json(run.environment, packages=dict), job.evaluator.profile))
    return ScoredRun(run, job, entries, str(resolved["recipe"].get("name")), differences)


def require_predictions(run: RunDirectory, pool: Pool, accuracies: Iterable[float]) -> None:
    """Raise `InputError` unless the run's predictions are these, in the pool's order."""
    predictions = load_pool(run.predictions, load_profile(str(run.profile)).search_space)
    if predictions.names != pool.names or predictions.codes != pool.codes or predictions.accuracies != tuple(accuracies):
        raise InputError(
            f"run {run.id}: {run.predictions.name} does not agree with the scores",
            hint=f"run `kit evaluate {run.id}`: it writes the predictions anew from the scores",
        )
