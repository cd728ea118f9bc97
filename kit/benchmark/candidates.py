"""What the constraint candidates cost: maintaining the group against a whole CPT step."""

import time
from typing import Any

import torch

from kit.methods import Scope
from kit.methods.candidates import CandidatePhase, CandidateSampler
from kit.pool import draw_pool
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet
from kit.training.separate_step import separate_backward


def benchmark_candidates(profile: Profile, *, batch: int, resolution: int, steps: int) -> dict[str, Any]:
    """Time `steps` CPT steps (1 + 10 paths, no optimizer) and the upkeep of a full group with 100 recent sub-networks."""
    generator = torch.Generator().manual_seed(derive_seed("benchmark"))
    network = ElasticResNet(profile.search_space, profile.num_classes, generator=generator).train()
    images = torch.randn(batch, 3, resolution, resolution, generator=generator)
    labels = torch.randint(profile.num_classes, (batch,), generator=generator)
    phase = CandidatePhase(name="CPT", method="candidates", epochs=1, learning_rate=0.001)
    pool = draw_pool(profile.published_space, max(profile.pool.size, phase.candidates), 0).architectures
    scope = Scope(space=profile.published_space, scale=profile.scale, seed=0, steps_per_epoch=steps, pool=pool)
    sampler = CandidateSampler(phase, scope)
    sampler.group.restore_recent(
        [profile.published_space.sample(derive_random("benchmark", index)) for index in range(phase.recent)]
    )
    step_seconds = upkeep_seconds = 0.0
    for step in range(steps):
        started = time.perf_counter()
        separate_backward(network, images, labels, sampler.paths(step))
        step_seconds += time.perf_counter() - started
        started = time.perf_counter()
        sampler.finish_step(step)
        upkeep_seconds += time.perf_counter() - started
    return {
        "profile": profile.name,
        "batch": batch,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "step_seconds": step_seconds / steps,
        "upkeep_seconds": upkeep_seconds / steps,
        "share": upkeep_seconds / (step_seconds + upkeep_seconds),
    }
