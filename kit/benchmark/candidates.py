"""What the constraint candidates cost: maintaining the group against a whole CPT step."""

from itertools import count
from typing import Any

import torch

from kit.benchmark.timing import measure, timed
from kit.methods import Scope
from kit.methods.candidates import CandidatePhase, CandidateSampler
from kit.pool import draw_pool
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet
from kit.training.separate_step import separate_backward


def benchmark_candidates(
    profile: Profile, *, batch: int, resolution: int, steps: int, repeats: int, seconds: float
) -> dict[str, Any]:
    """Time `steps` CPT steps (1 + 10 paths, no optimizer) against the upkeep of a full group with 100 recent ones.

    Upkeep differs from step to step, so a round has several; `ratio` is upkeep over steps.
    """
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
    trained, kept = count(), count()

    def train() -> None:
        for _ in range(steps):
            separate_backward(network, images, labels, sampler.paths(next(trained)))

    def keep() -> None:
        for _ in range(steps):
            sampler.finish_step(next(kept))

    found = measure([timed(train), timed(keep)], repeats=repeats, seconds=seconds)
    ratio = found.ratio(1, 0)
    return {
        "profile": profile.name,
        "batch": batch,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "step_seconds": found.seconds(0) / steps,
        "upkeep_seconds": found.seconds(1) / steps,
        "share": ratio.value / (1 + ratio.value),
        **ratio.document(),
        **found.document(),
    }
