"""What architectures cost: published figures, a pool at once against one after the other, a front against brute force."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.costs import costs, layers, pareto_front, pool_costs, stage_costs
from kit.pool import load_pool
from kit.recipe import load_profile
from kit.search_space import PUBLISHED, RESNET48, Scale

IMAGENET = Scale(RESNET48, 224, 1000)
SPACES = [RESNET48, load_profile("nano").search_space, load_profile("fashion").search_space]


def test_the_full_network_costs_what_is_published():
    full = costs(RESNET48.largest, IMAGENET)
    assert full.params == 34_043_688
    assert full.macs == pytest.approx(5.28e9, abs=0.005e9)
    assert full.depth == 23


def test_the_public_pool_has_its_published_figures(public_pool_path):
    pool = load_pool(public_pool_path, PUBLISHED)
    macs = np.sort(pool_costs(pool.codes, IMAGENET).macs)
    assert len(pool) == 45_000
    assert [round(macs[i] / 1e9, 2) for i in (0, 22_500, -1)] == [1.38, 2.96, 4.86]


def test_a_large_pool_is_priced_in_parts(monkeypatch):
    codes = [RESNET48.sample(random.Random(seed)).code for seed in range(8)]
    whole = pool_costs(codes, IMAGENET)
    monkeypatch.setattr("kit.costs.AT_ONCE", 3)
    parts = pool_costs(codes, IMAGENET)
    for name in ("macs", "params", "depth"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()


@given(
    st.lists(st.integers(0, 10**6), max_size=6),
    st.sampled_from(SPACES),
    st.integers(1, 256),
    st.integers(1, 1000),
)
def test_a_pool_costs_what_its_architectures_cost(seeds, space, resolution, classes):
    pool = [space.sample(random.Random(seed)) for seed in seeds]
    scale = Scale(space, resolution, classes)
    found = pool_costs([each.code for each in pool], scale)
    rows = list(zip(*(column.tolist() for column in (found.macs, found.params, found.depth)), strict=True))
    assert rows == [(each.macs, each.params, each.depth) for each in (costs(one, scale) for one in pool)]


@given(st.integers(0, 10**6), st.sampled_from(SPACES))
def test_stages_add_up_to_the_network(seed, space):
    architecture, scale = space.sample(random.Random(seed)), Scale(space, 32, 10)
    found = stage_costs(architecture, scale)
    assert list(found) == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert sum(part.macs for part in found.values()) == costs(architecture, scale).macs
    assert found["layer2"].size == next(
        each.out_size for each in layers(architecture, scale) if each.name == "layer2.0.conv1"
    )


# Few values, so that ties are common; nan stands for an architecture without a score.
SCORED = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.5, 0.75, np.nan])), max_size=20)


@given(SCORED, st.randoms(use_true_random=False))
def test_the_front_holds_exactly_what_nothing_beats(points, rng):
    names = [f"a{index}" for index in range(len(points))]
    rng.shuffle(names)

    def beats(one, other):
        (cost, value, name), (other_cost, other_value, other_name) = one, other
        return (
            cost <= other_cost and value >= other_value and ((cost, -value, name) < (other_cost, -other_value, other_name))
        )

    rows = [(cost, value, name) for (cost, value), name in zip(points, names, strict=True)]
    scored = [row for row in rows if row[1] == row[1]]
    expected = {row for row in scored if not any(beats(other, row) for other in scored)}
    front = [rows[place] for place in pareto_front(*zip(*points, strict=True), names)] if rows else []
    assert set(front) == expected and len(front) == len(expected)
    assert front == sorted(front)


def test_an_empty_front():
    assert pareto_front([], []).tolist() == pareto_front([1, 2], [np.nan, np.nan]).tolist() == []
