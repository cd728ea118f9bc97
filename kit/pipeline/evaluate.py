"""`kit evaluate`: score a pool with the weights of a run or of a file, resumable unit by unit."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kit import __version__
from kit.correlation import Count
from kit.correlation.elimination import CONFIDENCE, Elimination
from kit.correlation.top import counts
from kit.data import absolute_spec
from kit.errors import InputError
from kit.evaluation import Evaluator
from kit.evaluation.evaluator import Method
from kit.events import Event, Note
from kit.files import content_key, exclusive_lock, read_json, sha256_of_file, write_json
from kit.pipeline.elimination import TopSweep
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.rank_so_far import RankMeter, fitting_truth, made_with, no_rank
from kit.pipeline.request import Progress, open_pool, open_profile_data
from kit.pipeline.run_log import record, told
from kit.pipeline.scoring import ScoringJob, score_pool
from kit.pipeline.signals import StopFlag
from kit.pool import write_predictions
from kit.process_group import ProcessGroup
from kit.ranking.truth_file import load_truth, misfit
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
    overrides: tuple[str, ...] = ()
    """`key=value` for the profile, of what scores depend on besides weights and images."""
    method: Method = "tree"
    fresh: bool = False
    truth: Path | None = None
    """What the rank figure on the way is measured against; by default the shipped truth that fits."""
    until_ci: float | None = None
    top: Count | None = None
    """Only so many are to be found, the best on all images, or such a share of the pool."""
    confidence: float = CONFIDENCE


class Evaluation:
    """An opened evaluation; `job` says what it costs and where its results go."""

    def __init__(
        self, request: EvaluationRequest, group: ProcessGroup | None = None, progress: Progress | None = None
    ) -> None:
        self.request = request
        self._progress = progress
        self._notes: list[str] = []
        self.group = group or ProcessGroup()
        file = Path(request.target)
        self._of = None if file.is_file() else find_run(request.target, request.runs)
        self.job, self._lock, self._holder = self._for_file(file) if self._of is None else self._for_run(self._of)
        self.top = None if request.top is None else self._top_sweep(request.top)

    def execute(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Score what is missing and write the predictions; ends early, results kept, on a stop."""
        request = self.request
        with exclusive_lock(self._lock, holder=self._holder) if self.group.is_first else nullcontext():
            meter, note = self._meter() if self.top is None else (None, None)
            if self.group.is_first:
                yield from told(self._notes)
                yield from [note] if note is not None else []
            if self.top is not None:
                yield from self.top.execute(should_stop, fresh=request.fresh)
                return
            yield from score_pool(self.job, should_stop, fresh=request.fresh, meter=meter, until_ci=request.until_ci)

    def execute_logged(self, stop: StopFlag) -> Iterator[Event]:
        """The same, with a log in a run directory of its own. Raises `StopRequestedError` on a signal."""
        if not self.group.is_first:
            yield from self.execute(stop)
            return stop.check(self.group)
        run, evaluator = self._claim(), self.job.evaluator
        with run.locked():
            yield from record(
                run,
                self.execute(stop),
                partial(stop.check, self.group),
                kind="evaluation",
                profile=evaluator.profile.name,
                passes=len(self.job.pool),
                seed=evaluator.seed,
                fresh=self.request.fresh,
            )
        return None

    def _claim(self) -> RunDirectory:
        """`RUNS/evaluation-NAME-HASH`: one for every pool, and every way of scoring it, with these weights."""
        job, evaluator, of = self.job if self.top is None else self.top.job, self.job.evaluator, self._of
        name = evaluator.weights_sha256[:12] if of is None else of.id
        runs = self.request.runs if of is None else of.path.parent
        key = content_key([evaluator.key, job.pool.fingerprint]) if self.top is None else self.top.key
        run = RunDirectory((runs / f"evaluation-{name}-{key[:6]}").resolve())
        if not run.resolved.exists():
            require_directory(run.path)
            write_predictions(run.pool, job.pool, [0.0] * len(job.pool))
            known = {} if of is None else read_json(of.resolved, recipe=dict, inputs=dict)
            spec = self.request.data or known.get("inputs", {}).get("data", evaluator.profile.data)
            settings = {
                "kind": "evaluation",
                "recipe": known.get("recipe"),
                "profile": evaluator.profile.model_dump(mode="json", exclude={"runtime", "data"}),
                "seed": evaluator.seed,
                "data_source": evaluator.data.source,
                "classes": evaluator.data.num_classes,
                "inputs": {"data": absolute_spec(spec), "weights": evaluator.weights_sha256},
                "scores": {
                    "evaluations": str(job.results),
                    "predictions": str(job.predictions),
                    "key": evaluator.key if self.top is None else self.top.first_key,
                },
                "kit": __version__,
            }
            write_json(run.resolved, settings)
        return run

    def _meter(self) -> tuple[RankMeter | None, Note | None]:
        """What compares scores as they come: with the truth that was named, else with the shipped one that fits.

        With what is to be said of it. Raises `InputError` where a comparison was asked for and there is no truth.
        """
        named, evaluator = self.request.truth, self.job.evaluator
        profile, data = evaluator.profile, evaluator.data
        if named is not None:
            truth = load_truth(named)
            # A challenge file never says what it was made with.
            doubt = "" if truth.profile is None else misfit(truth, made_with(profile, data))
            return RankMeter(truth), Note(message=f"note: {named} {doubt}") if doubt else None
        try:
            return RankMeter(fitting_truth(profile, data).truth), None
        except InputError as error:
            if self.request.until_ci is None:
                return None, no_rank(error)
            raise InputError(
                f"--until-ci has nothing to compare with: {error}", hint="name one with --truth FILE"
            ) from error

    def _top_sweep(self, wanted: Count) -> TopSweep:
        """Raises `InputError` for more than there are, and where the images are chosen already."""
        evaluator, pool = self.job.evaluator, self.job.pool
        if budget := evaluator.profile.evaluation.images:
            raise InputError(
                f"--top chooses how many images each sub-network sees, and {budget:,} are asked for",
                hint="leave --images out; where the profile says it: --set profile.evaluation.images=0",
            )
        (k,) = counts([wanted], len(pool))
        return TopSweep(self.job, Elimination(k, evaluator.data.val_size, self.request.confidence))

    @property
    def _scores_otherwise(self) -> bool:
        """Whether scores are made in another way than the run's own, whose predictions stay what they are."""
        return any(not override.startswith("runtime.") for override in self.request.overrides)

    def _for_run(self, run: RunDirectory) -> tuple[ScoringJob, Path, str]:
        request = self.request
        if not run.weights_manifest.exists():
            raise InputError(f"run {run.id} has no final weights yet", hint="run its recipe's command again: it continues")
        sha256 = run.weights_sha256
        resolved = read_json(run.resolved, inputs=dict, seed=int)
        profile = request.profile or load_profile(str(run.profile), request.overrides)
        data_spec = request.data or resolved["inputs"]["data"]
        whole = request.pool is None and request.limit is None and request.until_ci is None and not self._scores_otherwise
        job = self._job(
            run.weights, sha256, profile, data_spec, request.pool or run.pool, seed=resolved["seed"], folder=run.path
        )
        if whole:
            job = replace(job, predictions=run.predictions)
        return job, run.lock, f"run {run.id}"

    def _for_file(self, file: Path) -> tuple[ScoringJob, Path, str]:
        request = self.request
        if request.profile is None:
            raise InputError(f"{file} is a weights file: say on what to evaluate it", hint="add --profile P")
        sha256 = sha256_of_file(file)
        folder = request.runs / "evaluations" / sha256[:12]
        data_spec = request.data or request.profile.data
        job = self._job(file, sha256, request.profile, data_spec, request.pool, seed=0, folder=folder.resolve())
        require_directory(folder)
        return job, folder / ".lock", f"evaluation {sha256[:12]}"

    def _job(
        self, weights: Path, sha256: str, profile: Profile, data_spec: str, pool_path: Path | None, seed: int, folder: Path
    ) -> ScoringJob:
        pool = open_pool(profile, pool_path)
        if self.request.limit is not None:
            pool = pool.head(self.request.limit)
        data = open_profile_data(profile, data_spec, self._progress)
        self._notes += data.notes
        evaluator = Evaluator(
            supernet=load_supernet(weights, profile.search_space, data.num_classes, sha256=sha256, note=self._notes.append),
            weights_sha256=sha256,
            data=data,
            profile=profile,
            device=choose_hardware(profile, self.group).device,
            seed=seed,
            method=self.request.method,
        )
        how = f"-{evaluator.key[:6]}" if self._scores_otherwise else ""
        return ScoringJob(
            evaluator=evaluator,
            pool=pool,
            group=self.group,
            results=folder / EVALUATIONS,
            predictions=folder / f"predictions-{pool.fingerprint[:12]}{how}.json",
        )
