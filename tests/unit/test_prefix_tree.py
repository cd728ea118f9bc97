"""The prefix tree against one sub-network after another: the same statistics, predictions and scores."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kit.costs import costs, pool_costs
from kit.data import Batch
from kit.evaluation import CalibratedTree, EvaluationImages, evaluate_architectures, evaluate_prefix_tree, plan_units
from kit.evaluation.prefix_tree import KEPT_BYTES
from kit.evaluation.units import spread
from kit.search_space import Scale, SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.calibration import calibrate
from kit.supernet.prefix import grow, tree_macs

SPACE = SearchSpace(
    base_channels=(4, 6, 8, 10), ratios=(1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), divisor=1, stem=Stem(3, 2, False)
)
ONE_VARIANT = SPACE.restrict(max_depths=(2, 2, 3, 5), max_digits=(1, 1, 2, 3))


def supernet(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ElasticResNet(SPACE, 5, generator=generator, zero_init_last=False).eval()


def images(statistics="average", seed=1, **ways):
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)

    validation = [Batch(draw(count), torch.randint(5, (count,), generator=generator)) for count in (12, 12, 7)]
    prepare = lambda pixels: pixels.double().sub_(128).div_(64)  # noqa: E731
    return EvaluationImages(
        calibration=[draw(8) for _ in range(3)], validation=validation, prepare=prepare, statistics=statistics, **ways
    )


def sample(space, count, seed):
    rng = random.Random(seed)
    return list(dict.fromkeys(space.sample(rng) for _ in range(count)))


def scores(found):
    return {score.architecture.code: (score.correct, score.images) for score in found}


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1000),
    one_variant=st.booleans(),
    statistics=st.sampled_from(["average", 0.1]),
    by_shape=st.booleans(),
    fold=st.booleans(),
)
def test_scores_are_those_of_one_by_one(seed, one_variant, statistics, by_shape, fold):
    network = supernet().double()
    chosen = sample(ONE_VARIANT if one_variant else SPACE, 12, seed)
    seen = images(statistics, by_shape=by_shape, fold=fold)
    tree = [score for unit in evaluate_prefix_tree(network, chosen, seen) for score in unit]
    assert scores(tree) == scores(evaluate_architectures(network, chosen, seen))
    assert len(tree) == len(chosen)


def test_logits_of_every_image_are_those_of_the_calibrated_subnet():
    network = supernet().double()
    chosen = sample(ONE_VARIANT, 10, 0)
    seen = images()
    tree = CalibratedTree(network, chosen, seen)
    found = {}
    tree.classify(seen.validation[0].images, lambda ends, logits: found.update(dict.fromkeys(ends, logits)))
    assert sorted(found) == list(range(len(chosen)))
    for position, architecture in enumerate(chosen):
        alone = extract_subnet(network, architecture)
        calibrate(alone, map(seen.prepare, seen.calibration))
        with torch.no_grad():
            expected = alone(seen.prepare(seen.validation[0].images))
        torch.testing.assert_close(found[position], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("room", [0, 20_000, KEPT_BYTES])
def test_a_layout_by_shape_changes_nothing_but_the_layout(monkeypatch, room):
    """Both ways follow the rule, whatever is kept from one batch to the next, and score as without it."""
    monkeypatch.setattr("kit.evaluation.prefix_tree.KEPT_BYTES", room)
    space = SearchSpace((8, 16, 32, 32), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
    network = ElasticResNet(space, 5, generator=torch.Generator().manual_seed(0), zero_init_last=False).double().eval()
    chosen = sample(space, 6, 1)
    convolve, seen = F.conv2d, []

    def watched(x, weight, bias=None, stride=1, padding=0, *rest):
        result = convolve(x, weight, bias, stride, padding, *rest)
        wide = len(weight) % 16 == 0 and result[0, 0].numel() <= 16
        layout = torch.contiguous_format if wide else torch.channels_last
        seen.append((layout, x.is_contiguous(memory_format=layout)))
        return result

    expected = scores(evaluate_architectures(network, chosen, images()))
    monkeypatch.setattr(F, "conv2d", watched)
    monkeypatch.setattr("torch.nn.modules.conv.F.conv2d", watched)
    for way in (evaluate_architectures, lambda *job: itertools.chain(*evaluate_prefix_tree(*job))):
        seen.clear()
        assert scores(way(network, chosen, images(by_shape=True))) == expected
        assert all(right for _, right in seen)
        assert {layout for layout, _ in seen} == {torch.contiguous_format, torch.channels_last}
    assert all(not module._forward_pre_hooks for module in network.modules())


def test_codes_of_one_shape_are_both_scored():
    alike = SearchSpace((8, 8, 8, 8), (1.0,) * 7, 1, Stem(3, 2, False))  # every digit means 8 channels
    network = ElasticResNet(alike, 5, generator=torch.Generator().manual_seed(0), zero_init_last=False).double().eval()
    first = alike.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1)] * 4)
    second = alike.build((2, 2, 2, 2), (1, 1, 1, 2), [(1, 1)] * 4)
    found = scores(score for unit in evaluate_prefix_tree(network, [first, second], images()) for score in unit)
    assert found[first.code] == found[second.code] and len(found) == 2


def test_sub_supernets_score_their_own_cells():
    cells = [SPACE.restrict(max_depths=(5, 5, 8, 3)), SPACE.restrict(min_depths=(2, 2, 2, 4))]
    network = FewShotSupernet([supernet(0), supernet(7)], cells).double().eval()
    chosen = [architecture for cell in cells for architecture in sample(cell, 4, 2)]
    tree = scores(score for unit in evaluate_prefix_tree(network, chosen, images()) for score in unit)
    assert tree == scores(evaluate_architectures(network, chosen, images()))


def test_the_supernet_is_left_as_it_was():
    network = supernet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    seen = EvaluationImages(**{**vars(images()), "prepare": lambda pixels: pixels.float().sub_(128).div_(64)})
    list(evaluate_prefix_tree(network, sample(SPACE, 3, 0), seen))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not network.training


def plan(network, chosen, size):
    return [unit.architectures for unit in plan_units(network, chosen, size)]


@pytest.mark.parametrize("count", [60, 700])
def test_units_hold_every_architecture_once(count):
    chosen = sample(SPACE, count, 4)
    found = plan(supernet(), chosen, 16)
    assert sorted(a.code for unit in found for a in unit) == sorted(a.code for a in chosen)
    assert all(len(unit) <= 16 for unit in found)
    assert found == plan(supernet(), chosen, 16), "another process plans the same"


def test_small_pools_are_scored_by_subtrees_alone():
    found = plan(supernet(), sample(SPACE, 60, 4), 16)
    assert all(len({a.stages[0] for a in unit}) == 1 for unit in found)


def test_large_pools_begin_with_a_sample_of_all_sizes():
    chosen = sample(SPACE, 1000, 5)
    found = plan(supernet(), chosen, 25)
    size = lambda a: costs(a, Scale(SPACE, 16, 5)).macs  # noqa: E731
    ordered = sorted(map(size, chosen))
    first = sorted(size(a) for unit in found[:2] for a in unit)
    assert len(first) == 50
    # A spread sample has every size class in its share: each tenth of the sample lies near the same tenth of the pool.
    for tenth in range(1, 10):
        position = sum(value <= first[5 * tenth] for value in ordered) / len(ordered)
        assert abs(position - tenth / 10) < 0.06


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_an_order_by_spread_visits_everything_once(sizes):
    assert sorted(spread(sizes)) == list(range(len(sizes)))


def test_sub_supernets_are_planned_apart():
    cells = [SPACE.restrict(max_depths=(5, 5, 8, 3)), SPACE.restrict(min_depths=(2, 2, 2, 4))]
    network = FewShotSupernet([supernet(0), supernet(7)], cells)
    for unit in plan(network, sample(SPACE, 700, 6), 16):
        assert len({network.cell_of(architecture) for architecture in unit}) == 1


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_lone_architecture_costs_what_it_costs(seed):
    architecture = SPACE.sample(random.Random(seed))
    scale = Scale(SPACE, 24, 7)
    assert tree_macs(grow([(0, architecture)]), scale) == costs(architecture, scale).macs


def test_counted_multiply_adds_are_those_of_the_convolutions_done():
    """Torch's own counter over the walk, against the closed count."""
    from torch.utils.flop_counter import FlopCounterMode

    network = supernet()
    chosen = sample(ONE_VARIANT, 12, 3)
    seen = EvaluationImages(calibration=[], validation=[], prepare=lambda pixels: pixels.float())
    tree = CalibratedTree(network, chosen, seen)
    with FlopCounterMode(display=False) as counter:
        tree.classify(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), lambda ends, logits: None)
    assert counter.get_total_flops() == 2 * tree_macs(grow(enumerate(chosen)), Scale(SPACE, 16, 5))


@pytest.mark.slow
def test_the_public_pool_costs_at_least_1_87_times_less(public_pool_path):
    from kit.pool import load_pool
    from kit.search_space import RESNET48

    scale = Scale(RESNET48, 224, 1000)
    pool = load_pool(public_pool_path).architectures
    alone = pool_costs([architecture.code for architecture in pool], scale).total_macs
    planned = [unit.architectures for unit in plan_units(ElasticResNet(RESNET48, 1000), pool)]
    assert sum(map(len, planned)) == len(pool) == 45_000
    assert alone / sum(tree_macs(grow(enumerate(unit)), scale) for unit in planned) >= 1.87
    subtrees = {}
    for architecture in pool:
        subtrees.setdefault(architecture.stages[0], []).append(architecture)
    assert len(subtrees) == 120
    assert alone / sum(tree_macs(grow(enumerate(unit)), scale) for unit in subtrees.values()) >= 1.95
