"""`kit run truth`: architectures trained alone, kept one by one, ending in a truth file."""

import os
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import __version__
from kit.data import absolute_spec
from kit.errors import InputError
from kit.events import Event, PhaseFinished, PhaseReused, PhaseStarted, TrainingDone
from kit.files import read_json, write_json
from kit.pipeline.compute import describe_compute
from kit.pipeline.rank_so_far import made_with
from kit.pipeline.request import Progress, open_profile_data
from kit.pipeline.run_log import record, told
from kit.pipeline.signals import StopFlag
from kit.pool import draw_pool
from kit.ranking.truth_file import CHOSEN, Truth, write_truth
from kit.recipe import Profile, comparable
from kit.recipe.run_settings import OF_TRUTH
from kit.records import appending, read_records
from kit.run_dir import RunDirectory, check_same_settings, require_directory, write_environment
from kit.search_space import Architecture
from kit.strict import KEY_FORMAT, key_of
from kit.truth import StandaloneScore, Unit, train_units

PHASE = "trainings"


@dataclass(frozen=True, kw_only=True)
class TruthRequest:
    """Which architectures are trained alone, how often, on what."""

    profile: Profile
    runs: Path
    architectures: tuple[Architecture, ...]
    seeds: int
    data: str | None = None
    workers: int = 0
    fresh: bool = False


def default_architectures(profile: Profile, count: int) -> tuple[Architecture, ...]:
    """The first `count` architectures of the profile's own pool, so that a run's predictions cover them."""
    if count > profile.pool.size:
        raise InputError(
            f"{count} architectures asked for, the pool of profile {profile.name} has {profile.pool.size}",
            hint="give codes with --codes FILE, or raise profile.pool.size",
        )
    return draw_pool(profile.published_space, profile.pool.size, profile.pool.seed).architectures[:count]


