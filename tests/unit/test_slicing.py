"""Gradients added into slices: the sums that autograd makes of padded ones, and plain autograd everywhere else."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet
from kit.supernet.slicing import SMALL, gradients_into_slices, leading_slice

SPACE = SearchSpace((4, 6, 8, 10), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))


@given(out=st.integers(1, 6), inside=st.integers(1, 5), before=st.booleans(), twice=st.booleans())
def test_the_gradient_of_a_slice_is_autograds(out, inside, before, twice):
    generator = torch.Generator().manual_seed(out * 10 + inside)
    weight = torch.randn(6, 5, 3, 3, generator=generator).requires_grad_()
    x = torch.randn(2, inside, 8, 8, generator=generator)
    found = []
    for slice_of in (lambda: weight[:out, :inside], lambda: leading_slice(weight, out, inside)):
        weight.grad = torch.ones_like(weight) if before else None
        with gradients_into_slices(at_least=0):
            for _ in range(1 + twice):
                F.conv2d(x, slice_of()).square().sum().backward()
        found.append(weight.grad)
    assert torch.equal(*found)


@pytest.mark.parametrize("at_least", [0, 200, SMALL])
def test_a_whole_network_gets_the_same_gradients_bit_for_bit(at_least):
    network = ElasticResNet(SPACE, 5, generator=torch.Generator().manual_seed(0), zero_init_last=False).train()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    architectures = [SPACE.sample(random.Random(seed)) for seed in range(3)]

    def gradients():
        return {name: None if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}

    for architecture in architectures:
        network(x, architecture).square().sum().backward()
    expected = gradients()
    network.zero_grad(set_to_none=True)
    for architecture in architectures:
        with gradients_into_slices(at_least):
            logits = network(x, architecture)
        logits.square().sum().backward()
    found = gradients()
    assert {name for name, grad in found.items() if grad is None} == {n for n, grad in expected.items() if grad is None}
    assert all(torch.equal(found[name], grad) for name, grad in expected.items() if grad is not None)


def test_outside_the_block_autograd_sees_the_weight():
    network = ElasticResNet(SPACE, 5, generator=torch.Generator().manual_seed(0), zero_init_last=False).train()
    architecture = SPACE.sample(random.Random(3))
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with gradients_into_slices(at_least=0):
        pass
    weight = network.layer4[0].conv1.weight
    (gradient,) = torch.autograd.grad(network(x, architecture).sum(), [weight])
    assert gradient.shape == weight.shape and weight.grad is None
