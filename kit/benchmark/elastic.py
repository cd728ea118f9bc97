"""What slicing costs: the elastic network's forward pass against timm's plain network of the same shape and weights."""

from functools import partial
from typing import Any

import torch

from kit.benchmark.timing import time_in_turn
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet, extract_subnet


@torch.no_grad()
def benchmark_elastic(profile: Profile, *, batch: int, resolution: int, architectures: int, repeats: int) -> dict[str, Any]:
    """Time eval-mode forward passes of `architectures` random sub-networks, elastic and extracted in turn.

    Images are synthetic, `(batch, 3, resolution, resolution)`. `ratio` is the median over architectures of the median
    ratio of `repeats` pairs; `identical` says whether every pair of outputs is bitwise equal.
    """
    generator = torch.Generator().manual_seed(derive_seed("benchmark"))
    network = ElasticResNet(profile.search_space, profile.num_classes, generator=generator).eval()
    images = torch.randn(batch, 3, resolution, resolution, generator=generator)
    rows: list[dict[str, Any]] = []
    for index in range(architectures):
        architecture = profile.published_space.sample(derive_random("benchmark", index))
        plain = extract_subnet(network, architecture)
        identical = torch.equal(network(images, architecture), plain(images))
        timed = time_in_turn(partial(network, images, architecture), partial(plain, images), repeats=repeats)
        rows.append(
            {
                "code": architecture.code,
                "elastic_seconds": timed.first_seconds,
                "plain_seconds": timed.second_seconds,
                "ratio": timed.ratio,
                "identical": identical,
            }
        )
    ratios = sorted(row["ratio"] for row in rows)
    return {
        "profile": profile.name,
        "batch": batch,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "architectures": rows,
        "ratio": ratios[len(ratios) // 2],
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
        "identical": all(row["identical"] for row in rows),
    }
