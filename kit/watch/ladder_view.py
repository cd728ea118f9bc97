"""A ladder as it goes on: what each of its supernets does, and how the recipes rank by the rows that are there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from kit.correlation import MIN_ARCHITECTURES
from kit.correlation.comparison import Comparison, Variable
from kit.errors import InputError, KitError
from kit.files import storage_errors
from kit.ladder_files import AskedRow, DoneRow, LadderInputs, RowFolder, read_inputs, read_ladder
from kit.ladder_report import LadderReport
from kit.ranking.ladder import Rows, half_of, inputs_key, measure
from kit.ranking.truth_file import KnownTruth, Truth, load_truth
from kit.run_dir import RUN_NAME, RunDirectory
from kit.watch.log_reader import LogReader
from kit.watch.run_files import read_settings
from kit.watch.run_state import PhaseState, PhaseStatus, RunState


@dataclass(frozen=True)
class Supernet:
    """One recipe with one seed. `status` is `running` also when its process is gone."""

    recipe: str
    seed: int
    status: PhaseStatus = "waiting"
    passes: int = 0
    phase: str = ""
    """Of the run that trains it: where it is now."""
    fraction: float | None = None
    """Done part of the training, then of the scoring, 0..1."""
    seconds_left: float | None = None
    reason: str = ""
    """Why it failed, or why its row cannot be used."""
    paper: float | None = None
    done: DoneRow | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LadderView:
    """All supernets, those of one recipe after each other. Without `inputs` nothing says what the ladder was asked for."""

    supernets: tuple[Supernet, ...] = ()
    inputs: LadderInputs | None = None
    problem: str = ""

    @property
    def by_recipe(self) -> dict[str, list[Supernet]]:
        """In the order of the ladder."""
        found: dict[str, list[Supernet]] = {}
        for each in self.supernets:
            found.setdefault(each.recipe, []).append(each)
        return found

    @property
    def measured_by(self) -> tuple[object, ...]:
        """What figures depend on: while it stays the same, they need not be measured again."""
        rows = tuple((each.recipe, each.seed, each.done and each.done.key, each.reason) for each in self.supernets)
        asked = self.inputs
        return (rows, asked and (asked.truth, asked.half, asked.folder, tuple(asked.opponents)))


@dataclass(frozen=True)
class LadderFigures:
    """How the rows rank; without a report `problem` says why. `spoiled` is why a done supernet cannot be ranked."""

    report: LadderReport | None = None
    alone: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    """Pearson's r and Kendall's tau of one supernet by itself, by recipe and seed."""
    spoiled: Mapping[tuple[str, int], str] = field(default_factory=dict)
    problem: str = ""


class LadderReader:
    """Reads a ladder's directory as often as it may have changed. Call it from threads, one at a time."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._rows: dict[Path, tuple[tuple[object, ...], DoneRow | None]] = {}
        self._running: LogReader | None = None

    def look(self, state: RunState) -> LadderView:
        """What the supernets do, given what the ladder's log adds up to. Damage is part of the view."""
        phases = {phase.name: phase for phase in state.phases}
        try:
            inputs = read_inputs(self.run.ladder_inputs)
        except KitError as error:  # an older kit's ladder has none
            problem = str(error) if os.path.exists(self.run.ladder_inputs) else ""
            named = [phase.name.rpartition(" s") for phase in state.phases]
            asked = [AskedRow.model_construct(recipe=name, seed=int(seed)) for name, _, seed in named if seed.isdecimal()]
            asked.sort(key=lambda row: [name for name, _, _ in named].index(row.recipe))
            return LadderView(tuple(self._supernet(row, phases, None) for row in asked), problem=problem)
        folder = RowFolder(Path(inputs.folder))
        return LadderView(tuple(self._supernet(row, phases, folder) for row in inputs.rows), inputs)

    def _supernet(self, asked: AskedRow, phases: Mapping[str, PhaseState], folder: RowFolder | None) -> Supernet:
        phase = phases.get(f"{asked.recipe} s{asked.seed}", PhaseState(""))
        passes = asked.passes or phase.steps
        found = Supernet(asked.recipe, asked.seed, phase.status, passes, reason=phase.reason, paper=asked.paper)
        if folder is not None:
            try:
                row = self._row(folder, asked)
            except KitError as error:
                return replace(found, status="failed", reason=str(error))
            if row is not None:
                status: PhaseStatus = "reused" if phase.status == "reused" else "done"
                return replace(found, status=status, reason="", done=row)
            if phase.status in ("done", "reused"):  # asked for anew, with other settings
                found = replace(found, status="waiting")
        return self._progress(found, phase) if phase.status == "running" else found

    def _row(self, folder: RowFolder, asked: AskedRow) -> DoneRow | None:
        """The row, read again only where its file is another one. Raises `KitError`."""
        file = folder.file(asked.recipe, asked.seed)
        with storage_errors("read", file):
            if not file.exists():
                return None
            status = file.stat()
        stamp = (asked.key, status.st_mtime_ns, status.st_size, status.st_ino)
        if file not in self._rows or self._rows[file][0] != stamp:
            self._rows[file] = stamp, folder.find(asked.recipe, asked.seed, asked.key)
        return self._rows[file][1]

    def _progress(self, supernet: Supernet, phase: PhaseState) -> Supernet:
        if not RUN_NAME.fullmatch(phase.run):
            return supernet
        log = RunDirectory(self.run.path.parent / phase.run).events
        if self._running is None or self._running.path != log:
            self._running = LogReader(log, curves=False)
        self._running.catch_up()
        state = self._running.fold.state()
        scoring = state.evaluation
        if scoring is not None and not scoring.finished:
            where, fraction = "scoring", scoring.fraction
        else:
            where, fraction = state.phase or "", state.fraction or 0.0
        return replace(supernet, phase=where, fraction=fraction, seconds_left=state.seconds_left)

    def measure(self, view: LadderView) -> LadderFigures:
        """The figures of a view, those that the ladder measured itself where they are of the same rows. Takes seconds."""
        try:
            if view.inputs is None:
                return LadderFigures(self._kept(), problem=view.problem)
            return self._measure(view, view.inputs)
        except KitError as error:
            return LadderFigures(problem=f"{error}; {error.hint}" if error.hint else str(error))

    def _measure(self, view: LadderView, inputs: LadderInputs) -> LadderFigures:
        path = Path(inputs.truth)
        known = half_of(KnownTruth(path, load_truth(path)), inputs.half)
        spoiled = {
            (each.recipe, each.seed): why
            for each in view.supernets
            if each.done is not None and (why := _unfit(each.done, known.truth))
        }
        alone = {
            (each.recipe, each.seed): _alone(each.done, known.truth)
            for each in view.supernets
            if each.done is not None and (each.recipe, each.seed) not in spoiled
        }
        if not alone:
            return LadderFigures(spoiled=spoiled, problem="no row is done yet" if not spoiled else "")
        rows = [_rows(recipe, each, spoiled) for recipe, each in view.by_recipe.items()]
        profile = read_settings(self.run).profile
        key = inputs_key(rows, known, inputs.half, inputs.opponents)
        report = self._kept()
        if report is None or report.inputs != key:
            scale = replace(profile.scale, num_classes=inputs.num_classes)
            try:
                report = measure(profile.name, rows, known, scale, inputs.opponents)
            except InputError as error:
                return LadderFigures(None, alone, spoiled, str(error))
        return LadderFigures(report, alone, spoiled)

    def _kept(self) -> LadderReport | None:
        """What the ladder measured last; None where that is missing or damaged."""
        try:
            with storage_errors("read", self.run.ladder):
                return read_ladder(self.run.ladder)
        except KitError:
            return None


