"""A recipe run from start to end: phases, final weights, scores, rank. Every event is on disk before anybody sees it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kit.errors import InputError
from kit.evaluation import Evaluator
from kit.events import Event, Note, RankMeasured, RunStarted
from kit.files import sha256_of_file, write_json
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.phases import PhaseRunner
from kit.pipeline.rank_so_far import RankMeter
from kit.pipeline.request import ResolvedRun, claim_run
from kit.pipeline.run_log import record
from kit.pipeline.scoring import ScoringJob, score_pool
from kit.pipeline.signals import StopFlag
from kit.pool import load_pool
from kit.process_group import ProcessGroup
from kit.rank_report import TRUTH_HASH, RankReport
from kit.ranking.joining import join
from kit.ranking.truth_file import load_truth, shipped_truths
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
            started = RunStarted(
                run=run.id,
                recipe=resolved.recipe.name,
                profile=resolved.profile.name,
                seed=resolved.request.seed,
                pid=os.getpid(),
                phases=tuple(planned.name for planned in resolved.plan.phases),
                passes=resolved.plan.passes,
                continued=run.events.exists(),
            )
            yield from record(run, started, self._work(), partial(self.stop.check, self.group))
        return None

    def _work(self) -> Iterator[Event]:
        yield from self._train()
        if self.group.any(self.stop()):
            return
        yield from self._score()
        if self.group.any(self.stop()):
            return
        if self.group.is_first:
            yield self._rank()

    def _rank(self) -> Event:
        """Compare with the truth shipped for the profile, after everything else: truth never reaches training."""
        run, profile = self.directory, self.resolved.profile
        truth = shipped_truths().get(profile.name)
        if truth is None:
            return Note(message=f"no truth is shipped for profile {profile.name}: use `kit rank PREDICTIONS --truth FILE`")
        try:
            predictions = load_pool(run.predictions, profile.search_space).scores
            self.report = join(predictions, load_truth(truth)).rank(profile.scale)
        except InputError as error:
            return Note(message=f"the predictions were not compared with the shipped {truth.name}: {error}")
        report = {**self.report.to_json(), TRUTH_HASH: sha256_of_file(truth)}
        write_json(run.rank, report)
        return RankMeasured(truth=truth.name, report=report)

    def _train(self) -> Iterator[Event]:
        run = self.directory
        phases = PhaseRunner(self.resolved, self.hardware, self.stop)
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
        truth = shipped_truths().get(resolved.profile.name)
        yield from score_pool(job, self.stop, meter=None if truth is None else RankMeter(load_truth(truth)))
