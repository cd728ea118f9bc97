"""The trainings of one architecture by itself, `kit run alone`: which there are, and what the finished ones reached."""

import statistics
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kit.errors import KitError, StorageError
from kit.files import read_json
from kit.recipe import Profile
from kit.records import read_records
from kit.run_dir import RunDirectory, all_runs
from kit.strict import first_problem
from kit.watch.run_files import read_settings

SCRATCH, INHERITED = "scratch", "inherited"
TRAININGS = "trainings.jsonl"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One of the trainings, and the phase that it is in the log."""

    start: str
    seed: int

    @property
    def phase(self) -> str:
        return f"{self.start}-s{self.seed}"

    @staticmethod
    def of_phase(phase: str) -> "Training | None":
        """The training that is this phase; None for a phase that is none."""
        start, _, seed = phase.rpartition("-s")
        return Training(start=start, seed=int(seed)) if start in (SCRATCH, INHERITED) and seed.isdecimal() else None


@dataclass(frozen=True, kw_only=True)
class FinishedTraining(Training):
    """A line of `trainings.jsonl`: validation accuracy and loss in the end, and the accuracies by epoch.

    `curve` begins with epoch 0 where weights are inherited. `weights` is the network's path in the run's directory.
    """

    accuracy: float
    loss: float
    weights: str
    sha256: str
    curve: tuple[tuple[int, float], ...]

    @property
    def training(self) -> Training:
        """Which one it is."""
        return Training(start=self.start, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class TrainedCode:
    """What a run of `kit run alone` is about, and the trainings that it has finished: inherited ones first, then by seed."""

    run: RunDirectory
    code: str
    profile: Profile
    data: str
    supernet: str
    """The name of the run whose weights were inherited; empty where none were."""
    finished: tuple[FinishedTraining, ...]

    def of(self, start: str) -> list[FinishedTraining]:
        """Those that began in this way."""
        return [each for each in self.finished if each.start == start]

    def begun(self, start: str) -> str:
        """In words, where the weights came from."""
        return "from scratch" if start == SCRATCH else f"from {self.supernet}"


def read_trainings(run: RunDirectory) -> list[FinishedTraining]:
    """The finished trainings of a run, of each the newest. Raises `StorageError` for lines of another layout."""
    path = run.path / TRAININGS
    try:
        found = TypeAdapter(list[FinishedTraining]).validate_python(read_records(path))
    except ValidationError as error:
        raise StorageError(
            f"{path} cannot be used: {first_problem(error)}", hint="it was made by another version of the kit, or damaged"
        ) from error
    newest = {(each.start, each.seed): each for each in found}
    return [each for _, each in sorted(newest.items())]


def read_trained(run: RunDirectory) -> TrainedCode:
    """What lies in the directory of a `kit run alone` now. Raises `KitError`."""
    resolved = read_json(run.resolved, code=str, inputs=dict)
    inputs, profile = resolved["inputs"], read_settings(run).profile
    return TrainedCode(
        run=run,
        code=profile.search_space.parse(resolved["code"]).code,
        profile=profile,
        data=str(inputs.get("data", "")),
        supernet=Path(str(inputs.get("run", ""))).name,
        finished=tuple(read_trainings(run)),
    )


def trained_in(folders: Collection[Path], codes: Collection[str]) -> Iterator[TrainedCode]:
    """Every run in these folders that has finished a training of one of these codes; what cannot be read is passed over."""
    found: dict[Path, RunDirectory] = {}
    for folder in folders:
        with suppress(StorageError):
            found |= {run.path: run for run in all_runs(folder)}
    for run in found.values():
        with suppress(KitError):
            if read_json(run.resolved).get("code") in codes and (trained := read_trained(run)).finished:
                yield trained


def mean_accuracy(trainings: Sequence[FinishedTraining]) -> tuple[float, float | None]:
    """The mean over seeds with its standard error, which one seed does not have."""
    accuracies = [each.accuracy for each in trainings]
    error = statistics.stdev(accuracies) / len(accuracies) ** 0.5 if len(accuracies) > 1 else None
    return statistics.fmean(accuracies), error
