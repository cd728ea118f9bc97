"""The networks of `kit run alone`, ready to be exported like those of a supernet."""

from dataclasses import dataclass
from pathlib import Path

from timm.models.resnet import ResNet
from torch import Tensor

from kit.data import normalize
from kit.errors import InputError
from kit.files import read_json
from kit.pipeline.alone_run import kept_trainings
from kit.pipeline.request import open_profile_data
from kit.pipeline.scored_run import Origin, ScoredRun, open_scored_run
from kit.results import Counts
from kit.run_dir import RunDirectory, kind_of
from kit.search_space import Architecture
from kit.supernet.weights import load_subnet
from kit.watch.run_files import read_profile
from kit.watch.trainings import INHERITED


@dataclass(frozen=True)
class TrainedAlone:
    """One network of a finished run of `kit run alone`."""

    network: ResNet
    architecture: Architecture
    score: Counts
    origin: Origin
    differences: tuple[str, ...] = ()
    """Nothing is scored again."""

    def subnet(self, architecture: Architecture) -> tuple[ResNet, Counts]:
        """The network. Raises `InputError` for another architecture."""
        if architecture.code != self.architecture.code:
            raise InputError(f"only {self.architecture} was trained here, not {architecture}")
        return self.network, self.score

    def sample(self, count: int) -> Tensor:
        """The first validation images as a network takes them, on the CPU."""
        data = self.origin.data
        batch = next(iter(data.val_batches(batch_size=min(count, data.val_size))))
        return normalize(batch.images, data)


def open_trained_alone(run: RunDirectory, data: str | None = None) -> TrainedAlone:
    """The first training of a run: from inherited weights if there is one, of the lowest seed. Raises `InputError`."""
    resolved = read_json(run.resolved, profile=dict, inputs=dict, data_fingerprint=str)
    finished = kept_trainings(run)
    if not finished or run.is_locked:
        raise InputError(f"run {run.id} is not finished", hint="run the same command again: it continues")
    entry = finished[0]
    profile = read_profile(resolved["profile"], resolved["inputs"]["data"], run.resolved)
    opened = open_profile_data(profile, data or profile.data)
    if opened.fingerprint != resolved["data_fingerprint"]:
        raise InputError(
            f"the data are not those of run {run.id}", hint="name the same data set, wherever it lies now, with --data SPEC"
        )
    network, architecture, _ = load_subnet(run.path / entry.weights, sha256=entry.sha256)
    origin = Origin(
        profile=profile,
        data=opened,
        recipe="",
        seed=entry.seed,
        weights_sha256=entry.sha256,
        how=f"trained by itself for {profile.truth.epochs} epochs from "
        + ("a supernet's weights" if entry.start == INHERITED else "scratch"),
    )
    right = round(entry.accuracy * opened.val_size)
    return TrainedAlone(network, architecture, (right, opened.val_size), origin)


def open_networks(run: RunDirectory, data: str | None = None) -> TrainedAlone | ScoredRun:
    """What can be exported of a run of any kind that has networks."""
    return open_trained_alone(run, data) if kind_of(run) == "alone" else open_scored_run(run, data)


def weights_of_alone(run: RunDirectory) -> Path:
    """The file of the network that is exported. Raises `InputError` where none is finished."""
    finished = kept_trainings(run)
    if not finished:
        raise InputError(f"run {run.id} has no trained network yet", hint="run the same command again: it continues")
    return run.path / finished[0].weights
