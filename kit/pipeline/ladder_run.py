"""`kit run ladder`: many recipes with several supernet seeds each, one after another, on one truth."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kit import __version__
from kit.errors import KitError, StopRequestedError
from kit.events import Event, PhaseFailed, PhaseFinished, PhaseReused, PhaseStarted
from kit.files import read_json, write_json
from kit.ladder_files import AskedRow, DoneRow, Half, LadderInputs, RowFolder, read_ladder, write_inputs, write_ladder
from kit.ladder_report import LadderReport
from kit.pipeline.rank_so_far import fitting_truth
from kit.pipeline.recipe_run import RecipeRun
from kit.pipeline.request import Progress, ResolvedRun, RunRequest, open_profile_data, resolve
from kit.pipeline.run_log import record
from kit.pipeline.signals import StopFlag
from kit.pool import load_pool
from kit.ranking.ladder import Rows, half_of, inputs_key, measure
from kit.ranking.truth_file import KnownTruth, load_truth
from kit.recipe import Profile, Recipe, comparable
from kit.run_dir import RunDirectory, check_same_settings, require_directory, write_environment
from kit.strict import key_of
from kit.watch.run_summary import read_state

OUTSIDE_ROWS = ("name", "truth")
"""What of a profile decides no prediction."""
Shown = Callable[[Iterable[Event]], Iterable[Event]]
"""Tells the events of a row's own run while they pass."""


@dataclass(frozen=True, kw_only=True)
class LadderRequest:
    """Which recipes, with how many supernets each, on what."""

    recipes: tuple[Recipe, ...]
    seeds: int
    profile: Profile
    runs: Path
    data: str | None = None
    truth: Path | None = None
    half: Half | None = None
    """Of the truth, by position: choose on one, report on the other."""
    overrides: tuple[str, ...] = ()
    opponents: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Further rankings, values by code."""
    rows: Path | None = None
    """Where finished rows lie; in the ladder's own directory unless said otherwise."""


@dataclass(frozen=True, eq=False)
class Rung:
    """A recipe and a supernet seed of the ladder."""

    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        return f"{self.recipe.name} s{self.seed}"