def _rows(recipe: str, supernets: Sequence[Supernet], spoiled: Mapping[tuple[str, int], str]) -> Rows:
    done = [each.done for each in supernets if each.done is not None and (each.recipe, each.seed) not in spoiled]
    errors = [f"seed {each.seed}: {each.reason}" for each in supernets if each.reason]
    # As the ladder says it, so that its figures are known for those of the same rows.
    return Rows(recipe, done, errors[-1] if errors else None, supernets[0].paper)


def _unfit(row: DoneRow, truth: Truth) -> str:
    """Why a row cannot be ranked; one that cannot would spoil the figures of all."""
    values = [row.predictions[code] for code in truth.codes if code in row.predictions]
    if len(values) < MIN_ARCHITECTURES:
        return f"it knows {len(values)} of the truth's {len(truth.codes)} architectures"
    return "all its predictions are equal: a constant ranks nothing" if np.ptp(values) == 0 else ""


def _alone(row: DoneRow, truth: Truth) -> tuple[float, float]:
    codes = [code for code in truth.codes if code in row.predictions]
    predicted, true = (np.array([values[code] for code in codes]) for values in (row.predictions, truth.means))
    pearson, kendall, _ = Comparison(Variable("predictions", predicted), Variable("truth", true)).point().tolist()
    return pearson, kendall
