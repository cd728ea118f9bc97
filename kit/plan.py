"""What a request will do and cost, as a value: phases with parents and steps, passes and multiply-adds. It opens nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from kit.costs import costs, pool_costs
from kit.events import LARGEST, SAMPLED, SMALLEST
from kit.methods import Phase, Scope
from kit.pool import Pool
from kit.randomness import derive_random
from kit.recipe import Profile, Recipe
from kit.search_space import Architecture, Scale, SearchSpace
from kit.strict import identity_of

START = ""
"""In the place of a phase's name: the weights that a run begins with, those given or fresh ones."""
BACKWARD_FACTOR = 3
"""A training pass costs three forward passes: the backward pass has two products of the forward's size."""
SAMPLES = 200
BYTES = 4
SAMPLES_WATCHED = 3


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What only the data tell."""

    fingerprint: str
    train_images: int
    val_images: int
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One phase: after which others it comes, what it draws from, and for how long."""

    phase: Phase
    parent: str
    """The phase whose weights it goes on from."""
    teacher: str | None
    """The phase whose weights soften its labels, if any do."""
    first_epoch: int
    """Epochs trained before it: data are shuffled by the epoch counted from the run's start."""
    steps: int
    space: SearchSpace

    @property
    def name(self) -> str:
        return self.phase.name

    @property
    def passes(self) -> int:
        return self.phase.passes(self.steps)


