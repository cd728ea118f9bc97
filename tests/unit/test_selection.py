"""Laws of the selections: what is left out of a Pareto front is beaten, and the order of the pool changes nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from kit.search_space import PUBLISHED
from kit.submission import selection
from kit.submission.selection import Scored

ARCHITECTURES = [PUBLISHED.sample(random.Random(seed)) for seed in range(30)]
# Few values, so that ties are common.
POOLS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=30).map(
    lambda rows: [
        Scored(ARCHITECTURES[index], correct, 10, f"arch{index}", cost) for index, (correct, cost) in enumerate(rows)
    ]
)


def beats(one, other):
    """At least as good in both, better in one."""
    return (
        one.accuracy >= other.accuracy
        and one.macs <= other.macs
        and (one.accuracy, one.macs) != (other.accuracy, other.macs)
    )


@given(POOLS)
def test_the_front_holds_exactly_what_nothing_beats(pool):
    front = selection.pareto_front(pool)
    for entry in front:
        assert not any(beats(other, entry) for other in pool)
    kept = {(entry.accuracy, entry.macs) for entry in front}
    assert len(kept) == len(front)
    for entry in pool:
        assert (entry.accuracy, entry.macs) in kept or any(beats(other, entry) for other in front)
    assert [entry.macs for entry in front] == sorted(entry.macs for entry in front)


@given(POOLS, st.randoms(use_true_random=False))
def test_the_order_of_the_pool_changes_no_selection(pool, rng):
    shuffled = rng.sample(pool, len(pool))
    assert selection.by_code(selection.default_selections(shuffled)) == selection.by_code(selection.default_selections(pool))
    assert selection.best(shuffled, 3) == selection.best(pool, 3)


@given(POOLS, st.integers(1, 40))
def test_the_best_are_never_less_accurate_than_the_rest(pool, count):
    best = selection.best(pool, count)
    assert len(best) == min(count, len(pool))
    rest = [entry for entry in pool if entry not in best]
    assert all(one.accuracy >= other.accuracy for one in best for other in rest)


@given(POOLS)
def test_the_default_holds_the_extremes_and_a_small_part_of_the_front(pool):
    chosen = selection.default_selections(pool)
    front = selection.pareto_front(pool)
    assert chosen["smallest"][0].macs == min(entry.macs for entry in pool)
    assert chosen["largest"][0].macs == max(entry.macs for entry in pool)
    assert chosen["best"][0].accuracy == max(entry.accuracy for entry in pool)
    assert all(entry in front for entry in chosen["pareto"])
    assert len(chosen["pareto"]) == min(selection.DEFAULT_PARETO, len(front))
    assert {front[0].code, front[-1].code} <= {entry.code for entry in chosen["pareto"]}
