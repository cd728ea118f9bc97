"""Laws of the rivals' samplers: what a step must hold, whatever the seed; both steps against plain autograd in float64."""

import math
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import test_objective as step_tests
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kit.costs import costs
from kit.errors import InputError
from kit.methods import METHODS, Scope, make_sampler, settings_model
from kit.methods.biased import STAGE_WEIGHTS
from kit.methods.novelty import hamming
from kit.randomness import derive_random
from kit.recipe import load_recipe
from kit.search_space import FIRST_SLOT_POSITION, OUT_POSITIONS, SLOTS, Scale
from kit.supernet import FewShotSupernet

SPACE = step_tests.SPACE.restrict(max_digits=(3, 3, 5, 7))
METHODS_PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
SEEDS = st.integers(0, 10_000)
SETTINGS = {"cellwise": {"cells_per_step": 2}, "biased": {"draws": 20}}
RIVALS = [method for method in METHODS if method not in ("pretrain", "uniform", "candidates")]


def sampler(method, seed=0, *, space=SPACE, steps_per_epoch=4, epochs=4, cells=(), **wishes):
    phase = settings_model(method)(
        name="phase", method=method, epochs=epochs, learning_rate=0.1, **SETTINGS.get(method, {}) | wishes
    )
    scale = Scale(space.whole, 16, 5)
    return make_sampler(phase, Scope(space=space, scale=scale, seed=seed, steps_per_epoch=steps_per_epoch, cells=cells))


@settings(max_examples=25)
@given(SEEDS, st.integers(0, 15), st.booleans())
def test_fairness_deals_every_digit_of_every_layer_alike(seed, step, narrow):
    space = SPACE.restrict(min_depths=SLOTS) if narrow else SPACE
    drawn = [path.architecture for path in sampler("fair", seed, space=space).paths(step)]
    assert len(drawn) == 7 and all(each in space for each in drawn)
    for position, limit in zip(OUT_POSITIONS, space.max_digits, strict=True):
        _dealt_alike(Counter(each.code[position] for each in drawn), limit)
    at = FIRST_SLOT_POSITION
    for slots, limit in zip(SLOTS, space.max_digits, strict=True):
        for block in range(slots):
            digits = Counter(each.code[at + 2 * block] for each in drawn)
            absent = digits.pop("0", 0)
            # Paths without the block drop their digit, so only the upper bound is left of what was dealt.
            assert max(digits.values(), default=0) <= math.ceil(7 / limit)
            if not absent:
                _dealt_alike(digits, limit)
        at += 2 * slots


def _dealt_alike(counts, limit):
    assert len(counts) == limit and max(counts.values()) - min(counts.values()) <= 1


@given(SEEDS, st.integers(0, 15))
def test_a_sandwich_holds_both_ends_and_all_learn_from_the_largest(seed, step):
    first, *others = sampler("sandwich", seed, between=3, smoothing=0.1).paths(step)
    assert first.architecture == SPACE.largest and (first.weight, first.smoothing, first.distillation) == (1, 0.1, 0)
    assert others[0].architecture == SPACE.smallest and len(others) == 4
    assert all((path.weight, path.distillation, path.source) == (0, 1, 0) for path in others)


def test_soft_targets_are_the_largests_logits_of_the_same_step():
    network, (images, labels, _) = step_tests.supernet(), step_tests.batch()
    paths = sampler("sandwich").paths(0)
    step_tests.separate_backward(network, images, labels, paths)
    reference = step_tests.supernet()
    target = reference(images, SPACE.largest)
    loss = F.cross_entropy(target, labels)
    for path in paths[1:]:
        loss = loss + F.kl_div(
            reference(images, path.architecture).log_softmax(1), target.detach().softmax(1), reduction="batchmean"
        )
    loss.backward()
    for parameter, wanted in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.grad, rtol=1e-9, atol=1e-11)