def watched_architectures(space: SearchSpace) -> dict[str, Architecture]:
    """Who shows whether a phase has converged: the largest and the smallest it trains, and some that are drawn.

    The same for every phase that trains the same space.
    """
    rng = derive_random("watched architectures")
    drawn = {f"{SAMPLED} {number}": space.sample(rng) for number in range(1, SAMPLES_WATCHED + 1)}
    return {LARGEST: space.largest, SMALLEST: space.smallest, **drawn}


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """Cost of one phase. `subnet_epochs` is epochs x sub-networks a step; `macs` are of all passes, forward and backward."""

    name: str
    method: str
    parent: str
    key: str | None = None
    """None while it depends on weights that are not there yet."""
    reused: bool = False
    epochs: int
    steps: int
    paths_per_step: float
    subnet_epochs: int
    passes: int
    macs: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """Cost of a whole run: the document of `--dry-run`. Seconds are scaled from one measured step, disk is a bound."""

    run: str
    recipe: str
    profile: str
    device: str
    train_images: int
    batch_size: int
    phases: tuple[PhaseCost, ...]
    subnets: int
    evaluation_macs: float
    evaluation_seconds: float
    watching_macs: float = 0.0
    """Of the sub-networks that are tried on held-out images after each phase."""
    watching_seconds: float = 0.0
    seconds: float
    disk_bytes: int
    measured: dict[str, float]

    @property
    def totals(self) -> dict[str, Any]:
        """Of all phases."""
        return {
            "passes": sum(phase.passes for phase in self.phases),
            "macs": sum(phase.macs for phase in self.phases),
            "training_seconds": sum(phase.seconds for phase in self.phases),
        }

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "totals": self.totals}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "RunCost":
        """What `to_json` gave; keys of later kits are passed over."""
        return TypeAdapter(RunCost).validate_python(document)


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A recipe on a profile, with data, pool and seed."""

    recipe: Recipe
    profile: Profile
    data: DataFacts
    pool: Pool
    seed: int
    weights_given: bool
    """Then there is nothing to pretrain."""
    processes: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch: the profile's number, or one pass over the data."""
        training = self.profile.training
        return training.steps_per_epoch or max(1, self.data.train_images // training.batch_size)

    @cached_property
    def cells(self) -> tuple[SearchSpace, ...]:
        """The subspaces of the sub-supernets; none without a partition."""
        partition = self.recipe.partition
        return partition.subspaces(self.profile.search_space) if partition else ()

    @cached_property
    def phases(self) -> tuple[PhasePlan, ...]:
        """What is trained, in order. A phase in cells goes on from what these have: the shared weights or its own."""
        planned = []
        shared = pretrained = START
        owners: dict[int, str] = {}
        epochs = {START: 0}
        for phase in self.recipe.phases:
            if phase.pretrains and self.weights_given:
                continue
            parent = owners.get(phase.cells[0], shared) if phase.cells else shared
            planned.append(
                PhasePlan(
                    phase=phase,
                    parent=parent,
                    teacher=pretrained if phase.needs_teacher else None,
                    first_epoch=epochs[parent],
                    steps=phase.epochs * self.steps_per_epoch,
                    space=phase.subspace(self._owned(phase)),
                )
            )
            epochs[phase.name] = epochs[parent] + phase.epochs
            owners |= dict.fromkeys(phase.cells, phase.name)
            shared = shared if phase.cells else phase.name
            if phase.pretrains:
                pretrained = phase.name
        return tuple(planned)

    def _owned(self, phase: Phase) -> SearchSpace:
        """The whole space, or what the cells of a phase own of it."""
        space, partition = self.profile.search_space, self.recipe.partition
        return partition.subspace(space, phase.cells) if partition and phase.cells else space

    @property
    def members(self) -> tuple[str, ...]:
        """The phase whose weights the final supernet has, or one per cell: cells that none trains keep the shared ones."""
        owners = {cell: planned.name for planned in self.phases for cell in planned.phase.cells}
        last = next((planned.name for planned in reversed(self.phases) if not planned.phase.cells), START)
        return tuple(owners.get(cell, last) for cell in range(len(self.cells))) or (last,)

    @property
    def passes(self) -> int:
        """Sub-network passes of all phases."""
        return sum(planned.passes for planned in self.phases)

    def scope(self, planned: PhasePlan) -> Scope:
        """What the phase's sampler knows."""
        pool = self.pool.architectures if planned.phase.uses_pool else ()
        return Scope(
            space=planned.space,
            scale=self.scale,
            seed=self.seed,
            steps_per_epoch=self.steps_per_epoch,
            cells=self.cells,
            pool=tuple(architecture for architecture in pool if architecture in planned.space),
        )

    def identity(self, planned: PhasePlan, weights: Mapping[str, str | None]) -> dict[str, Any]:
        """Everything the phase's weights depend on; its hash is the phase's key. `weights` are SHA-256 by phase."""
        profile, phase = self.profile, planned.phase
        return identity_of(
            phase=phase,
            optimizer=self.recipe.optimizer,
            network=profile.network,
            training=profile.training,
            images=profile.images,
            resolution=profile.resolution,
            data=self.data.fingerprint,
            seed=self.seed,
            first_epoch=planned.first_epoch,
            parent=weights[planned.parent],
            # Each process normalises by its own part of the batch, so the weights depend on how many there are.
            processes=None if self.processes == 1 else self.processes,
            pool=self.pool.fingerprint if phase.uses_pool else None,
            cell=self._owned(phase).to_json() if phase.cells else None,
            cells=[cell.to_json() for cell in self.cells] if phase.together else None,
            teacher=None if planned.teacher is None else weights[planned.teacher],
        )

    @property
    def scale(self) -> Scale:
        """The profile's, with as many classes as the data have."""
        return replace(self.profile.scale, num_classes=self.data.num_classes)

    def cost(self, *, run: str, device: str, measured: dict[str, float], keys: Mapping[str, str], done: set[str]) -> RunCost:
        """What it costs here: `measured["seconds_per_mac"]`, the keys that are known, and the phases that are there."""
        profile, pace = self.profile, measured["seconds_per_mac"]
        phases = tuple(
            self._phase_cost(planned, pace, keys.get(planned.name), planned.name in done) for planned in self.phases
        )
        scored = profile.calibration.batches * profile.calibration.batch_size + self.data.val_images
        evaluation_macs = float(scored * pool_costs(self.pool.codes, self.scale).total_macs)
        # Scoring only goes forward, and one multiply-add takes about as long in either direction.
        evaluation_seconds = evaluation_macs * pace
        watching_macs = self._watching_macs()
        weights = BYTES * costs(self.scale.space.largest, self.scale).params
        return RunCost(
            run=run,
            recipe=self.recipe.name,
            profile=profile.name,
            device=device,
            train_images=self.data.train_images,
            batch_size=profile.training.batch_size,
            phases=phases,
            subnets=len(self.pool),
            evaluation_macs=evaluation_macs,
            evaluation_seconds=evaluation_seconds,
            watching_macs=watching_macs,
            watching_seconds=watching_macs * pace,
            seconds=sum(phase.seconds for phase in phases) + evaluation_seconds + watching_macs * pace,
            # Phases keep their weights, the run its members, and two checkpoints of weights and momentum exist at times.
            disk_bytes=weights * (len(phases) + len(self.members) + 4),
            measured=measured,
        )

    def _watching_macs(self) -> float:
        calibration, limit = self.profile.calibration, self.profile.runtime.held_out_images
        images = calibration.batches * calibration.batch_size + min(limit, self.data.val_images) if limit else 0
        codes = [each.code for planned in self.phases for each in watched_architectures(planned.space).values()]
        return float(images * pool_costs(codes, self.scale).total_macs)

    def _phase_cost(self, planned: PhasePlan, pace: float, key: str | None, reused: bool) -> PhaseCost:
        phase = planned.phase
        rng = derive_random("plan")
        sample = [planned.space.sample(rng).code for _ in range(SAMPLES)]
        mean = pool_costs(sample, self.scale).total_macs / SAMPLES
        total = float(planned.passes * self.profile.training.batch_size * mean * BACKWARD_FACTOR)
        return PhaseCost(
            name=phase.name,
            method=phase.method,
            parent=planned.parent,
            key=key,
            reused=reused,
            epochs=phase.epochs,
            steps=planned.steps,
            paths_per_step=phase.paths_per_step,
            subnet_epochs=phase.passes(phase.epochs),
            passes=planned.passes,
            macs=total,
            seconds=total * pace,
        )
