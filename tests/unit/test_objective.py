"""What a path may ask of its step: soft targets, weights from other losses, smoothing; both steps against plain autograd."""

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kit.methods.rank_loss import Hinge
from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.prefix import pieces
from kit.training import Path, separate_backward, shared_backward

SPACE = SearchSpace((4, 6, 8, 10), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
NARROW = SPACE.restrict(min_depths=(4, 4, 7, 2), max_digits=(1, 1, 1, 2))
SHORT, LONG = (SPACE.build((2, 2, 2, depth), (1,) * 4, [(1, 1)] * 3 + [(1,) * depth]) for depth in (2, 4))


def supernet(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ElasticResNet(SPACE, 5, generator=generator, zero_init_last=False).double().train()


def few_shot():
    cells = [SPACE.restrict(max_depths=(5, 5, 8, 3)), SPACE.restrict(min_depths=(2, 2, 2, 4))]
    return FewShotSupernet([supernet(0), supernet(7)], cells)


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
    return images, torch.randint(5, (4,), generator=generator), torch.randn(4, 5, generator=generator, dtype=torch.float64)


def plain(network, paths):
    """The step as one formula for autograd, every term written out."""
    images, labels, teacher = batch()
    logits = [network(images, path.architecture) for path in paths]
    losses = [-each.log_softmax(1)[range(4), labels].mean() for each in logits]
    total = torch.zeros((), dtype=torch.float64)
    for path, each, loss in zip(paths, logits, losses, strict=True):
        if not path.trained:
            continue
        smooth = -each.log_softmax(1).mean()
        hard = (1 - path.smoothing) * loss + path.smoothing * smooth
        if path.factor is not None:
            [given] = path.factor.given
            hinge = path.factor.weight * F.relu(path.factor.sign * (loss - losses[given].detach()))
            hard = hinge if not path.smoothing else hard * path.factor(loss.detach(), losses[given].detach())
        target = (teacher if path.source is None else logits[path.source].detach()).softmax(1)
        total = total + path.weight * hard - path.distillation * (target * each.log_softmax(1)).sum(1).mean()
    total.backward()
    return torch.stack(losses).detach()


def assert_same_step(network, paths):
    images, labels, teacher = batch()
    reference = copy.deepcopy(network)
    expected = plain(reference, paths)
    for step in (separate_backward, shared_backward):
        network.zero_grad(set_to_none=True)
        losses = step(network, images, labels, paths, teacher)
        assert not losses.requires_grad
        torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-12)
        for (name, parameter), wanted in zip(network.named_parameters(), reference.parameters(), strict=True):
            assert (parameter.grad is None) == (wanted.grad is None), name
            if wanted.grad is not None:
                torch.testing.assert_close(parameter.grad, wanted.grad, rtol=1e-9, atol=1e-11, msg=name)


def calls_of_blocks(network, paths):
    """How often blocks ran in a shared step, and how many different prefixes its paths have."""
    calls = []
    hooks = [
        block.register_forward_hook(lambda *_: calls.append(1))
        for layer in network.stages for block in layer
    ]  # fmt: skip
    images, labels, teacher = batch()
    shared_backward(network, images, labels, paths, teacher)
    for hook in hooks:
        hook.remove()
    distinct = {
        tuple(pieces(path.architecture)[: depth + 1]) for path in paths for depth in range(1, len(pieces(path.architecture)))
    }
    return len(calls), len(distinct)


def sandwich(space, rng):
    return [
        Path(space.largest),
        *(Path(each, 0.0, 1.0, source=0) for each in (space.smallest, space.sample(rng), space.sample(rng))),
    ]


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.booleans(), st.randoms(use_true_random=False))
def test_paths_learn_from_another_path_of_the_step(seed, narrow, order):
    paths = sandwich(NARROW if narrow else SPACE, random.Random(seed))
    assert_same_step(supernet(), paths)
    places = order.sample(range(4), 4)  # the same step with its paths in another order
    moved = sorted(zip(places, paths, strict=True), key=lambda each: each[0])
    source = places[0]
    paths = [path if path.source is None else Path(path.architecture, 0.0, 1.0, source=source) for _, path in moved]
    assert_same_step(supernet(), paths)
    calls, distinct = calls_of_blocks(supernet(), paths)
    assert calls == distinct, "the source was not computed twice"


