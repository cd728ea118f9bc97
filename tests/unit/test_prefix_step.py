"""The shared step against the separate one: the same gradients, whatever the paths share."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.prefix import grow, pieces
from kit.training import Path, separate_backward, shared_backward

SPACE = SearchSpace(
    base_channels=(4, 6, 8, 10), ratios=(1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), divisor=1, stem=Stem(3, 2, False)
)
NARROW = SPACE.restrict(min_depths=(4, 4, 7, 2), max_digits=(1, 1, 1, 2))


def supernet(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ElasticResNet(SPACE, 5, generator=generator, zero_init_last=False).double().train()


def batch(seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
    return images, torch.randint(5, (4,), generator=generator), torch.randn(4, 5, generator=generator, dtype=torch.float64)


def gradients(network, step, paths):
    network.zero_grad(set_to_none=True)
    images, labels, teacher = batch()
    losses = step(network, images, labels, paths, teacher)
    return losses, {name: parameter.grad for name, parameter in network.named_parameters()}


def assert_same_step(network, paths):
    separate, expected = gradients(network, separate_backward, paths)
    shared, found = gradients(network, shared_backward, paths)
    torch.testing.assert_close(shared, separate, rtol=1e-12, atol=1e-12)
    assert {name for name, grad in found.items() if grad is None} == {n for n, grad in expected.items() if grad is None}
    for name, grad in expected.items():
        if grad is not None:
            torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-11, msg=name)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 5),
    weights=st.lists(st.sampled_from([0.05, 0.5, 1.0]), min_size=5, max_size=5),
    distillation=st.lists(st.sampled_from([0.0, 0.4]), min_size=5, max_size=5),
    narrow=st.booleans(),
)
def test_gradients_are_those_of_separate_passes(seed, count, weights, distillation, narrow):
    rng = random.Random(seed)
    space = NARROW if narrow else SPACE
    paths = [Path(space.sample(rng), weights[i], distillation[i]) for i in range(count)]
    assert_same_step(supernet(), [*paths, paths[0]])  # one of them twice


def test_one_path_may_be_the_beginning_of_another():
    short = SPACE.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1)] * 4)
    long = SPACE.build((2, 2, 2, 4), (1, 1, 1, 1), [(1, 1), (1, 1), (1, 1), (1, 1, 2, 1)])
    assert_same_step(supernet(), [Path(short, 0.5), Path(long, 0.5)])


def test_sub_supernets_each_get_their_own_paths():
    cells = [SPACE.restrict(max_depths=(5, 5, 8, 3)), SPACE.restrict(min_depths=(2, 2, 2, 4))]
    network = FewShotSupernet([supernet(0), supernet(7)], cells)
    rng = random.Random(3)
    paths = [Path(cells[index % 2].sample(rng)) for index in range(4)]
    assert_same_step(network, paths)
    moved = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in member.parameters()) for member in network.members]
    assert moved == [True, True]


def test_shared_blocks_run_once(monkeypatch):
    network = supernet()
    rng = random.Random(0)
    paths = [Path(NARROW.sample(rng)) for _ in range(4)]
    calls = []
    for stage, layer in enumerate(network.stages):
        for index, block in enumerate(layer):
            block.register_forward_hook(lambda *_, at=(stage, index): calls.append(at))
    gradients(network, shared_backward, paths)
    distinct = {
        tuple(pieces(path.architecture)[: depth + 1]) for path in paths for depth in range(1, len(pieces(path.architecture)))
    }
    assert len(calls) == len(distinct) < sum(sum(path.architecture.depths) for path in paths)


def test_a_tree_ends_once_for_every_path():
    rng = random.Random(5)
    architectures = [SPACE.sample(rng) for _ in range(20)]
    pending, ends = [grow(list(enumerate(architectures)))], []
    while pending:
        node = pending.pop()
        ends += node.ends
        pending += node.children.values()
    assert sorted(ends) == list(range(20))


def test_a_weight_of_zero_changes_no_gradient():
    rng = random.Random(1)
    paths = [Path(SPACE.sample(rng)), Path(SPACE.sample(rng), 0.0)]
    network = supernet()
    _, alone = gradients(network, shared_backward, paths[:1])
    losses, both = gradients(network, shared_backward, paths)
    assert losses.shape == (2,)
    for name, grad in alone.items():
        if grad is not None:
            torch.testing.assert_close(both[name], grad, rtol=1e-9, atol=1e-12, msg=name)


def test_float32_stays_within_the_stated_tolerance():
    network = supernet().float()
    images, labels, _ = batch()
    paths = [Path(NARROW.sample(random.Random(seed)), 0.25) for seed in range(4)]
    found = []
    for step in (separate_backward, shared_backward):
        network.zero_grad(set_to_none=True)
        step(network, images.float(), labels, paths)
        found.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    for name, grad in found[0].items():
        scale = float(grad.abs().max()) or 1.0
        assert float((found[1][name] - grad).abs().max()) / scale == pytest.approx(0, abs=1e-4), name