@settings(max_examples=4)
@given(SEEDS, st.sampled_from([4, 39, 100]))
def test_pairs_are_pushed_to_the_order_of_their_costs(seed, step):
    paths = sampler("rank-loss", seed, epochs=40).paths(step)
    assert [path.trained for path in paths] == [True] * 4 + [False, True] * 2
    network, (images, labels, _) = step_tests.supernet(), step_tests.batch()
    step_tests.separate_backward(network, images, labels, paths)
    reference = step_tests.supernet()
    outputs = [reference(images, path.architecture) for path in paths]
    target = outputs[0].detach().softmax(1)
    losses = [F.cross_entropy(output, labels) for output in outputs]
    total = losses[0] + sum(F.cross_entropy(output, target) for output in outputs[1:4])
    for first, second in ((4, 5), (6, 7)):
        a, b = (costs(paths[at].architecture, Scale(SPACE.whole, 16, 5)).macs for at in (first, second))
        fixed = losses[first].detach()
        if a != b:
            total = total + min(2, step // 4 / 10) * F.relu(losses[second] - fixed if a < b else fixed - losses[second])
    total.backward()
    for parameter, wanted in zip(network.parameters(), reference.parameters(), strict=True):
        mine, plain = (torch.zeros_like(each) if each.grad is None else each.grad for each in (parameter, wanted))
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-11)


@settings(max_examples=10)
@given(SEEDS, st.integers(0, 8))
def test_the_largest_of_400_draws_are_trained_in_the_order_drawn(seed, step):
    biased = sampler("biased", seed, draws=400)
    paths = biased.paths(step)
    assert len(paths) == 4 + (step % 3 == 2) and all((path.weight, path.distillation) == (0.5, 0.5) for path in paths)
    rng = derive_random(seed, "phase", step)
    drawn = [SPACE.sample(rng) for _ in range(400)]

    def size(architecture):
        digits, at, total = architecture.code, FIRST_SLOT_POSITION, 0.0
        for slots, depth, weight in zip(SLOTS, architecture.depths, STAGE_WEIGHTS, strict=True):
            for block in range(depth):
                total += weight * sum(SPACE.ratios[int(digits[at + 2 * block + conv]) - 1] for conv in (0, 1))
            at += 2 * slots
        return total

    ordered = sorted(drawn, key=size, reverse=True)
    assert [path.architecture for path in paths[:4]] == [each for each in drawn if each in ordered[:4]]


@settings(max_examples=15)
@given(SEEDS)
def test_the_archive_only_ever_spreads_and_comes_back_from_its_state(seed):
    one, other = sampler("novelty", seed, draws=30), sampler("novelty", seed, draws=30)
    assert len(one.members) == 10
    for step in range(12):
        paths = one.paths(step)
        assert [path.architecture for path in paths[1:]] == one.members
        assert sum(path.weight for path in paths) == pytest.approx(1)
        before = list(one.members)
        replacement = one.finish_step(step)
        if replacement is None:
            assert one.members == before
            continue
        at = int(hamming([paths[0].architecture], before)[0].argmin())
        others = before[:at] + before[at + 1 :]
        assert before[at] == replacement.removed and one.members[at] == replacement.added
        assert hamming([replacement.added], others).mean() > hamming([replacement.removed], others).mean()
        other.restore(one.state())
        assert other.paths(step + 1) == one.paths(step + 1)


def test_distance_counts_digits_that_differ():
    rng = random.Random(3)
    a, b = SPACE.sample(rng), SPACE.sample(rng)
    assert hamming([a], [b]) == sum(x != y for x, y in zip(a.code[5:], b.code[5:], strict=True))


@given(SEEDS, st.integers(0, 15))
def test_every_cell_has_one_path_a_step(seed, step):
    cells = (step_tests.SPACE.restrict(max_depths=(5, 5, 8, 3)), step_tests.SPACE.restrict(min_depths=(2, 2, 2, 4)))
    paths = sampler("cellwise", seed, cells=cells).paths(step)
    assert [cell.owns(path.architecture) for cell, path in zip(cells, paths, strict=True)] == [True, True]
    assert all(path.architecture in SPACE for path in paths)
    with pytest.raises(InputError, match="the partition has 2 cells, not 3"):
        sampler("cellwise", cells=cells, cells_per_step=3)


