"""What a run would cost: everything is resolved, one batch read and one step timed, and nothing is written."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from kit.costs import macs, params
from kit.data import Batch
from kit.methods import Path as TrainedPath
from kit.methods import Phase
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.phases import PhaseRunner
from kit.pipeline.request import ResolvedRun, run_id
from kit.randomness import derive_random
from kit.search_space import Architecture, SearchSpace
from kit.supernet import ElasticResNet
from kit.training.trainer import StepRunner

BACKWARD_FACTOR = 3
"""A training pass costs three forward passes: the backward pass has two products of the forward's size."""
MAX_TIMED_IMAGES = 16
MAX_TIMED_SMALL_IMAGES = 128
SAMPLES = 200
Cost = Callable[[Architecture], int]
BYTES = 4


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """Cost of one phase. `subnet_epochs` is epochs x sub-networks a step; `macs` are of all passes, forward and backward."""

    name: str
    method: str
    epochs: int
    steps: int
    paths_per_step: float
    subnet_epochs: int
    passes: int
    macs: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Cost of a whole run; seconds are estimated from one measured step, disk is an upper bound."""

    run: str
    recipe: str
    profile: str
    device: str
    train_images: int
    batch_size: int
    phases: tuple[PhasePlan, ...]
    subnets: int
    evaluation_macs: float
    evaluation_seconds: float
    seconds: float
    disk_bytes: int
    measured: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The document of `--dry-run --json`."""
        document = asdict(self)
        document["totals"] = {
            "passes": sum(phase.passes for phase in self.phases),
            "macs": sum(phase.macs for phase in self.phases),
            "training_seconds": sum(phase.seconds for phase in self.phases),
        }
        return document


def plan_run(resolved: ResolvedRun) -> RunPlan:
    """Plan a resolved run. Raises what the run itself would raise over its inputs; writes nothing."""
    profile, data = resolved.profile, resolved.data
    runner = PhaseRunner(resolved, choose_hardware(profile), lambda: False)
    for phase in resolved.phases:
        runner.sampler(phase, runner.settings(phase))  # refuses a pool that is too small now, not hours later

    def cost(architecture: Architecture) -> int:
        space = profile.search_space
        return macs(architecture, space=space, resolution=profile.resolution, num_classes=data.num_classes)

    measured = _measure_step(runner, resolved, cost(profile.search_space.largest))
    phases = tuple(_plan_phase(runner, phase, cost, measured["seconds_per_mac"]) for phase in resolved.phases)
    scored = profile.calibration.batches * profile.calibration.batch_size + data.val_size
    evaluation_macs = float(scored * sum(map(cost, resolved.pool.architectures)))
    # Scoring only goes forward, and one multiply-add takes about as long in either direction.
    evaluation_seconds = evaluation_macs * measured["seconds_per_mac"]
    weights = BYTES * params(profile.search_space.largest, space=profile.search_space, num_classes=data.num_classes)
    members = len(runner.cells) or 1
    return RunPlan(
        run=run_id(resolved),
        recipe=resolved.recipe.name,
        profile=profile.name,
        device=str(runner.hardware.device),
        train_images=data.train_size,
        batch_size=profile.training.batch_size,
        phases=phases,
        subnets=len(resolved.pool),
        evaluation_macs=evaluation_macs,
        evaluation_seconds=evaluation_seconds,
        seconds=sum(phase.seconds for phase in phases) + evaluation_seconds,
        # Phases keep their weights, the run keeps the members, and two checkpoints of weights and momentum exist at times.
        disk_bytes=weights * (len(phases) + members + 4),
        measured=measured,
    )


def _plan_phase(runner: PhaseRunner, phase: Phase, cost: Cost, seconds_per_mac: float) -> PhasePlan:
    settings = runner.settings(phase)
    mean_macs = _mean_cost(runner.subspace(phase), cost)
    passes = phase.passes(settings.steps)
    total = float(passes * settings.batch_size * mean_macs * BACKWARD_FACTOR)
    return PhasePlan(
        name=phase.name,
        method=phase.method,
        epochs=phase.epochs,
        steps=settings.steps,
        paths_per_step=phase.paths_per_step,
        subnet_epochs=phase.passes(phase.epochs),
        passes=passes,
        macs=total,
        seconds=total * seconds_per_mac,
    )


def _mean_cost(space: SearchSpace, cost: Cost) -> float:
    rng = derive_random("plan")
    return sum(cost(space.sample(rng)) for _ in range(SAMPLES)) / SAMPLES


def _measure_step(runner: PhaseRunner, resolved: ResolvedRun, largest: int) -> dict[str, float]:
    """Time one forward and backward pass of the full network on a few images of the first batch."""
    limit = MAX_TIMED_IMAGES if resolved.profile.resolution > 64 else MAX_TIMED_SMALL_IMAGES
    images = min(resolved.profile.training.batch_size, limit, resolved.data.train_size)
    started = time.perf_counter()
    batch = next(resolved.data.train_batches(seed=resolved.request.seed, epoch=0, batch_size=images, steps=1))
    data_seconds = time.perf_counter() - started
    network = runner.network(runner.current).to(runner.hardware.device).train()
    assert isinstance(network, ElasticResNet)
    step = StepRunner(network=network, data=resolved.data, hardware=runner.hardware, teacher=None)
    paths = [TrainedPath(resolved.profile.search_space.largest)]
    step.backward(Batch(batch.images[:2], batch.labels[:2]), paths)  # the first pass allocates and chooses kernels
    started = time.perf_counter()
    step.backward(batch, paths).tolist()
    seconds = time.perf_counter() - started
    return {
        "images": float(images),
        "data_seconds": data_seconds,
        "step_seconds": seconds,
        "seconds_per_mac": seconds / (images * largest * BACKWARD_FACTOR),
    }