@pytest.mark.parametrize("source", [SHORT, LONG])
def test_a_path_that_begins_another_may_learn_from_it_and_the_other_way_round(source):
    other = LONG if source is SHORT else SHORT
    for paths in ([Path(source), Path(other, 0.5, 0.5, source=0)], [Path(other, 0.5, 0.5, source=1), Path(source)]):
        assert_same_step(supernet(), paths)
        assert calls_of_blocks(supernet(), paths)[0] == sum(LONG.depths)


def test_a_repeated_architecture_may_learn_from_itself():
    assert_same_step(supernet(), [Path(LONG, 0.3, 0.7, source=1), Path(LONG), Path(LONG, 0.0, 1.0, source=0)])


def test_where_no_order_of_branches_exists_the_source_runs_once_more():
    a = [SPACE.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1)] * 3 + [(1, mid)]) for mid in (1, 2)]
    b = [SPACE.build((2, 2, 2, 2), (1, 1, 1, 1), [(2, 1)] + [(1, 1)] * 2 + [(1, mid)]) for mid in (1, 2)]
    # Both branches hold a source of the other one.
    paths = [Path(a[0]), Path(b[0]), Path(a[1], source=1, distillation=0.5), Path(b[1], source=0, distillation=0.5)]
    assert_same_step(supernet(), paths)
    calls, distinct = calls_of_blocks(supernet(), paths)
    assert calls == distinct + 8


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from([-1.0, 0.0, 1.0]), st.booleans())
def test_a_weight_may_depend_on_the_loss_of_a_path_that_only_goes_forward(seed, sign, narrow):
    space, rng = NARROW if narrow else SPACE, random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)
    pair = [Path(first, trained=False), Path(second, 1.5, factor=Hinge((0,), sign, 0.7))]
    assert_same_step(supernet(), pair)
    assert_same_step(
        supernet(), [Path(second, factor=Hinge((2,), sign, 1.0)), *sandwich(space, rng)[1:1], Path(second), Path(first)]
    )


def test_a_path_that_only_goes_forward_leaves_no_gradient():
    network = supernet()
    images, labels, _ = batch()
    for step in (separate_backward, shared_backward):
        network.zero_grad(set_to_none=True)
        losses = step(network, images, labels, [Path(SHORT), Path(LONG, trained=False)])
        assert losses.shape == (2,) and losses.isfinite().all()
        used = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
        assert "layer4.1.conv1.weight" in used and "layer4.3.conv1.weight" not in used


def test_labels_may_be_smoothed():
    rng = random.Random(0)
    paths = [Path(NARROW.sample(rng), 0.5, 0.3, smoothing=0.1), Path(NARROW.sample(rng)), Path(LONG, smoothing=0.4)]
    assert_same_step(supernet(), paths)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.booleans())
def test_any_mixture_of_wishes_is_the_plain_formula(seed, several):
    """Up to six paths, some in two sub-supernets, that wait for one another in any order without a circle."""
    rng = random.Random(seed)
    network = few_shot() if several else supernet()
    count = rng.randrange(1, 7)
    rank = rng.sample(range(count), count)
    paths = []
    for position in range(count):
        earlier = [other for other in range(count) if rank[other] < rank[position]]
        wishes = {"smoothing": rng.choice([0.0, 0.1]), "trained": rng.random() < 0.8}
        if earlier and rng.random() < 0.5:
            wishes["source"] = rng.choice(earlier)
        if earlier and rng.random() < 0.3:
            wishes["factor"] = Hinge((rng.choice(earlier),), rng.choice([-1, 1]), 1.0)
        space = NARROW if rng.random() < 0.7 else SPACE
        paths.append(Path(space.sample(rng), rng.choice([0.5, 1.0]), 0.4, **wishes))
    if any(path.trained for path in paths):
        assert_same_step(network, paths)


def test_paths_that_wait_for_one_another_are_refused():
    paths = [Path(SHORT, distillation=1.0, source=1), Path(LONG, distillation=1.0, source=0)]
    for step in (separate_backward, shared_backward):
        with pytest.raises(AssertionError, match="wait for one another"):
            step(supernet(), *batch()[:2], paths)