@given(SEEDS, st.integers(0, 15))
def test_the_rate_falls_by_size_and_momentum_is_each_depths_own(seed, step):
    dynas = sampler("size-schedule", seed)
    [path] = dynas.paths(step)
    params = [costs(each, dynas.scope.scale).params for each in (SPACE.smallest, path.architecture, SPACE.largest)]
    share = (math.log(params[1]) - math.log(params[0])) / (math.log(params[2]) - math.log(params[0]))
    power = 4 + share * (0.25 - 4)
    assert dynas.learning_rate(step, 0.3) == pytest.approx(0.3 * ((16 - step) / 16) ** power, rel=1e-12)
    assert dynas.momentum_group(step) == f"depth {path.architecture.depths[3]}"
    assert (dynas.power(SPACE.smallest), dynas.power(SPACE.largest)) == pytest.approx((4, 0.25))


@pytest.mark.parametrize("method", RIVALS)
def test_both_steps_agree_with_autograd(method):
    """To 1e-9 in float64, on the paths that the method draws."""
    cells = (step_tests.SPACE.restrict(max_depths=(5, 5, 8, 3)), step_tests.SPACE.restrict(min_depths=(2, 2, 2, 4)))
    network = step_tests.few_shot() if method == "cellwise" else step_tests.supernet()
    assert isinstance(network, FewShotSupernet) == (method == "cellwise")
    one = sampler(method, 5, cells=cells, steps_per_epoch=1, epochs=20)
    for step in (2, 15):
        step_tests.assert_same_step(network, one.paths(step))


@pytest.mark.parametrize("method", RIVALS)
def test_in_float32_the_steps_agree_as_the_docs_say(method):
    [promised] = re.findall(r"in float32 .* by less than (\S+) of its length", METHODS_PAGE.read_text())
    cells = (step_tests.SPACE.restrict(max_depths=(5, 5, 8, 3)), step_tests.SPACE.restrict(min_depths=(2, 2, 2, 4)))
    network = (step_tests.few_shot() if method == "cellwise" else step_tests.supernet()).float()
    images, labels, teacher = step_tests.batch()
    paths = sampler(method, 5, cells=cells, steps_per_epoch=1, epochs=20).paths(15)
    gradients = []
    for step in (step_tests.separate_backward, step_tests.shared_backward):
        network.zero_grad(set_to_none=True)
        step(network, images.float(), labels, paths, teacher.float())
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None]))
    assert (gradients[0] - gradients[1]).norm() < float(promised) * gradients[0].norm()


@pytest.mark.parametrize("method", RIVALS)
def test_asking_again_gives_the_same_and_the_passes_are_as_announced(method):
    cells = (step_tests.SPACE.restrict(max_depths=(5, 5, 8, 3)), step_tests.SPACE.restrict(min_depths=(2, 2, 2, 4)))
    one, other, third = (sampler(method, seed, cells=cells) for seed in (0, 0, 1))
    steps = range(12)
    paths = [one.paths(step) for step in steps]
    assert paths == [other.paths(step) for step in steps] != [third.paths(step) for step in steps]
    counted = np.mean([sum(1.0 if path.trained else 0.5 for path in step) for step in paths])
    assert counted == pytest.approx(one.settings.paths_per_step)


@pytest.mark.parametrize(
    "name",
    ["ps", "fairnas", "sandwich", "rank-loss", "biased", "bignas-width", "nsas", "efs-nas", "dynas", "spos", "aps-v3"],
)
def test_rivals_have_the_budget_of_aps(name):
    phases = load_recipe(name).phases
    assert phases[0].pretrains and phases[0].epochs == 90
    assert sum(phase.passes(phase.epochs) for phase in phases[1:]) == pytest.approx(280, rel=0.01)


def test_a_rival_does_not_inherit_the_papers_figure():
    assert load_recipe("ps").paper is None and load_recipe("biased").published_epochs == 1


def test_depths_of_efs_nas_are_those_of_its_groups():
    partition = load_recipe("efs-nas").partition
    assert partition is not None
    assert [len(cell.depth_choices) for cell in partition.subspaces(SPACE)] == [54, 59, 59, 54, 222]


def test_the_largest_exponent_belongs_to_the_smallest():
    with pytest.raises(ValueError, match="large sub-networks would stop learning first"):
        sampler("size-schedule", smallest_power=1.0, largest_power=2.0)
