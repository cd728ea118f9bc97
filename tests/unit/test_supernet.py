"""Laws of the elastic network: it is timm's network, its sub-networks are timm's networks, and nothing else changes."""

import random

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kit.costs import costs
from kit.search_space import PUBLISHED, RESNET48, SLOTS, Scale, SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.calibration import calibrate

SPACE = SearchSpace((8, 8, 12, 16), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, True))
ARCHITECTURES = st.integers(0, 10_000).map(lambda seed: SPACE.sample(random.Random(seed)))


def supernet(seed=0, space=SPACE, classes=5):
    return ElasticResNet(space, classes, generator=torch.Generator().manual_seed(seed), zero_init_last=False)


def images(seed=0, count=3):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_the_full_architecture_is_timms_network_bitwise():
    network = supernet(space=RESNET48, classes=10)
    reference = ResNet(BasicBlock, SLOTS, num_classes=10)
    assert list(network.state_dict()) == list(reference.state_dict())
    reference.load_state_dict(network.state_dict())
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for training in (False, True):
        network.train(training)
        reference.train(training)
        assert torch.equal(network(pixels), reference(pixels))
        assert torch.equal(network(pixels, RESNET48.largest), reference(pixels))
    for name, tensor in reference.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


@settings(max_examples=15)
@given(ARCHITECTURES, st.booleans())
def test_an_extracted_subnet_computes_bitwise_what_the_supernet_does(architecture, training):
    network = supernet().train(training)
    subnet = extract_subnet(network, architecture)
    assert type(subnet) is ResNet and subnet.training == training
    pixels, labels = images(), torch.tensor([0, 1, 2])
    elastic, static = network(pixels, architecture), subnet(pixels)
    assert torch.equal(elastic, static)
    nn.functional.cross_entropy(elastic, labels).backward()
    nn.functional.cross_entropy(static, labels).backward()
    for name, parameter in subnet.named_parameters():
        whole = network.get_parameter(name).grad
        window = tuple(slice(size) for size in parameter.shape)
        assert torch.equal(whole[window], parameter.grad), name
        rest = whole.clone()
        rest[window] = 0
        assert not rest.any(), f"{name}: weights outside the slice got a gradient"
    used = {name for name, _ in subnet.named_parameters()}
    assert all(p.grad is None for name, p in network.named_parameters() if name not in used)


@settings(max_examples=15)
@given(ARCHITECTURES)
def test_a_partial_width_never_touches_the_tail_of_a_buffer(architecture):
    network = supernet().train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    subnet = extract_subnet(network, architecture)
    network(images(), architecture)
    subnet(images())
    after = dict(subnet.named_buffers())
    for name, buffer in network.named_buffers():
        if buffer.ndim and name in after:
            channels = len(after[name])
            assert torch.equal(buffer[:channels], after[name]), name
            assert torch.equal(buffer[channels:], before[name][channels:]), name
        elif buffer.ndim:
            assert torch.equal(buffer, before[name]), name


def test_forward_assigns_nothing(monkeypatch):
    network = supernet().train()
    assigned = []
    monkeypatch.setattr(nn.Module, "__setattr__", lambda self, name, value: assigned.append(name))
    network(images(), SPACE.sample(random.Random(0)))
    assert assigned == []


@settings(max_examples=10)
@given(ARCHITECTURES)
def test_closed_costs_are_what_torch_counts(architecture):
    subnet = extract_subnet(supernet(), architecture).eval()
    with FlopCounterMode(display=False) as counter:
        subnet(torch.zeros(1, 3, 40, 40))
    assert counter.get_total_flops() == 2 * costs(architecture, Scale(SPACE, 40, 5)).macs
    assert sum(p.numel() for p in subnet.parameters()) == costs(architecture, Scale(SPACE, 40, 5)).params


def test_initial_weights_depend_on_the_generator_alone():
    state = torch.random.get_rng_state()
    first, again, other = supernet(1).state_dict(), supernet(1).state_dict(), supernet(2).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_blocks_can_start_as_the_identity():
    network = ElasticResNet(SPACE, 5, generator=torch.Generator().manual_seed(0)).eval()
    narrow = SPACE.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1)] * 4)
    deep = SPACE.build((5, 5, 8, 5), (1, 1, 1, 1), [(1,) * depth for depth in SLOTS])
    torch.testing.assert_close(network(images(), narrow), network(images(), deep))


def test_timm_finds_both_networks():
    code = PUBLISHED.sample(random.Random(0)).code
    subnet = timm.create_model("resnet48_subnet", code=code, num_classes=7)
    assert subnet.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert sum(p.numel() for p in subnet.parameters()) == costs(RESNET48.parse(code), Scale(RESNET48, 32, 7)).params
    assert isinstance(timm.create_model("resnet48_elastic", num_classes=3), ElasticResNet)
    with pytest.raises(TypeError, match="depth"):
        timm.create_model("resnet48_elastic", depth=3)


CELLS = [SPACE.restrict(max_depths=(5, 5, 8, 3)), SPACE.restrict(min_depths=(2, 2, 2, 4))]


@settings(max_examples=10)
@given(ARCHITECTURES)
def test_the_owner_of_the_cell_computes_and_learns_alone(architecture):
    network = FewShotSupernet([supernet(0), supernet(1)], CELLS).train()
    owner = 0 if architecture.depths[3] <= 3 else 1
    assert torch.equal(network(images(), architecture), supernet(owner).train()(images(), architecture))
    alone = extract_subnet(supernet(owner), architecture).train()
    assert torch.equal(extract_subnet(network, architecture)(images()), alone(images()))
    network(images(), architecture).sum().backward()
    assert any(p.grad is not None for p in network.members[owner].parameters())
    assert all(p.grad is None for p in network.members[1 - owner].parameters())


def test_copies_start_alike_and_part():
    network = FewShotSupernet.from_supernet(supernet(), CELLS)
    with torch.no_grad():
        network.members[0].fc.bias.add_(1)
    assert not torch.equal(network.members[0].fc.bias, network.members[1].fc.bias)


def test_calibration_averages_over_batches_in_any_order():
    batches = [images(seed, 4) for seed in range(3)]
    architecture = SPACE.sample(random.Random(5))
    found = []
    for order in (batches, batches[::-1]):
        subnet = extract_subnet(supernet(), architecture)
        weights = {name: p.clone() for name, p in subnet.named_parameters()}
        calibrate(subnet, order)
        assert not subnet.training and all(torch.equal(p, weights[name]) for name, p in subnet.named_parameters())
        assert subnet.bn1.momentum == 0.1
        found.append(subnet.bn1)
    stems = [extract_subnet(supernet(), architecture).conv1(batch) for batch in batches]
    mean = torch.stack([stem.mean(dim=(0, 2, 3)) for stem in stems]).mean(dim=0)
    variance = torch.stack([stem.var(dim=(0, 2, 3)) for stem in stems]).mean(dim=0)
    for bn in found:
        torch.testing.assert_close(bn.running_mean, mean)
        torch.testing.assert_close(bn.running_var, variance)


def test_calibration_with_a_momentum_starts_from_the_reset():
    subnet = extract_subnet(supernet(), SPACE.sample(random.Random(5)))
    subnet.bn1.running_mean.fill_(99)
    batch = images(1, 4)
    with torch.no_grad():
        expected = 0.25 * subnet.conv1(batch).mean(dim=(0, 2, 3))
    calibrate(subnet, [batch], statistics=0.25)
    torch.testing.assert_close(subnet.bn1.running_mean, expected)
