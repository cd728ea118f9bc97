"""Constraint candidates: a replacement spreads the group, and the released code's variants differ where they should."""

import random

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from kit.search_space import PUBLISHED
from kit.training.candidates import CandidateGroup

SEEDS = st.integers(0, 10_000)


def draw(count, seed):
    rng = random.Random(seed)
    return [PUBLISHED.sample(rng) for _ in range(count)]


def total_spread(members):
    points = [[int(digit) or 9 for digit in member.code[5:]] for member in members]
    return cdist(points, points, "cityblock").sum()


@hypothesis_settings(max_examples=30)
@given(SEEDS, st.integers(2, 8))
def test_with_all_others_as_neighbours_each_replacement_widens_the_group(seed, size):
    group = CandidateGroup(draw(size, seed), recent=10, neighbours=size - 1)
    replaced = 0
    for architecture in draw(25, seed + 1):
        before, others = total_spread(group.members), set(group.members)
        replacement = group.update(architecture)
        replaced += replacement is not None
        if replacement is None:
            assert set(group.members) == others
            continue
        # Who enters was scored against the one that leaves, too; without that distance the gain may turn around.
        lost = total_spread([replacement.removed, replacement.added])
        assert total_spread(group.members) > before - lost
        assert replacement.added in group.recent and set(group.members) == others - {replacement.removed} | {
            replacement.added
        }
    assert replaced


def test_a_sampled_candidate_never_enters_twice_unless_allowed():
    near, far = (PUBLISHED.build((depth,) * 4, (1,) * 4, [(1,) * depth] * 4) for depth in (2, 5))
    other = PUBLISHED.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1), (1, 1), (1, 1), (1, 2)])
    for allow, expected in ((False, [near, other, far]), (True, [far, other, far])):
        group = CandidateGroup([near, other, far], recent=5, neighbours=2, allow_duplicates=allow)
        group.restore_recent([far])
        group.update(near)
        assert group.members == expected


def test_the_released_distance_does_not_see_the_last_digit():
    # Members and recent sub-networks that differ in the last digits alone: stage 4 has depth 5, its output digit varies.
    def last(digit):
        return PUBLISHED.build((2, 2, 2, 5), (1, 1, 1, digit), [(1,) * 2] * 3 + [(1,) * 5])

    scores = {}
    for released in (False, True):
        group = CandidateGroup([last(1), last(2)], recent=5, neighbours=1, as_released_distance=released)
        group.restore_recent([last(7)])
        replacement = group.update(last(2))
        scores[released] = None if replacement is None else (replacement.removed, replacement.added)
    assert scores[False] == scores[True] == (last(2), last(7))
