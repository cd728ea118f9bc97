"""Calibrating and scoring a pool with a supernet's weights, unit by unit: resumable, and by several processes at once."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from kit.correlation.budget import Budget, image_budget
from kit.costs import pool_costs
from kit.evaluation import Evaluator, Unit, plan_units
from kit.evaluation.sweep import UnitDone, sweep
from kit.evaluation.units import UNIT_SIZE
from kit.events import EvaluationFinished, EvaluationStarted, Event, Note, RankSoFar, SubnetEvaluated
from kit.files import write_json
from kit.pipeline.rank_so_far import RankMeter
from kit.pool import Pool, write_predictions
from kit.process_group import ProcessGroup
from kit.results import Counts, Detail, ResultsFile
from kit.search_space import Architecture
from kit.supernet.prefix import grow, tree_macs

BUDGET_SUFFIX = ".budget.json"
"""Beside predictions of an image budget: what it costs."""


@dataclass(frozen=True, kw_only=True)
class ScoringJob:
    """A pool to score, with what, and where the results go."""

    evaluator: Evaluator
    pool: Pool
    results: Path
    predictions: Path
    group: ProcessGroup

    @cached_property
    def units(self) -> list[Unit]:
        """The pool in the portions and the order in which it is scored: the same for every process and every start."""
        size = UNIT_SIZE if self.evaluator.method == "tree" else 1
        return plan_units(self.evaluator.supernet, self.pool.architectures, size)

    @property
    def results_file(self) -> ResultsFile:
        """Where scores are kept; with an image budget those of each batch, too, of a window of images each answer."""
        budget: Detail | None = "parts" if self.evaluator.profile.evaluation.images else None
        return ResultsFile(self.results, self.evaluator.key, detail=budget if self.evaluator.window is None else "answers")

    def budget(self) -> Budget | None:
        """What an image budget costs in agreement, by what the pool's scores so far tell; None without one."""
        evaluator = self.evaluator
        if not evaluator.profile.evaluation.images:
            return None
        known = self.results_file.read_parts()
        rows = [known[code] for code in self.pool.codes if code in known]
        return image_budget(rows, evaluator.batch_sizes, evaluator.data.val_size)

    def macs_one_by_one(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds of calibrating and scoring each of these sub-networks by itself."""
        evaluator = self.evaluator
        return evaluator.images_per_subnet * pool_costs([each.code for each in architectures], evaluator.scale).total_macs

    def macs_done(self, architectures: Iterable[Architecture]) -> int:
        """Multiply-adds that the job's method needs for these sub-networks."""
        if self.evaluator.method == "one-by-one":
            return self.macs_one_by_one(architectures)
        chosen = set(architectures)
        planned = ([each for each in unit.architectures if each in chosen] for unit in self.units)
        trees = (tree_macs(grow(enumerate(unit)), self.evaluator.scale) for unit in planned)
        return self.evaluator.images_per_subnet * sum(trees)


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
    group = job.group
    progress = yield from score_missing(job, should_stop, fresh=fresh, meter=meter, until_ci=until_ci)
    if group.any(should_stop()):
        return
    group.barrier()  # nobody writes results any more
    if group.is_first:
        job.results_file.merge()
        pool = job.pool.subset(progress.accuracies) if progress.enough else job.pool
        write_predictions(job.predictions, pool, [progress.accuracies[code] for code in pool.codes])
        budget = job.budget()
        if budget is not None:
            write_json(job.predictions.with_suffix(BUDGET_SUFFIX), asdict(budget))
            yield Note(message=budget.describe())
        yield EvaluationFinished(subnets=len(pool), predictions=str(job.predictions))


def score_missing(
    job: ScoringJob,
    should_stop: Callable[[], bool],
    *,
    fresh: bool = False,
    meter: RankMeter | None = None,
    until_ci: float | None = None,
) -> Generator[Event, None, "Progress"]:
    """Score what has no result yet; ends early, results kept, on a stop. Returns what is known in the end."""
    group, evaluator = job.group, job.evaluator
    results_file = job.results_file
    results: dict[str, Counts] = {}
    if group.is_first:
        if fresh:
            results_file.clear()
        results_file.merge()
        results = results_file.read()
    # A unit with any gap is scored whole, so that a resumed sweep rounds as an undisturbed one.
    gaps = [position for position, unit in enumerate(job.units) if any(a.code not in results for a in unit.architectures)]
    missing = [job.units[position] for position in group.share(gaps)]
    progress = Progress(job, results, len(job.pool) - sum(map(len, missing)))
    if group.is_first:
        yield EvaluationStarted(
            subnets=len(job.pool),
            done=progress.done,
            images=evaluator.seen.val_size,
            calibration_images=evaluator.calibration_images,
        )
    if missing:
        if group.is_first and (folding := evaluator.changed_by_folding(missing[0])):
            changed, predictions = folding
            yield Note(message=f"folding BN changes {changed:,} of {predictions:,} predictions (first batch, first unit)")
        with closing(sweep(missing, evaluator.score_unit, results_file, group, should_stop)) as finished:
            for done in finished:
                yield from progress.add(done)
                figure = meter and meter.measure(progress.accuracies)
                if figure:
                    yield figure
                    if until_ci is not None and _width(figure) <= until_ci and progress.done < len(job.pool):
                        yield Note(message=_why_early(figure, progress.done, len(job.pool)))
                        progress.enough = True
                        break
    return progress


class Progress:
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
        seconds = finished.seconds / len(finished.unit) / self.job.group.size
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
