"""What a run has on disk besides its log: settings, pool, scores, truth. Read in worker threads only."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kit.errors import InputError, KitError, StorageError
from kit.files import read_json
from kit.latency_table import LatencyTable, read_latency
from kit.pool import Entry, parse_entries, read_document
from kit.ranking.made_with import MadeWith
from kit.ranking.opponent_files import OpponentFile
from kit.ranking.truth_file import KnownTruth, find_truth, load_truth, truth_for
from kit.recipe import Partition, Profile, load_profile
from kit.results import ResultsReader
from kit.run_dir import RunDirectory
from kit.search_space import SearchSpace
from kit.strict import first_problem
from kit.watch.pool_rows import PoolRows, Progress, make_rows, quiet

M = TypeVar("M", bound=BaseModel)
DEFAULT_PROFILE = "imagenet"
"""What the digits of a pool mean when no run says it."""


@dataclass(frozen=True)
class RunSettings:
    """What the digits of a run's codes mean, and who owns which of them."""

    profile: Profile
    partition: Partition | None = None
    made_with: MadeWith | None = None
    """What a truth must have been made with; None without a run."""

    @property
    def cells(self) -> tuple[SearchSpace, ...]:
        return () if self.partition is None else self.partition.subspaces(self.profile.search_space)


@dataclass(frozen=True)
class Scores:
    """Accuracies by code, in the order in which they were measured where that is known (`ordered`)."""

    accuracies: Mapping[str, float] = field(default_factory=dict)
    ordered: bool = False
    complete: bool = False
    """Whether they are the run's predictions, not what was scored so far."""


@dataclass(frozen=True)
class PoolView:
    """A pool with everything that is known of it; `error` instead of rows when it cannot be shown."""

    rows: PoolRows | None = None
    source: str = ""
    profile: Profile | None = None
    cells: tuple[SearchSpace, ...] = ()
    scores: Scores = Scores()
    truth: KnownTruth | None = None
    truth_problem: str = ""
    """Why the truth that somebody chose cannot be used."""
    no_truth: str = ""
    """Why no truth of the kit's fits, where nobody chose one."""
    opponents: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Rankings of the user's files, values by code."""
    opponent_problems: tuple[str, ...] = ()
    """Why files that somebody named are not among them."""
    latency: str = ""
    """What the figures of the latency table are, or why it has none for this pool."""
    error: KitError | None = None


def read_settings(run: RunDirectory) -> RunSettings:
    """Profile and partition of a run. Raises `KitError` when `resolved.json` cannot be read or is another version's."""
    resolved = read_json(run.resolved, profile=dict)
    recipe = resolved.get("recipe")
    partition = recipe.get("partition") if isinstance(recipe, dict) else None
    inputs = resolved.get("inputs")
    # The data set is an input of the run; the profile's own may have been another.
    data = inputs.get("data") if isinstance(inputs, dict) else None
    profile = read_profile(resolved["profile"], data, run.resolved)
    return RunSettings(
        profile,
        None if partition is None else _validated(Partition, partition, run.resolved),
        MadeWith.of_run(profile, resolved),
    )


def read_profile(settings: Mapping[str, Any], data: object, source: Path) -> Profile:
    """The profile of a run's `resolved.json`, which does not hold where its data lie. Raises `StorageError`."""
    return _validated(Profile, {"data": str(data), **settings}, source)


def _validated(model: type[M], document: Mapping[str, Any], path: Path) -> M:
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise StorageError(
            f"{path} cannot be used: {first_problem(error, model.__name__.lower())}",
            hint="it was made by another version of the kit, or damaged",
        ) from error


@dataclass(frozen=True)
class ScoreFiles:
    """Where a run's scores lie, and under which key; of an evaluation: with the weights that it is of."""

    evaluations: Path
    predictions: Path
    key: str = ""
    """Empty: the newest."""


def score_files(run: RunDirectory) -> ScoreFiles:
    """What `resolved.json` says, else the run's own. Raises `StorageError`."""
    scores = read_json(run.resolved).get("scores")
    if isinstance(scores, dict) and {"evaluations", "predictions", "key"} <= scores.keys():
        return ScoreFiles(Path(scores["evaluations"]), Path(scores["predictions"]), str(scores["key"]))
    return ScoreFiles(run.evaluations, run.predictions)


