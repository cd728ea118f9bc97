"""Seeds of an architecture trained as one stack, against one after another."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kit.benchmark.timing import measure, shares, timed, together
from kit.randomness import derive_random, derive_seed
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.supernet import build_subnet
from kit.truth.stacked import Stack


def benchmark_truth(profile: Profile, *, architectures: int, stack: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Training steps of single networks and of stacks of `stack` seeds, the profile's batch, synthetic images, in turn.

    `ratio` is one after another over stacked, for the same images. Drawn architectures are rows `0`, `1`, ...
    """
    space = profile.published_space
    drawn = [space.sample(derive_random("benchmark truth", number)) for number in range(architectures)]
    rows = {
        str(number): _measure(profile, architecture, stack, repeats=repeats, seconds=share)
        for number, (architecture, share) in enumerate(zip(drawn, shares(seconds, len(drawn)), strict=True))
    }
    head = {"profile": profile.name, "batch": profile.truth.batch_size, "stack": stack, "threads": torch.get_num_threads()}
    return {**head, **together(rows), **rows}


def _measure(profile: Profile, architecture: Architecture, stack: int, *, repeats: int, seconds: float) -> dict[str, Any]:
    singles, together_ = _stacks(profile, architecture, stack)
    generator = torch.Generator().manual_seed(derive_seed("benchmark truth"))
    batch, size = profile.truth.batch_size, profile.resolution
    images = [torch.randn(batch, 3, size, size, generator=generator) for _ in range(stack)]
    labels = [torch.randint(profile.num_classes, (batch,), generator=generator) for _ in range(stack)]
    with torch.no_grad():
        apart = torch.stack([network([own])[0] for network, own in zip(singles, images, strict=True)])
        difference = float((apart - torch.stack(together_(images))).abs().max())

    def one_after_another() -> None:
        for network, own, label in zip(singles, images, labels, strict=True):
            _step(network, [own], [label])

    ways = [timed(one_after_another), timed(partial(_step, together_, images, labels))]
    found = measure(ways, repeats=repeats, seconds=seconds)
    trained = batch * stack
    return {
        "code": architecture.code,
        "images_per_second": trained / found.seconds(1),
        "images_per_second_separate": trained / found.seconds(0),
        **found.ratio(0, 1).document(),
        **found.document(),
        "max_logit_difference": difference,
    }


def _stacks(profile: Profile, architecture: Architecture, stack: int) -> tuple[list[Stack], Stack]:
    """Each seed alone, and all of them in one."""

    def networks() -> list[Any]:
        generators = (torch.Generator().manual_seed(derive_seed("benchmark truth", seed)) for seed in range(stack))
        space, classes = profile.search_space, profile.num_classes
        return [build_subnet(architecture, space, classes, generator=each).train() for each in generators]

    return [Stack([network]).train() for network in networks()], Stack(networks()).train()


def _step(network: Stack, images: list[Tensor], labels: list[Tensor]) -> None:
    network.zero_grad(set_to_none=True)
    losses = [F.cross_entropy(each, label) for each, label in zip(network(images), labels, strict=True)]
    torch.stack(losses).sum().backward()
