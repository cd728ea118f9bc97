"""What slicing costs: the elastic network's forward pass against timm's plain network of the same shape and weights."""

import statistics
from functools import partial
from typing import Any

import torch

from kit.benchmark.timing import measure, shares, timed, together
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet, extract_subnet


@torch.no_grad()
def benchmark_elastic(
    profile: Profile, *, batch: int, resolution: int, architectures: int, repeats: int, seconds: float
) -> dict[str, Any]:
    """Time eval-mode forward passes of `architectures` random sub-networks, elastic and extracted in turn.

    Images are synthetic, `(batch, 3, resolution, resolution)`. `ratio` is the median over architectures, low and high are
    the lowest and highest of theirs; `identical` says whether every pair of outputs is bitwise equal.
    """
    generator = torch.Generator().manual_seed(derive_seed("benchmark"))
    network = ElasticResNet(profile.search_space, profile.num_classes, generator=generator).eval()
    images = torch.randn(batch, 3, resolution, resolution, generator=generator)
    rows: list[dict[str, Any]] = []
    for index, share in enumerate(shares(seconds, architectures)):
        architecture = profile.published_space.sample(derive_random("benchmark", index))
        plain = extract_subnet(network, architecture)
        identical = torch.equal(network(images, architecture), plain(images))
        ways = [timed(partial(network, images, architecture)), timed(partial(plain, images))]
        found = measure(ways, repeats=repeats, seconds=share)
        rows.append(
            {
                "code": architecture.code,
                "elastic_seconds": found.seconds(0),
                "plain_seconds": found.seconds(1),
                **found.ratio(0, 1).document(),
                **found.document(),
                "identical": identical,
            }
        )
    return {
        "profile": profile.name,
        "batch": batch,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "architectures": rows,
        "ratio": statistics.median(row["ratio"] for row in rows),
        "ratio_low": min(row["ratio_low"] for row in rows),
        "ratio_high": max(row["ratio_high"] for row in rows),
        **together({row["code"]: row for row in rows}),
        "identical": all(row["identical"] for row in rows),
    }
