"""The shared step against the separate one, and the elastic network against plain ones, per kind of training step."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit.benchmark.timing import CPU, measure, shares, timed, together
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.search_space import SearchSpace
from kit.supernet import ElasticResNet, extract_subnet
from kit.training import Path, separate_backward, shared_backward

SSE_DEPTHS = ("22", "23", "24")


def benchmark_step(
    profile: Profile,
    *,
    batch: int,
    resolution: int,
    repeats: int,
    seconds: float,
    clock: str = "wall",
    device: torch.device = CPU,
) -> dict[str, Any]:
    """Forward and backward passes (no optimizer) of one step of each kind, synthetic images, in turn in one process.

    `ratio` is separate over shared; `static_ratio` is elastic over plain timm networks of the same shapes, both separate;
    `max_gradient_difference` is relative to each tensor's largest gradient.
    """
    network, images, labels = step_inputs(profile, batch, resolution, device)
    kinds = step_paths(profile)
    timed_kinds = zip(kinds.items(), shares(seconds, len(kinds)), strict=True)
    rows = {
        kind: _measure(network, images, labels, paths, clock, repeats=repeats, seconds=share)
        for (kind, paths), share in timed_kinds
    }
    return {
        "profile": profile.name,
        "batch": batch,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "clock": clock,
        **together(rows),
        **rows,
    }


def step_inputs(
    profile: Profile, batch: int, resolution: int, device: torch.device = CPU
) -> tuple[ElasticResNet, Tensor, Tensor]:
    """A fresh network in train mode, synthetic images and labels: the same on every device."""
    generator = torch.Generator().manual_seed(derive_seed("benchmark"))
    # With zeros in the last BN of every block all paths would be one function, and the gradients no test of anything.
    network = ElasticResNet(profile.search_space, profile.num_classes, generator=generator, zero_init_last=False).train()
    images = torch.randn(batch, 3, resolution, resolution, generator=generator)
    labels = torch.randint(profile.num_classes, (batch,), generator=generator)
    return network.to(device), images.to(device), labels.to(device)


def step_paths(profile: Profile) -> dict[str, list[Path]]:
    """Paths as the phases draw them: APS (four of weight 1), CPT (1 + 10), SSE (1 + 7 in its first cell), sandwich."""
    space, published = profile.search_space, profile.published_space
    cell = published.restrict(depth_choices=[d for d in published.depth_choices if f"{d[2]}{d[3]}" in SSE_DEPTHS])
    narrow = (1, 1, 1, 1)
    return {
        "d1": _draw("d1", space.restrict(min_depths=(4, 4, 6, 4), max_digits=narrow), [1.0] * 4),
        "d3": _draw("d3", space.restrict(max_digits=narrow), [1.0] * 4),
        "w1": _draw("w1", space.restrict(max_digits=(3, 3, 3, 3)), [1.0] * 4),
        "w3": _draw("w3", published, [1.0] * 4),
        "cpt": _draw("cpt", published, [0.5, *[0.05] * 10]),
        "sse": _draw("sse", cell, [0.4, *[0.2 / 7] * 7]),
        "sandwich": _sandwich(published),
    }


def _draw(kind: str, space: SearchSpace, weights: list[float]) -> list[Path]:
    return [Path(space.sample(derive_random("benchmark", kind, i)), weight) for i, weight in enumerate(weights)]


def _sandwich(space: SearchSpace) -> list[Path]:
    """The largest, and three that learn from it."""
    between = [space.sample(derive_random("benchmark", "sandwich", number)) for number in range(2)]
    taught = [Path(each, 0.0, 1.0, source=0) for each in (space.smallest, *between)]
    return [Path(space.largest), *taught]


def _measure(
    network: ElasticResNet, images: Tensor, labels: Tensor, paths: list[Path], clock: str, *, repeats: int, seconds: float
) -> dict[str, Any]:
    plain = [extract_subnet(network, path.architecture) for path in paths]
    separate = partial(separate_backward, network, images, labels, paths)
    shared = partial(shared_backward, network, images, labels, paths)
    difference = _gradient_difference(network, separate, shared)
    plainly = partial(_plain_backward, plain, images, labels, paths)
    ways = [timed(way, images.device, clock) for way in (separate, shared, plainly)]
    found = measure(ways, repeats=repeats, seconds=seconds, compared=((0, 1), (0, 2)))
    return {
        "shared_seconds": found.seconds(1),
        "separate_seconds": found.seconds(0),
        **found.ratio(0, 1).document(),
        **found.ratio(0, 2).document("static_ratio"),
        **found.document(),
        "max_gradient_difference": difference,
    }


def _plain_backward(networks: list[nn.Module], images: Tensor, labels: Tensor, paths: list[Path]) -> None:
    logits: list[Tensor] = []
    for network, path in zip(networks, paths, strict=True):
        logits.append(network(images))
        loss = path.weight * F.cross_entropy(logits[-1], labels)
        if path.source is not None:
            loss = loss + path.distillation * F.cross_entropy(logits[-1], logits[path.source].detach().softmax(1))
        loss.backward()


def _gradient_difference(network: ElasticResNet, first: Any, second: Any) -> float:
    found: list[dict[str, Tensor]] = []
    for step in (first, second):
        network.zero_grad(set_to_none=True)
        step()
        found.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    scale = {name: grad.abs().max().clamp_min(torch.finfo(grad.dtype).tiny) for name, grad in found[0].items()}
    return max(float(((found[1][name] - grad).abs().max()) / scale[name]) for name, grad in found[0].items())
