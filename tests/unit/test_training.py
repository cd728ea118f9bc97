"""Laws of losses, optimizer, samplers and constraint candidates."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch.nn import functional as F

from kit.errors import InputError
from kit.methods import Scope
from kit.methods.candidate_group import CandidateGroup, coordinates, distances
from kit.methods.candidates import CandidatePhase, CandidateSampler
from kit.methods.sampling import learning_rate_at
from kit.methods.uniform import UniformPhase, UniformSampler
from kit.recipe import OptimizerSettings
from kit.search_space import PUBLISHED, RESNET48, Scale, SearchSpace, Stem
from kit.supernet import ElasticResNet
from kit.training import Path, separate_backward
from kit.training.checkpoint import CheckpointStore
from kit.training.optimization import GroupedSGD, scaled_learning_rate

SPACE = SearchSpace((4, 6, 8, 10), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
SCALE = Scale(RESNET48, 224, 1000)


def draw(count, seed=0, space=PUBLISHED):
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


def supernet():
    return ElasticResNet(SPACE, 5, generator=torch.Generator().manual_seed(0), zero_init_last=False).train()


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=dtype)
    return images, torch.randint(5, (4,), generator=generator), torch.randn(4, 5, generator=generator, dtype=dtype)


def test_separate_passes_add_up_to_the_gradient_of_the_weighted_sum():
    images, labels, teacher = batch()
    first, second = draw(2, space=SPACE)
    paths = [Path(first, 0.5, 0.4), Path(second, 0.05), Path(first, 0.3)]
    network, reference = supernet().double(), supernet().double()
    losses = separate_backward(network, images, labels, paths, teacher)
    logits = [reference(images, path.architecture) for path in paths]
    crosses = [F.cross_entropy(each, labels) for each in logits]
    soft = -(teacher.softmax(1) * logits[0].log_softmax(1)).sum(1).mean()
    (0.5 * crosses[0] + 0.4 * soft + 0.05 * crosses[1] + 0.3 * crosses[2]).backward()
    torch.testing.assert_close(losses, torch.stack(crosses).detach())
    for (name, parameter), expected in zip(network.named_parameters(), reference.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None), name
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-9, atol=1e-12)


def test_lower_precision_still_gives_float32_losses():
    images, labels, _ = batch(torch.float32)
    network = supernet()
    paths = [Path(each) for each in draw(2, space=SPACE)]
    low = separate_backward(network, images, labels, paths, autocast=torch.bfloat16)
    assert low.dtype == torch.float32 and network.fc.weight.grad.dtype == torch.float32
    full = separate_backward(supernet(), images, labels, paths)
    assert not torch.equal(low, full)
    torch.testing.assert_close(low, full, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("printed", "epoch", "epochs", "expected"),
    [(0.004, 0, 25, 0.032), (0.004, 20, 40, 0.016), (0.002, 0, 10, 0.016), (0.001, 10, 30, 0.006), (0.001, 20, 30, 0.002)],
)
def test_learning_rates_of_the_paper_at_its_batch(printed, epoch, epochs, expected):
    assert learning_rate_at(scaled_learning_rate(printed, 2048), epoch, epochs) == pytest.approx(expected, rel=1e-12)


def test_the_rate_falls_to_zero_at_the_end_of_the_phase():
    rates = [learning_rate_at(1.0, epoch, 9) for epoch in range(10)]
    assert rates == sorted(rates, reverse=True) and rates[0] == 1 and rates[9] == pytest.approx(0, abs=1e-12)


def test_a_parameter_moves_from_its_first_use_on_and_not_before():
    network = supernet()
    images, labels, _ = batch(torch.float32)
    optimizer = GroupedSGD(network, OptimizerSettings())
    deep, shallow = SPACE.largest, SPACE.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1)] * 4)
    last = network.layer4[4].conv1.weight

    def step(architecture):
        before = last.detach().clone()
        optimizer.prepare(0.1)
        separate_backward(network, images, labels, [Path(architecture)])
        optimizer.step()
        return not torch.equal(before, last)

    assert not step(shallow), "never used: left alone, not even decayed"
    assert step(deep)
    assert step(shallow), "used before: momentum and weight decay go on"
    assert not last.grad.any()


def grouped_steps(network, optimizer, steps):
    images, labels, _ = batch(torch.float32)
    for step in steps:
        architecture = SPACE.sample(random.Random(step))
        optimizer.prepare(0.1 / (1 + step), ("", "2", "5")[step % 3])
        separate_backward(network, images, labels, [Path(architecture)])
        optimizer.step()


def test_a_step_reads_and_writes_the_momentum_of_its_own_group_only():
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    network = torch.nn.ParameterList([parameter])
    optimizer = GroupedSGD(network, OptimizerSettings(momentum=0.9, weight_decay=0.0))
    value, buffers = 1.0, {}
    for step, group in enumerate(["a", "b", "", "a", "a", "", "b"]):
        rate, gradient = 0.1 * (step + 1), step - 2.5
        optimizer.prepare(rate, group)
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        buffers[group] = gradient + 0.9 * buffers.get(group, 0.0)
        value -= rate * buffers[group]
        assert parameter.item() == pytest.approx(value, rel=1e-12)


def test_a_checkpoint_keeps_the_momentum_of_every_group(tmp_path):
    def start():
        network = supernet()
        return network, GroupedSGD(network, OptimizerSettings())

    undisturbed, optimizer = start()
    grouped_steps(undisturbed, optimizer, range(9))
    network, optimizer = start()
    grouped_steps(network, optimizer, range(5))
    store = CheckpointStore(tmp_path)
    store.save(5, network, optimizer, {})
    network, optimizer = start()
    assert store.load(network, optimizer) == (5, {})
    grouped_steps(network, optimizer, range(5, 9))
    for (name, found), expected in zip(network.state_dict().items(), undisturbed.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_distances_are_city_block_with_empty_slots_as_9(seed):
    a, b = draw(4, seed), draw(3, seed + 1)
    points = [[[int(d) or 9 for d in each.code[5:]] for each in group] for group in (a, b)]
    found = distances(np.stack([coordinates(x) for x in a]), np.stack([coordinates(x) for x in b]))
    np.testing.assert_allclose(found, cdist(*points, "cityblock"))
    released = distances(np.stack([coordinates(x) for x in a]), np.stack([coordinates(x) for x in b]), as_released=True)
    np.testing.assert_allclose(released, cdist(*[[p[:-1] for p in group] for group in points], "cityblock") / 47)


def slow_score(architecture, members, neighbours):
    """Mean distance to the nearest others, one by one."""
    others = list(members)
    if architecture in others:
        others.remove(architecture)
    point = [[int(d) or 9 for d in architecture.code[5:]]]
    apart = sorted(float(cdist(point, [[int(d) or 9 for d in o.code[5:]]], "cityblock")[0, 0]) for o in others)[:neighbours]
    return sum(apart) / len(apart)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 7))
def test_the_group_changes_as_the_definition_says(seed, size, neighbours):
    group = CandidateGroup(draw(size, seed), recent=6, neighbours=neighbours)
    sampled = draw(12, seed + 1)
    for step, architecture in enumerate(sampled):
        before = list(group.members)
        replacement = group.update(architecture)
        recent = sampled[max(0, step - 5) : step + 1]
        assert list(group.recent) == recent
        assert len(group.members) == size and len(set(group.members)) == size
        allowed = {each: slow_score(each, before, neighbours) for each in recent if each not in before}
        point = np.stack([coordinates(architecture)])
        nearest = before[int(distances(point, np.stack([coordinates(each) for each in before]))[0].argmin())]
        best = max(allowed.values(), default=-1)
        if best > slow_score(nearest, before, neighbours) + 1e-9:
            assert replacement is not None and replacement.removed == nearest
            assert allowed[replacement.added] == pytest.approx(best)
            assert group.members == [replacement.added if each == nearest else each for each in before]
        elif best < slow_score(nearest, before, neighbours) - 1e-9:
            assert replacement is None and group.members == before


def phase(**changes):
    values = {"name": "CPT", "method": "candidates", "epochs": 2, "learning_rate": 0.1, "candidates": 3, "recent": 5}
    return CandidatePhase(**{**values, **changes})


def candidate_sampler(pool, **changes):
    scope = Scope(space=PUBLISHED, scale=SCALE, pool=tuple(pool), seed=0, steps_per_epoch=8)
    return CandidateSampler(phase(**changes), scope)


def run_sampler(sampler, steps):
    found = []
    for step in steps:
        found.append([(path.architecture.code, path.weight, path.distillation) for path in sampler.paths(step)])
        sampler.finish_step(step)
    return found


def test_paths_are_a_function_of_seed_phase_and_step():
    def codes(seed, name, step):
        uniform = UniformPhase(name=name, method="uniform", epochs=1, learning_rate=0.1)
        sampler = UniformSampler(uniform, Scope(space=PUBLISHED, scale=SCALE, seed=seed, steps_per_epoch=10))
        return [path.architecture.code for path in sampler.paths(step)]

    assert codes(0, "D1", 3) == codes(0, "D1", 3)
    assert len({tuple(codes(*args)) for args in ((0, "D1", 3), (1, "D1", 3), (0, "D2", 3), (0, "D1", 4))}) == 4
    assert len(set(codes(0, "D1", 3))) == 4


def test_weights_of_the_paths_are_the_papers():
    weights = {"sampled_weight": 0.4, "candidates_weight": 0.2, "distillation": 0.4}
    paths = candidate_sampler(draw(30), candidates=7, **weights).paths(0)
    assert [(path.weight, path.distillation) for path in paths] == [(0.4, 0.4)] + [(pytest.approx(0.2 / 7), 0.0)] * 7


@pytest.mark.parametrize("changes", [{}, {"sample_from": "pool", "redraw_steps": (0, 3), "allow_duplicates": True}])
def test_a_restored_sampler_goes_on_as_if_nothing_had_happened(changes):
    def make():
        return candidate_sampler(draw(20), **changes)

    undisturbed = run_sampler(make(), range(30))
    for cut in (1, 8, 13):
        first, second = make(), make()
        run_sampler(first, range(cut))
        second.restore(first.state())
        assert run_sampler(second, range(cut, 30)) == undisturbed[cut:]


def test_the_pool_is_walked_through_once_a_pass():
    pool = draw(20)
    sampler = candidate_sampler(pool, sample_from="pool")
    sampled = [paths[0][0] for paths in run_sampler(sampler, range(40))]
    every = sorted(each.code for each in pool)
    assert sorted(sampled[:20]) == every and sorted(sampled[20:]) == every and sampled[:20] != sampled[20:]


def test_redrawing_replaces_the_whole_group_at_its_steps_only():
    sampler = candidate_sampler(draw(500), redraw_steps=(0, 4))
    groups = []
    for step in range(17):
        groups.append({path.architecture.code for path in sampler.paths(step)[1:]})
    changed = [step for step in range(1, 17) if groups[step] != groups[step - 1]]
    assert changed == [4, 8, 12, 16]


def test_a_pool_that_is_too_small_is_refused():
    with pytest.raises(InputError, match=r"needs 3 architectures of the pool in cell 2, there are 2"):
        candidate_sampler(draw(2), cell=2)
