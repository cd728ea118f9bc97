"""`kit evaluate`: score a pool with the weights of a run or of a file, resumable unit by unit."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from kit.errors import InputError
from kit.evaluation import Evaluator
from kit.evaluation.evaluator import Method
from kit.events import Event
from kit.files import exclusive_lock, read_json, sha256_of_file
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.rank_so_far import RankMeter
from kit.pipeline.request import open_pool, open_profile_data
from kit.pipeline.scoring import ScoringJob, score_pool
from kit.pool import Pool
from kit.process_group import ProcessGroup
from kit.ranking.truth_file import load_truth, shipped_truths
from kit.recipe import Profile, load_profile
from kit.results import EVALUATIONS
from kit.run_dir import RunDirectory, find_run, require_directory
from kit.supernet.weights import load_supernet


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What is to be scored with what. A run brings its own profile, data, seed and pool; a weights file needs a profile."""

    target: str
    runs: Path
    profile: Profile | None = None
    data: str | None = None
    pool: Path | None = None
    limit: int | None = None
    method: Method = "tree"
    fresh: bool = False
    truth: Path | None = None
    """What the rank figure on the way is measured against; by default the profile's shipped truth."""
    until_ci: float | None = None


class Evaluation:
    """An opened evaluation; `job` says what it costs and where its results go."""

    def __init__(self, request: EvaluationRequest, group: ProcessGroup | None = None) -> None:
        self.request = request
        self.group = group or ProcessGroup()
        file = Path(request.target)
        if file.is_file():
            self.job, self._lock, self._holder = self._for_file(file)
        else:
            self.job, self._lock, self._holder = self._for_run(find_run(request.target, request.runs))

    def execute(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Score what is missing and write the predictions; ends early, results kept, on a stop."""
        request = self.request
        with self._locked():
            yield from score_pool(self.job, should_stop, fresh=request.fresh, meter=self._meter(), until_ci=request.until_ci)

    def _locked(self) -> AbstractContextManager[None]:
        return exclusive_lock(self._lock, holder=self._holder) if self.group.is_first else nullcontext()

    def _meter(self) -> RankMeter | None:
        path = self.request.truth or shipped_truths().get(self.job.evaluator.profile.name)
        if path is not None:
            return RankMeter(load_truth(path))
        if self.request.until_ci is not None:
            raise InputError(
                f"no truth is shipped for profile {self.job.evaluator.profile.name}: --until-ci has nothing to compare with",
                hint="name one with --truth FILE",
            )
        return None

    def _for_run(self, run: RunDirectory) -> tuple[ScoringJob, Path, str]:
        request = self.request
        if not run.weights_manifest.exists():
            raise InputError(f"run {run.id} has no final weights yet", hint="run its recipe's command again: it continues")
        sha256 = run.weights_sha256
        resolved = read_json(run.resolved, inputs=dict, seed=int)
        profile = request.profile or load_profile(str(run.profile))
        data_spec = request.data or resolved["inputs"]["data"]
        pool = self._limited(open_pool(profile, request.pool or run.pool))
        whole = request.pool is None and request.limit is None and request.until_ci is None
        job = self._job(run.weights, sha256, profile, data_spec, pool, seed=resolved["seed"], folder=run.path)
        if whole:
            job = replace(job, predictions=run.predictions)
        return job, run.lock, f"run {run.id}"

    def _for_file(self, file: Path) -> tuple[ScoringJob, Path, str]:
        request = self.request
        if request.profile is None:
            raise InputError(f"{file} is a weights file: say on what to evaluate it", hint="add --profile P")
        sha256 = sha256_of_file(file)
        pool = self._limited(open_pool(request.profile, request.pool))
        folder = request.runs / "evaluations" / sha256[:12]
        require_directory(folder)
        data_spec = request.data or request.profile.data
        job = self._job(file, sha256, request.profile, data_spec, pool, seed=0, folder=folder.resolve())
        return job, folder / ".lock", f"evaluation {sha256[:12]}"

    def _limited(self, pool: Pool) -> Pool:
        return pool if self.request.limit is None else pool.head(self.request.limit)

    def _job(
        self, weights: Path, sha256: str, profile: Profile, data_spec: str, pool: Pool, *, seed: int, folder: Path
    ) -> ScoringJob:
        data = open_profile_data(profile, data_spec)
        evaluator = Evaluator(
            supernet=load_supernet(weights, profile.search_space, data.num_classes, sha256=sha256),
            weights_sha256=sha256,
            data=data,
            profile=profile,
            device=choose_hardware(profile, self.group).device,
            seed=seed,
            method=self.request.method,
        )
        return ScoringJob(
            evaluator=evaluator,
            pool=pool,
            group=self.group,
            results=folder / EVALUATIONS,
            predictions=folder / f"predictions-{pool.fingerprint[:12]}.json",
        )
