"""`kit search`: the best architectures of a finished run's space under limits, found with its supernet's scores."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kit import __version__
from kit.costs import costs, pareto_front, pool_costs
from kit.data import absolute_spec
from kit.evaluation.units import trees
from kit.events import BatchScored, Event, PhaseFinished, PhaseStarted
from kit.files import content_key, read_json, write_json
from kit.latency_table import LatencyTable
from kit.pipeline.compute import describe_compute
from kit.pipeline.evaluate import Evaluation, EvaluationRequest
from kit.pipeline.request import Progress
from kit.pipeline.run_log import record
from kit.pipeline.scored_run import require_finished
from kit.pipeline.signals import StopFlag
from kit.randomness import derive_random
from kit.results import EVALUATIONS, ResultsFile
from kit.run_dir import RunDirectory, claim_named, find_run, write_environment
from kit.search.evolution import Evolution, RandomSearch, Searcher, batches
from kit.search.limits import Limits
from kit.search_space import Architecture
from kit.strict import KEY_FORMAT
from kit.supernet.prefix import grow, tree_macs
from kit.watch.search_view import RESULT, Found, Way

BATCH = 25
"""Architectures that are asked for, and scored as one tree, at a time."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """Where to search, with whose scores, for how long."""

    run: str
    runs: Path
    out: Path
    evaluations: int = 500
    population: int = 50
    sample: int = 10
    seed: int = 0
    max_macs: int | None = None
    max_params: int | None = None
    max_latency_ms: float | None = None
    latency: LatencyTable | None = None
    data: str | None = None


class SearchRun:
    """A search in a directory of its own. Scores are kept: a search that goes on repeats itself up to where it stopped."""

    def __init__(self, request: SearchRequest, progress: Progress | None = None) -> None:
        self.request = request
        of = find_run(request.run, request.runs)
        require_finished(of)
        self.of = of
        job = Evaluation(EvaluationRequest(target=str(of.path), runs=request.runs, data=request.data), progress=progress).job
        self.evaluator = job.evaluator
        self.space = self.evaluator.profile.published_space
        if request.latency is not None:
            request.latency.check_fits(self.evaluator.scale, f"run {of.id}")
        self.limits = Limits(
            scale=self.evaluator.scale,
            macs=request.max_macs,
            params=request.max_params,
            latency_ms=request.max_latency_ms,
            latency=None if request.latency is None else request.latency.milliseconds,
        )
        self.limits.check(self.space)
        self.directory = RunDirectory(request.out.resolve())
        self.results = ResultsFile(self.directory.path / EVALUATIONS, self.evaluator.key)
        self.scores: dict[str, float] = {}
        """Accuracies by code, of everything that either search asked for."""
        self.asked: dict[str, list[Architecture]] = {}
        """What each search asked for, in order."""
        self._counted: set[str] = set()
        self._macs: dict[str, tuple[int, int]] = {}

    @cached_property
    def searchers(self) -> dict[str, Searcher]:
        """Evolution, and what has to be beaten."""
        request = self.request
        common: dict[str, Any] = {"space": self.space, "limits": self.limits, "seed": request.seed, "batch": BATCH}
        evolution = Evolution(**common, population=request.population, sample=min(request.sample, request.population))
        return {"evolution": evolution, "random": RandomSearch(**common)}

    @property
    def settings(self) -> dict[str, Any]:
        """What makes two searches the same."""
        request = self.request
        return {
            "kind": "search",
            "format": KEY_FORMAT,
            "profile": self.evaluator.profile.model_dump(mode="json", exclude={"runtime", "data"}),
            "seed": request.seed,
            "scores": self.evaluator.key,
            "limits": self.limits.document(),
            "latency": None if request.latency is None else content_key(request.latency.model_dump(mode="json")),
            "evaluations": request.evaluations,
            "population": request.population,
            "sample": request.sample,
            "batch": BATCH,
        }

    def execute(self, stop: StopFlag) -> Iterator[Event]:
        """Search, if that is not done; raises `StopRequestedError` on a signal, with every score kept."""
        run = self.directory
        self._claim()
        with run.locked():
            if (run.path / RESULT).exists():
                return
            yield from record(
                run,
                self._work(stop),
                stop.check,
                kind="search",
                profile=self.evaluator.profile.name,
                passes=self.request.evaluations * len(self.searchers),
                phases=self.searchers,
                seed=self.request.seed,
            )

    def _claim(self) -> None:
        run = self.directory
        if not claim_named(run, self.settings, "search"):
            return
        write_environment(run.environment, describe_compute())
        spec = self.request.data or read_json(self.of.resolved, inputs=dict)["inputs"]["data"]
        inputs = {"run": str(self.of.path), "data": absolute_spec(spec)}
        write_json(run.resolved, {**self.settings, "kit": __version__, "inputs": inputs})

    def _work(self, stop: StopFlag) -> Iterator[Event]:
        known = {code: correct / images for code, (correct, images) in self.results.read().items()}
        key = content_key(self.settings)
        for name, searcher in self.searchers.items():
            asked, best = self.asked.setdefault(name, []), None
            steps = self.request.evaluations
            yield PhaseStarted(
                phase=name, key=key, method=name, epochs=0, steps=steps, first_step=0, subspace=self.space.describe()
            )
            for batch in batches(searcher, steps):
                stop.check()
                started = time.perf_counter()
                self._count(name, batch)
                self._score(batch, known)
                searcher.tell({architecture: self.scores[architecture.code] for architecture in batch})
                asked += batch
                best = max(batch if best is None else [best, *batch], key=self._worth)
                yield BatchScored(
                    phase=name,
                    step=len(asked),
                    evaluations=len(batch),
                    best=best.code,
                    accuracy=self.scores[best.code],
                    seconds=time.perf_counter() - started,
                )
            yield PhaseFinished(phase=name, key=key, steps=steps, loss=0.0)
        write_json(self.directory.path / RESULT, self._result())

    def _count(self, name: str, batch: list[Architecture]) -> None:
        """Add what scoring the new ones of a batch takes, each by itself and as trees; nothing depends on what was kept."""
        new = [each for each in dict.fromkeys(batch) if each.code not in self._counted]
        self._counted |= {each.code for each in new}
        evaluator, images = self.evaluator, self.evaluator.images_per_subnet
        alone, together = self._macs.setdefault(name, (0, 0))
        if not new:
            return
        alone += images * pool_costs([each.code for each in new], evaluator.scale).total_macs
        grown = (grow(enumerate(unit.architectures)) for unit in trees(evaluator.supernet, new))
        together += images * sum(tree_macs(tree, evaluator.scale) for tree in grown)
        self._macs[name] = (alone, together)

    def _worth(self, architecture: Architecture) -> tuple[float, int]:
        """Of equals the cheaper one is better."""
        return self.scores[architecture.code], -costs(architecture, self.evaluator.scale).macs

    def _score(self, batch: list[Architecture], known: dict[str, float]) -> None:
        missing = [each for each in dict.fromkeys(batch) if each.code not in known]
        if missing:
            found = self.evaluator.score(missing)
            with self.results.appending() as writer:
                writer.append(found)
            known |= {score.architecture.code: score.accuracy for score in found}
        self.scores |= {each.code: known[each.code] for each in batch}

    def result(self) -> dict[str, Any]:
        """The document of `kit search --json` of a search that is done, without what a clock says."""
        return read_json(self.directory.path / RESULT, best=dict, random=dict)

    def _result(self) -> dict[str, Any]:
        evolution, rival = self._summary("evolution"), self._summary("random")
        head = {
            "run": str(self.of.path),
            "profile": self.evaluator.profile.name,
            "limits": self.limits.document(),
            "seed": self.request.seed,
        }
        if self.request.latency is not None:
            head["latency"] = self.request.latency.describe()
        return {**head, **asdict(evolution), "random": asdict(rival)}

    def _summary(self, name: str) -> Way:
        asked = list(dict.fromkeys(self.asked[name]))
        codes, table = [each.code for each in asked], self.request.latency
        cost = pool_costs(codes, self.evaluator.scale)
        times = [None] * len(codes) if table is None else table.pool_milliseconds(codes).tolist()
        columns = zip(codes, cost.macs.tolist(), cost.params.tolist(), times, strict=True)
        found = [
            Found(code=code, accuracy=self.scores[code], macs=macs, params=params, latency_ms=milliseconds)
            for code, macs, params, milliseconds in columns
        ]
        front = pareto_front(cost.macs, [each.accuracy for each in found]).tolist()
        alone, together = self._macs[name]
        return Way(
            best=max(found, key=lambda each: (each.accuracy, -each.macs)),
            pareto=tuple(found[place] for place in front),
            evaluated=len(self.asked[name]),
            distinct=len(asked),
            macs_one_by_one=alone,
            macs_done=together,
        )


@dataclass(frozen=True, kw_only=True)
class SearchCost:
    """The document of `kit search --dry-run`: multiply-adds counted one by one, seconds from one timed batch."""

    profile: str
    evaluations: int
    macs: float
    seconds: float


def cost_of_search(search: SearchRun) -> SearchCost:
    """What both searches would cost; writes nothing. Times a few drawn sub-networks, scored as one tree."""
    evaluator = search.evaluator
    rng = derive_random("search cost")
    sample = [search.space.sample(rng) for _ in range(BATCH // 5)]
    started = time.perf_counter()
    evaluator.score(sample)
    seconds = (time.perf_counter() - started) / len(sample)
    mean = pool_costs([each.code for each in sample], evaluator.scale).total_macs / len(sample)
    evaluations = search.request.evaluations * len(search.searchers)
    macs = evaluations * mean * evaluator.images_per_subnet
    return SearchCost(profile=evaluator.profile.name, evaluations=evaluations, macs=macs, seconds=seconds * evaluations)
