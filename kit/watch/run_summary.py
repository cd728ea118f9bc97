"""A run in one row: what it is, how it stands, how far it is. The dashboard's list and `kit runs` show the same."""

from dataclasses import dataclass, field
from typing import Any

from kit.errors import StorageError
from kit.files import read_json
from kit.run_dir import RunDirectory
from kit.watch.liveness import Liveness
from kit.watch.log_reader import LogReader
from kit.watch.run_state import RunState


@dataclass(frozen=True)
class Settings:
    """What a run's `resolved.json` says it is."""

    kind: str = ""
    recipe: str = ""
    profile: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class RunSummary:
    """A row of a list of runs."""

    run: RunDirectory
    status: str = ""
    """`queued`, `running`, `finished`, `stopped`, `crashed`, or `damaged`; empty until the run was looked at."""
    settings: Settings = Settings()
    state: RunState = field(default_factory=RunState)
    created: float = 0.0
    problem: str = ""

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def kind(self) -> str:
        """`recipe`, `truth`, `evaluation`, `ladder`, `alone` or `search`."""
        return self.settings.kind or self.state.kind

    @property
    def recipe(self) -> str:
        """The recipe's name; of a run without one, what kind of run it is."""
        return self.settings.recipe or self.state.recipe

    @property
    def profile(self) -> str:
        return self.settings.profile or self.state.profile

    @property
    def pearson(self) -> float | None:
        """Rank so far, or in the end."""
        figures = self.state.rank_figures
        return None if figures is None or figures.pearson is None else figures.pearson.value

    @property
    def kendall(self) -> float | None:
        """Rank so far, or in the end."""
        figures = self.state.rank_figures
        return None if figures is None or figures.kendall is None else figures.kendall.value

    def to_json(self) -> dict[str, Any]:
        """An entry of `kit runs list --json`."""
        state = self.state
        return {
            "run": self.id,
            "kind": self.kind,
            "recipe": self.recipe,
            "profile": self.profile,
            "seed": self.settings.seed if self.settings.kind else state.seed,
            "state": self.status,
            "started": state.started,
            "updated": state.updated,
            "phase": state.phase,
            "passes": state.passes,
            "passes_done": state.passes_done,
            "loss": state.loss,
            "pearson": self.pearson,
            "kendall": self.kendall,
            "path": str(self.run.path),
            "note": self.problem,
        }


def describe_run(run: RunDirectory) -> RunSummary:
    """How a run stands now. Damage is a state, not an error."""
    reader = read_log(run)
    return summarize(run, reader.fold.state(), Liveness(run), problem=reader.complaint)


def read_state(run: RunDirectory) -> RunState:
    """What a run's whole log adds up to, without curves."""
    return read_log(run).fold.state()


def read_log(run: RunDirectory) -> LogReader:
    """A reader at the end of the log."""
    reader = LogReader(run.events, curves=False)
    reader.catch_up()
    return reader


def summarize(
    run: RunDirectory, state: RunState, liveness: Liveness, *, created: float = 0.0, problem: str = ""
) -> RunSummary:
    """The row of a run whose log adds up to `state`."""
    status, settings = liveness.status(state.outcome), Settings()
    try:
        settings = read_settings(run)
    except StorageError as error:
        status, problem = "damaged", str(error)
    return RunSummary(run, "damaged" if problem else status, settings, state, created, problem)


def read_settings(run: RunDirectory) -> Settings:
    """What a run is. Raises `StorageError`."""
    resolved = read_json(run.resolved, kind=str, profile=dict)
    recipe, seed = resolved.get("recipe"), resolved.get("seed")
    name = recipe.get("name", "") if isinstance(recipe, dict) else resolved["kind"]
    return Settings(
        resolved["kind"], str(name), str(resolved["profile"].get("name", "")), seed if type(seed) is int else None
    )