@dataclass
class LadderRun:
    """A ladder under `RUNS/ladder-PROFILE`. Each of its rungs is a run of its own, which `kit run recipe` would continue."""

    request: LadderRequest
    stop: StopFlag
    progress: Progress | None = None
    errors: dict[str, str] = field(default_factory=dict)
    """Why a recipe has supernets that are missing, by its name."""

    def __post_init__(self) -> None:
        request = self.request
        self.data = open_profile_data(request.profile, request.data, self.progress)
        self.directory = RunDirectory((request.runs / f"ladder-{request.profile.name}").resolve())
        self.rows = RowFolder(request.rows or self.directory.path / "rows")
        self._resolved: dict[Rung, ResolvedRun] = {}
        # Seed by seed, so that an unfinished ladder compares all recipes already.
        self.rungs = [Rung(recipe, seed) for seed in range(request.seeds) for recipe in request.recipes]

    @cached_property
    def truth(self) -> KnownTruth:
        """What the rows are measured against. Raises `InputError` where none fits."""
        request = self.request
        if request.truth is None:
            known = fitting_truth(request.profile, self.data)
        else:
            known = KnownTruth(request.truth.absolute(), load_truth(request.truth))
        return half_of(known, request.half)

    @cached_property
    def inputs(self) -> LadderInputs:
        """What is asked for, resolved. Raises `InputError` where no truth fits."""
        request, known = self.request, self.truth.truth.index
        opponents = {
            name: {code: value for code, value in values.items() if code in known}
            for name, values in request.opponents.items()
        }
        return LadderInputs(
            rows=tuple(self._asked(Rung(recipe, seed)) for recipe in request.recipes for seed in range(request.seeds)),
            folder=str(self.rows.path.absolute()),
            truth=str(self.truth.path),
            half=request.half,
            num_classes=self.data.num_classes,
            opponents=opponents,
        )

    def _asked(self, rung: Rung) -> AskedRow:
        asked = AskedRow(recipe=rung.recipe.name, seed=rung.seed, paper=_paper(rung.recipe))
        try:
            resolved = self.resolve(rung)
            return asked.model_copy(update={"key": row_key(resolved), "passes": resolved.plan.passes})
        except KitError:  # it fails when its turn comes, and says why
            return asked

    def execute(self, show: Shown) -> Iterator[Event]:
        """Train and score every rung that has no row yet; one that fails is noted, and the others go on."""
        run = self.directory
        _ = self.truth  # whoever asks for the wrong one hears it before the training
        require_directory(self.request.runs)
        require_directory(run.path)
        with run.locked():
            self._claim()
            yield from record(
                run,
                self._work(show),
                self.stop.check,
                kind="ladder",
                profile=self.request.profile.name,
                passes=sum(row.passes for row in self.inputs.rows),
                phases=(rung.name for rung in self.rungs),
            )

    def _work(self, show: Shown) -> Iterator[Event]:
        for rung in self.rungs:
            self.stop.check()
            try:
                resolved = self.resolve(rung)
                key = row_key(resolved)
                if self.find(rung) is not None:
                    yield PhaseReused(phase=rung.name, key=key, steps=resolved.plan.passes)
                    continue
                run = RecipeRun(resolved, self.stop)
                yield PhaseStarted(
                    phase=rung.name,
                    key=key,
                    method="recipe",
                    epochs=sum(planned.phase.epochs for planned in resolved.plan.phases),
                    steps=resolved.plan.passes,
                    first_step=0,
                    subspace="",
                    run=run.directory.id,
                )
                for _ in show(run.execute()):
                    pass
                self._keep(rung, key, resolved, run.directory)
            except StopRequestedError:
                raise
            except KitError as error:
                self.errors[rung.recipe.name] = f"seed {rung.seed}: {error}"
                yield PhaseFailed(phase=rung.name, reason=str(error))
                continue
            loss = read_state(run.directory).loss
            yield PhaseFinished(phase=rung.name, key=key, steps=resolved.plan.passes, loss=loss or 0.0)

    def _keep(self, rung: Rung, key: str, resolved: ResolvedRun, run: RunDirectory) -> None:
        passes = resolved.plan.passes
        row = DoneRow(
            recipe=rung.recipe.name,
            seed=rung.seed,
            key=key,
            passes=passes,
            images=passes * resolved.profile.training.batch_size,
            seconds=read_state(run).elapsed,
            environment=read_json(run.environment),
            predictions=load_pool(run.predictions, resolved.profile.search_space).scores,
        )
        self.rows.write(row)

    def resolve(self, rung: Rung) -> ResolvedRun:
        """The rung's own run, over the ladder's data. Raises `KitError`."""
        request = self.request
        if rung not in self._resolved:
            own = RunRequest(
                recipe=rung.recipe,
                profile=request.profile,
                runs=request.runs,
                seed=rung.seed,
                data=request.data,
                overrides=request.overrides,
            )
            self._resolved[rung] = resolve(own, data=self.data)
        return self._resolved[rung]

    def find(self, rung: Rung) -> DoneRow | None:
        """The rung's row, if it is done. Raises `KitError`."""
        return self.rows.find(rung.recipe.name, rung.seed, row_key(self.resolve(rung)))

    def _claim(self) -> None:
        run, profile = self.directory, self.request.profile
        settings: dict[str, Any] = {
            "kind": "ladder",
            "profile": profile.model_dump(mode="json", exclude={"runtime", "data"}),
            "data_fingerprint": self.data.fingerprint,
        }
        if run.resolved.exists():
            check_same_settings(comparable(read_json(run.resolved, profile=dict)), comparable(settings), run)
        else:
            write_environment(run.environment)
            write_json(run.resolved, {**settings, "kit": __version__, "inputs": {"data": self.request.data or profile.data}})
        write_inputs(run.ladder_inputs, self.inputs)

    def report(self) -> LadderReport:
        """Measure all rows that are there, or answer what was measured of the very same.

        Raises `InputError` where their predictions and the truth share too little.
        """
        request, opponents = self.request, self.inputs.opponents
        rows = [self._rows(recipe) for recipe in request.recipes]
        inputs = inputs_key(rows, self.truth, request.half, opponents)
        with suppress(KitError):  # of a ladder that measured nothing yet
            known = read_ladder(self.directory.ladder)
            if known.inputs == inputs:
                return known
        scale = replace(request.profile.scale, num_classes=self.data.num_classes)
        found = replace(measure(request.profile.name, rows, self.truth, scale, opponents), inputs=inputs)
        write_ladder(self.directory.ladder, found)
        return found

    def _rows(self, recipe: Recipe) -> Rows:
        error = self.errors.get(recipe.name)
        done = []
        for rung in (each for each in self.rungs if each.recipe is recipe):
            try:
                row = self.find(rung)
            except KitError as found:
                error = error or f"seed {rung.seed}: {found}"
            else:
                done += [row] if row else []
        return Rows(recipe.name, done, error, _paper(recipe))


def _paper(recipe: Recipe) -> float | None:
    """Pearson's r in the paper."""
    return None if recipe.paper is None else recipe.paper.pearson


def row_key(resolved: ResolvedRun) -> str:
    """What decides a row's predictions: recipe, profile, data, pool and seed; nothing of any truth."""
    profile = {name: part for name, part in resolved.profile.identity().items() if name not in OUTSIDE_ROWS}
    return key_of(
        recipe=resolved.recipe,
        profile=profile,
        seed=resolved.request.seed,
        data=resolved.data.fingerprint,
        pool=resolved.pool.fingerprint,
    )