def read_scores(files: ScoreFiles, results: ResultsReader) -> Scores:
    """The predictions in the order of their measurement, else what was scored so far. Raises `KitError`."""
    results.look()
    measured = results.of(files.key) if files.key else results.newest
    path = files.predictions
    if not path.exists():
        return Scores({code: correct / images for code, (correct, images) in measured.items()}, ordered=True)
    entries = parse_entries(read_document(path), source=str(path))
    final = {entry.code: entry.accuracy for entry in entries if entry.accuracy is not None}
    if len(final) < len(entries):
        without = next(entry.name for entry in entries if entry.code not in final)
        raise InputError(f"{path}: entry {without!r} has no 'acc', which predictions need")
    if not final.keys() <= measured.keys():
        return Scores(final, complete=True)
    return Scores({code: final[code] for code in measured if code in final}, ordered=True, complete=True)


@dataclass
class PoolReader:
    """Reads the pool of a run, or the file `pool`, with the run's scores and the truth, as often as these may have grown."""

    run: RunDirectory | None = None
    pool: Path | None = None
    truth: str = ""
    """A path or a profile's name; empty: the shipped one."""
    opponents: tuple[OpponentFile, ...] = ()
    latency: Path | None = None
    """A latency table."""
    _results: ResultsReader | None = field(default=None, init=False, compare=False)

    def read(self, progress: Progress = quiet) -> PoolView:
        """What is known now. Errors are part of the view."""
        run = self.run
        try:
            settings = RunSettings(load_profile(DEFAULT_PROFILE)) if run is None else read_settings(run)
            view = PoolView(profile=settings.profile, cells=settings.cells)
            progress("reading scores", 0.0)
            view = replace(view, scores=Scores() if run is None else self._scores(run))
            path = _pool_path(run, self.pool)
            if path is None:
                return view
            view = replace(view, source=path.name)
            progress(f"reading {path.name}", 0.0)
            entries = parse_entries(read_document(path), source=str(path))
            view = _with_opponents(_with_truth(view, settings, self.truth), settings.profile.search_space, self.opponents)
            table, told = self._latency(settings.profile)
            return replace(view, latency=told, rows=_rows(view, entries, path, table, progress))
        except KitError as error:
            return PoolView(error=error)

    def _latency(self, profile: Profile) -> tuple[LatencyTable | None, str]:
        """The table if it fits, and what is to be said of it."""
        if self.latency is None:
            return None, ""
        try:
            table = read_latency(self.latency)
            table.check_fits(profile.scale, f"profile {profile.name}")
        except KitError as error:
            return None, f"no latencies: {error}"
        return table, table.brief()

    def _scores(self, run: RunDirectory) -> Scores:
        files = score_files(run)
        if self._results is None or self._results.path != files.evaluations:
            self._results = ResultsReader(files.evaluations)
        return read_scores(files, self._results)


def _pool_path(run: RunDirectory | None, pool: Path | None) -> Path | None:
    candidates = [pool] if pool is not None else [] if run is None else [run.pool, run.predictions]
    return next((path for path in candidates if pool is not None or path.exists()), None)


def _with_truth(view: PoolView, settings: RunSettings, chosen: str) -> PoolView:
    """With the truth that somebody chose (a path or a profile), else the shipped one that fits the run."""
    if chosen:
        try:
            path = find_truth(chosen)
            return replace(view, truth=KnownTruth(path, load_truth(path)))
        except KitError as error:
            return replace(view, truth_problem=str(error))
    if settings.made_with is None:
        return view
    try:
        return replace(view, truth=truth_for(settings.profile.name, settings.made_with))
    except KitError as error:
        return replace(view, no_truth=str(error))


def _with_opponents(view: PoolView, space: SearchSpace, files: Iterable[OpponentFile]) -> PoolView:
    """With what can be read of the files that somebody named."""
    found: dict[str, dict[str, float]] = {}
    problems = []
    for file in files:
        try:
            found[file.name] = file.read(space)
        except KitError as error:
            problems.append(f"opponent {file.name}: {error}")
    return replace(view, opponents=found, opponent_problems=tuple(problems))


def _rows(view: PoolView, entries: list[Entry], path: Path, latency: LatencyTable | None, progress: Progress) -> PoolRows:
    assert view.profile is not None
    # A pool's own accuracies are zeros where it is the challenge's list of codes; a run's scores are better.
    own = {entry.code: entry.accuracy for entry in entries if entry.accuracy is not None}
    blank = not any(own.values())
    make = partial(make_rows, entries, view.profile, source=str(path), cells=view.cells, latency=latency, progress=progress)
    scores = view.scores.accuracies or ({} if blank else own)
    return make(accuracies=scores, truth={} if view.truth is None else view.truth.truth.means)
