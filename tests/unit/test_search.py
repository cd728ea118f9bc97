"""What a search draws: inside its limits, a function of the seed, always something new, the oldest first to go."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.costs import costs
from kit.errors import InputError
from kit.search.evolution import Draws, Evolution, RandomSearch, batches
from kit.search.limits import Limits
from kit.search_space import PUBLISHED, SLOTS, Scale

SCALE = Scale(PUBLISHED, 32, 10)
FREE = Limits(scale=SCALE)
SMALLEST = costs(PUBLISHED.smallest, SCALE)
SEEDS = st.integers(0, 10_000)


def worth(architecture):
    """Something to climb: small stages that are deep."""
    return sum(architecture.depths) - 0.001 * sum(architecture.width_digits)


@given(SEEDS)
def test_a_mutation_changes_one_free_choice_and_stays_inside(seed):
    rng = random.Random(seed)
    space = PUBLISHED.restrict(min_depths=(2, 3, 2, 2)) if seed % 2 else PUBLISHED
    parent = space.sample(rng)
    child = space.mutate(parent, rng)
    assert child in space and child != parent and parent.code == space.parse(parent.code).code
    depths, outs, mids = parent.choices
    new_depths, new_outs, new_mids = child.choices
    changed_depths = [stage for stage in range(4) if depths[stage] != new_depths[stage]]
    changed = len(changed_depths) + sum(a != b for a, b in zip(outs, new_outs, strict=True))
    for stage in range(4):
        if stage in changed_depths:
            shared = min(len(mids[stage]), len(new_mids[stage]))
            assert mids[stage][:shared] == new_mids[stage][:shared]
        else:
            changed += sum(a != b for a, b in zip(mids[stage], new_mids[stage], strict=True))
    assert changed == 1


@given(SEEDS)
def test_choices_are_what_an_architecture_is_built_from(seed):
    architecture = PUBLISHED.sample(random.Random(seed))
    assert PUBLISHED.build(*architecture.choices) == architecture


def test_a_space_of_one_has_nothing_near():
    lonely = PUBLISHED.restrict(min_depths=SLOTS, max_digits=(1, 1, 1, 1))
    with pytest.raises(InputError, match="the only architecture"):
        lonely.mutate(lonely.largest, random.Random(0))
    assert Draws(lonely, FREE, 0, "x")(0) == lonely.largest


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(1.0, 1.6))
def test_whatever_is_drawn_keeps_to_the_limits(seed, slack):
    limits = Limits(scale=SCALE, macs=int(SMALLEST.macs * slack), params=int(SMALLEST.params * slack))
    for searcher in (
        Evolution(PUBLISHED, limits, seed, batch=4, population=4, sample=2),
        RandomSearch(PUBLISHED, limits, seed, 4),
    ):
        for batch in batches(searcher, 12):
            assert all(limits.allow(each) for each in batch)
            searcher.tell({each: worth(each) for each in batch})


def test_a_limit_that_nothing_meets_names_the_least():
    for name, least in (("macs", SMALLEST.macs), ("params", SMALLEST.params)):
        Limits(scale=SCALE, **{name: least}).check(PUBLISHED)
        with pytest.raises(InputError, match=f"the smallest has {least:,}"):
            Limits(scale=SCALE, **{name: least - 1}).check(PUBLISHED)
    slow = Limits(scale=SCALE, latency_ms=1.0, latency=lambda architecture: float(sum(architecture.depths)))
    with pytest.raises(InputError, match="the smallest has 8"):
        slow.check(PUBLISHED)
    assert not slow.allow(PUBLISHED.largest)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_the_smallest_costs_least(seed):
    found = costs(PUBLISHED.sample(random.Random(seed)), SCALE)
    assert found.macs >= SMALLEST.macs and found.params >= SMALLEST.params


@pytest.mark.parametrize("evaluations", [1, 24, 25, 60])
def test_as_many_as_asked_for_in_batches(evaluations):
    search = RandomSearch(PUBLISHED, FREE, 0, 25)
    assert [len(batch) for batch in batches(search, evaluations)] == [
        min(25, evaluations - at) for at in range(0, evaluations, 25)
    ]


def run(kind, seed, evaluations=300):
    best, history = None, []
    search = kind(PUBLISHED, FREE, seed, 25)
    for batch in batches(search, evaluations):
        search.tell({each: worth(each) for each in batch})
        history += batch
        best = max([best or batch[0], *batch], key=worth)
    return best, history, search


def test_one_seed_one_search_and_evolution_climbs():
    best, history, search = run(Evolution, 3)
    assert run(Evolution, 3)[1] == history and run(Evolution, 4)[1] != history
    assert worth(best) > worth(run(RandomSearch, 3)[0])
    members = [architecture for architecture, _ in search._members]
    assert len(members) == search.population and set(members) <= set(history[-2 * search.population :]), (
        "the oldest are gone"
    )
