"""A recipe run from start to end: phases, final weights, scores, rank. Every event is on disk before anybody sees it."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from kit.errors import InputError
from kit.evaluation import Evaluator
from kit.events import Event, RankMeasured
from kit.files import sha256_of_file, write_json
from kit.pipeline.hardware import choose_hardware, doubts
from kit.pipeline.phases import PhaseRunner
from kit.pipeline.rank_so_far import RankMeter, fitting_truth, no_rank
from kit.pipeline.request import ResolvedRun, claim_run
from kit.pipeline.run_log import record, told
from kit.pipeline.scoring import ScoringJob, score_pool
from kit.pipeline.signals import StopFlag
from kit.pool import load_pool
from kit.process_group import ProcessGroup
from kit.rank_report import TRUTH_HASH, RankReport
from kit.ranking.joining import join
from kit.ranking.truth_file import KnownTruth
from kit.run_dir import RunDirectory
from kit.supernet.weights import load_supernet, save_weights


class RecipeRun:
    """One resolved run and its directory; several processes may work on it as a group, whose first one writes."""

    def __init__(self, resolved: ResolvedRun, stop: StopFlag, group: ProcessGroup | None = None) -> None:
        self.resolved = resolved
        self.stop = stop
        self.group = group or ProcessGroup()
        self.hardware = choose_hardware(resolved.profile, self.group)
        claimed = claim_run(resolved) if self.group.is_first else None
        self.directory = RunDirectory(self.group.share(claimed and claimed.path) or Path())
        self.truth: KnownTruth | None = None
        self.report: RankReport | None = None

    def execute(self) -> Iterator[Event]:
        """Do everything that is not done yet, yielding each event after it is written.

        Raises `StopRequestedError` when a signal came (everything is saved), and `KitError` for anything that stops the run.
        """
        if not self.group.is_first:
            yield from self._work()
            return self.stop.check(self.group)
        resolved, run = self.resolved, self.directory
        with run.locked():
            yield from record(
                run,
                self._work(),
                partial(self.stop.check, self.group),
                kind="recipe",
                profile=resolved.profile.name,
                passes=resolved.plan.passes,
                phases=(planned.name for planned in resolved.plan.phases),
                recipe=resolved.recipe.name,
                seed=resolved.request.seed,
            )
        return None

    def _work(self) -> Iterator[Event]:
        yield from told((*self.resolved.data.notes, *doubts(self.hardware)))
        yield from self._train()
        if self.group.any(self.stop()):
            return
        yield from self._score()
        if self.group.any(self.stop()):
            return
        if self.group.is_first:
            yield self._rank()

    def rank(self, opponents: Mapping[str, Mapping[str, float]]) -> RankReport | None:
        """The rank that was measured, beside further opponents by code; None without a truth that fits."""
        if self.report is None or self.truth is None or not opponents:
            return self.report
        return self._compare(self.truth, opponents)

    def _compare(self, truth: KnownTruth, opponents: Mapping[str, Mapping[str, float]] | None = None) -> RankReport:
        profile = self.resolved.profile
        predictions = load_pool(self.directory.predictions, profile.search_space).scores
        return join(predictions, truth.truth).rank(profile.scale, opponents=opponents)

    def _rank(self) -> Event:
        """Compare with the shipped truth that fits, after everything else: truth never reaches training."""
        run = self.directory
        try:
            self.truth = truth = fitting_truth(self.resolved.profile, self.resolved.data)
            self.report = self._compare(truth)
        except InputError as error:
            return no_rank(error)
        report = {**self.report.to_json(), TRUTH_HASH: sha256_of_file(truth.path)}
        write_json(run.rank, report)
        return RankMeasured(truth=truth.name, report=report)

    def _train(self) -> Iterator[Event]:
        run = self.directory
        phases = PhaseRunner(self.resolved, self.hardware, self.stop, run.id)
        yield from phases.run()
        if self.group.any(self.stop()):
            return
        if self.group.is_first:
            save_weights(phases.final_supernet().cpu(), run.weights)
            write_json(run.weights_manifest, {run.weights.name: sha256_of_file(run.weights)})
        self.group.barrier()

    def _score(self) -> Iterator[Event]:
        resolved, run = self.resolved, self.directory
        sha256 = run.weights_sha256
        evaluator = Evaluator(
            supernet=load_supernet(run.weights, resolved.profile.search_space, resolved.data.num_classes, sha256=sha256),
            weights_sha256=sha256,
            data=resolved.data,
            profile=resolved.profile,
            device=self.hardware.device,
            seed=resolved.request.seed,
        )
        job = ScoringJob(
            evaluator=evaluator,
            pool=resolved.pool,
            results=run.evaluations,
            predictions=run.predictions,
            group=self.group,
        )
        try:
            meter = RankMeter(fitting_truth(resolved.profile, resolved.data).truth)
        except InputError:  # in the end `_rank` says why
            meter = None
        yield from score_pool(job, self.stop, meter=meter)
