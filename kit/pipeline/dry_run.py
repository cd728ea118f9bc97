"""What a run would cost: everything is resolved, one batch read and one step timed, and nothing is written."""

import time
from collections.abc import Callable

from kit.costs import costs
from kit.data import Batch
from kit.files import content_key, read_json
from kit.methods import Path as TrainedPath
from kit.methods import make_sampler
from kit.pipeline.hardware import choose_hardware
from kit.pipeline.phases import MANIFEST, PhaseRunner
from kit.pipeline.request import ResolvedRun, run_id
from kit.plan import BACKWARD_FACTOR, START, RunCost
from kit.run_dir import phases_folder
from kit.supernet import ElasticResNet
from kit.training.trainer import StepRunner

MAX_TIMED_IMAGES = 16
MAX_TIMED_SMALL_IMAGES = 128


def cost_of_run(
    resolved: ResolvedRun, measured: dict[str, float] | None = None, note: Callable[[str], object] = lambda message: None
) -> RunCost:
    """Plan a resolved run, at a pace that was measured before or is measured now; `note` hears what weights were unwrapped.

    Raises what the run itself would raise over its inputs; writes nothing.
    """
    plan = resolved.plan
    runner = PhaseRunner(resolved, choose_hardware(resolved.profile), lambda: False)
    for planned in plan.phases:
        make_sampler(planned.phase, plan.scope(planned))  # refuses a pool that is too small now, not hours later
    measured = measured or _measure_step(runner, resolved, costs(plan.scale.space.largest, plan.scale).macs)
    for message in runner.notes:
        note(message)
    keys, done = _find_phases(resolved)
    return plan.cost(run=run_id(resolved), device=str(runner.hardware.device), measured=measured, keys=keys, done=done)


def _find_phases(resolved: ResolvedRun) -> tuple[dict[str, str], set[str]]:
    """The keys that are known by now, and the phases that need no training: a key depends on the weights before it."""
    weights = {START: resolved.weights_sha256}
    keys = {}
    for planned in resolved.plan.phases:
        if {planned.parent, planned.teacher or START} <= weights.keys():
            keys[planned.name] = content_key(resolved.plan.identity(planned, weights))
            manifest = phases_folder(resolved.request.runs) / keys[planned.name] / MANIFEST
            if manifest.exists() and not resolved.request.fresh:
                weights[planned.name] = read_json(manifest, sha256=str)["sha256"]
    return keys, weights.keys() - {START}


def _measure_step(runner: PhaseRunner, resolved: ResolvedRun, largest: int) -> dict[str, float]:
    """Time one forward and backward pass of the full network on a few images of the first batch."""
    limit = MAX_TIMED_IMAGES if resolved.profile.resolution > 64 else MAX_TIMED_SMALL_IMAGES
    images = min(resolved.profile.training.batch_size, limit, resolved.data.train_size)
    started = time.perf_counter()
    batch = next(resolved.data.train_batches(seed=resolved.request.seed, epoch=0, batch_size=images, steps=1))
    data_seconds = time.perf_counter() - started
    network = runner.network(runner.weights[START]).to(runner.hardware.device).train()
    assert isinstance(network, ElasticResNet)
    step = StepRunner(network=network, data=resolved.data, hardware=runner.hardware, teacher=None)
    paths = [TrainedPath(resolved.profile.search_space.largest)]
    step.backward(Batch(batch.images[:2], batch.labels[:2]), paths).tolist()  # the first pass allocates and chooses kernels
    started = time.perf_counter()
    step.backward(batch, paths).tolist()
    seconds = time.perf_counter() - started
    return {
        "images": float(images),
        "data_seconds": data_seconds,
        "step_seconds": seconds,
        "seconds_per_mac": seconds / (images * largest * BACKWARD_FACTOR),
    }