class TruthRun:
    """A truth in the making, under `RUNS/truth-PROFILE`."""

    def __init__(self, request: TruthRequest, stop: StopFlag, progress: Progress | None = None) -> None:
        self.request = request
        self.stop = stop
        profile = request.profile
        data = open_profile_data(profile, request.data, progress)
        self.notes = data.notes
        self.settings: dict[str, Any] = {
            "kind": "truth",
            "format": KEY_FORMAT,
            "profile": {key: part for key, part in profile.identity(defaults=True).items() if key in OF_TRUTH},
            "data_fingerprint": data.fingerprint,
        }
        self.made_with = made_with(profile, data)
        identity = {key: part for key, part in profile.identity().items() if key in OF_TRUTH}
        self.key = key_of(profile=identity, data=data.fingerprint)
        require_directory(request.runs)
        self.directory = RunDirectory((request.runs / f"truth-{profile.name}").resolve())
        self.trainings = len(request.architectures) * request.seeds

    @property
    def file(self) -> Path:
        """The finished truth."""
        return self.directory.path / "truth.json"

    def execute(self) -> Iterator[Event]:
        """Train every unit that has no result yet, then write the truth file. Raises `StopRequestedError` on a signal."""
        run = self.directory
        require_directory(run.path)
        with run.locked():
            self._claim()
            yield from record(
                run,
                self._work(),
                self.stop.check,
                kind="truth",
                profile=self.request.profile.name,
                passes=self.trainings,
                phases=(PHASE,),
                fresh=self.request.fresh,
            )

    def _work(self) -> Iterator[Event]:
        yield from told(self.notes)
        trainings = self.directory.path / "trainings.jsonl"
        if self.request.fresh:
            trainings.unlink(missing_ok=True)
        missing = self._missing(read_trainings(trainings))
        if missing:
            yield from self._train(missing, trainings)
        else:
            yield PhaseReused(phase=PHASE, key=self.key, steps=self.trainings)
        self.stop.check()
        self._write(read_trainings(trainings))

    def _missing(self, done: Container[tuple[str, int]]) -> list[Unit]:
        """What has no result yet; first all architectures from the first seeds."""
        seeds, stack = range(self.request.seeds), self.request.profile.truth.stack
        units = [
            Unit(architecture, tuple(seed for seed in seeds[first : first + stack] if (architecture.code, seed) not in done))
            for first in seeds[::stack]
            for architecture in self.request.architectures
        ]
        return [unit for unit in units if unit.seeds]

    def _train(self, missing: Sequence[Unit], trainings: Path) -> Iterator[Event]:
        profile, total = self.request.profile, self.trainings
        workers = min(self.request.workers or os.cpu_count() or 1, len(missing))
        first = total - sum(len(unit.seeds) for unit in missing)
        yield PhaseStarted(
            phase=PHASE,
            key=self.key,
            method="alone",
            epochs=profile.truth.epochs,
            steps=total,
            first_step=first,
            subspace=f"{len(self.request.architectures):,} architectures, {self.request.seeds} seeds",
        )
        losses: list[float] = []
        with appending(trainings) as writer:
            started = time.perf_counter()
            for unit, scores in train_units(profile, self.request.data or profile.data, missing, workers, self.stop):
                code, seconds = unit.architecture.code, (time.perf_counter() - started) / len(scores)
                started = time.perf_counter()
                for seed, score in zip(unit.seeds, scores, strict=True):
                    entry = {"code": code, "seed": seed, "accuracy": score.accuracy, "loss": score.loss}
                    writer.append(entry, durable=True)
                    step = first + len(losses)
                    yield TrainingDone(
                        phase=PHASE,
                        step=step,
                        code=code,
                        seed=seed,
                        accuracy=score.accuracy,
                        loss=score.loss,
                        seconds=seconds,
                    )
                    losses.append(score.loss)
        if first + len(losses) == total:
            yield PhaseFinished(phase=PHASE, key=self.key, steps=total, loss=sum(losses) / len(losses))

    def _claim(self) -> None:
        run = self.directory
        if run.resolved.exists() and not self.request.fresh:
            check_same_settings(comparable(read_json(run.resolved, profile=dict)), comparable(self.settings), run)
            return
        # Each training has one thread of a CPU, whatever this process has.
        write_environment(run.environment, describe_compute() | {"threads": 1, "device": "cpu"})
        inputs = {"data": absolute_spec(self.request.data or self.request.profile.data)}
        write_json(run.resolved, {**self.settings, "kit": __version__, "inputs": inputs})

    def _chosen(self) -> str:
        architectures, profile = self.request.architectures, self.request.profile
        count, pool = len(architectures), profile.pool
        if count <= pool.size and architectures == default_architectures(profile, count):
            return f"the first {count} of the pool that profile {profile.name} draws with seed {pool.seed}"
        return "a list that was given"

    def _write(self, done: dict[tuple[str, int], StandaloneScore]) -> None:
        codes = tuple(architecture.code for architecture in self.request.architectures)
        seeds = range(self.request.seeds)
        provenance = {
            "made_by": "kit run truth",
            CHOSEN: self._chosen(),
            "kit": __version__,
            "settings_sha256": self.key,
            "data_fingerprint": self.settings["data_fingerprint"],
            "training": self.settings["profile"]["truth"],
            "environment": read_json(self.directory.environment),
        }
        truth = Truth(
            codes,
            tuple(tuple(done[code, seed].accuracy for seed in seeds) for code in codes),
            tuple(tuple(done[code, seed].loss for seed in seeds) for code in codes),
            self.request.profile.name,
            provenance,
            self.made_with,
        )
        write_truth(self.file, truth)


def read_trainings(path: Path) -> dict[tuple[str, int], StandaloneScore]:
    """Finished trainings by (code, seed)."""
    return {
        (record["code"], record["seed"]): StandaloneScore(record["accuracy"], record["loss"])
        for record in read_records(path)
    }
