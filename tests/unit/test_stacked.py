"""Networks of one shape side by side: what each would compute, and learn, alone."""

import random

import pytest
import torch
from torch.nn import functional as F

from kit.search_space import SearchSpace, Stem
from kit.supernet import build_subnet
from kit.truth.stacked import Stack

SPACE = SearchSpace((4, 6, 8, 10), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, True))
CLASSES = 5


def networks(count: int, seed: int = 0) -> list[torch.nn.Module]:
    architecture = SPACE.sample(random.Random(seed))
    generators = (torch.Generator().manual_seed(each) for each in range(count))
    return [build_subnet(architecture, SPACE, CLASSES, generator=each).double().train() for each in generators]


def batches(count: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(7)
    images = [torch.randn(6, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(count)]
    return images, [torch.randint(CLASSES, (6,), generator=generator) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_training_a_stack_is_training_each(count: int, seed: int) -> None:
    stack, alone = Stack(networks(count, seed)), networks(count, seed)
    images, labels = batches(count)
    sgd = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    optimizer = torch.optim.SGD(stack.parameters(), **sgd)
    optimizers = [torch.optim.SGD(network.parameters(), **sgd) for network in alone]
    for _ in range(3):
        optimizer.zero_grad()
        logits = stack(images)
        torch.stack([F.cross_entropy(each, label) for each, label in zip(logits, labels, strict=True)]).sum().backward()
        optimizer.step()
        for place, network in enumerate(alone):
            optimizers[place].zero_grad()
            expected = network(images[place])
            F.cross_entropy(expected, labels[place]).backward()
            optimizers[place].step()
            torch.testing.assert_close(logits[place], expected, rtol=0, atol=1e-9)
    for network in (stack, *alone):
        network.eval()
    for place, logits in enumerate(stack(images)):
        torch.testing.assert_close(logits, alone[place](images[place]), rtol=0, atol=1e-9)


def test_no_network_sees_the_images_of_another() -> None:
    stack = Stack(networks(3))
    images, _ = batches(3)
    before = stack(images)
    after = stack([images[0], images[1] * 2 + 1, images[2]])
    assert torch.equal(before[0], after[0]) and torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])
