"""Constraint candidates: a replacement spreads the group, and the released code's variants differ where they should."""

import random

import pytest
from scipy.spatial.distance import cdist

from kit.methods.candidate_group import CandidateGroup
from kit.search_space import PUBLISHED


def draw(count, seed):
    rng = random.Random(seed)
    return [PUBLISHED.sample(rng) for _ in range(count)]


def total_spread(members):
    points = [[int(digit) or 9 for digit in member.code[5:]] for member in members]
    return cdist(points, points, "cityblock").sum()


@pytest.mark.parametrize("size", [3, 5, 8])
def test_with_all_others_as_neighbours_each_replacement_widens_the_group(size):
    replaced = 0
    for seed in range(10):
        group = CandidateGroup(draw(size, seed), recent=10, neighbours=size - 1)
        for architecture in draw(25, seed + 100):
            before, members = total_spread(group.members), set(group.members)
            replacement = group.update(architecture)
            if replacement is None:
                assert set(group.members) == members
                continue
            replaced += 1
            assert replacement.added in group.recent
            assert set(group.members) == members - {replacement.removed} | {replacement.added}
            assert total_spread(group.members) > before
    assert replaced > 10


def test_a_sampled_candidate_never_enters_twice_unless_allowed():
    near, far = (PUBLISHED.build((depth,) * 4, (1,) * 4, [(1,) * depth] * 4) for depth in (2, 5))
    other = PUBLISHED.build((2, 2, 2, 2), (1, 1, 1, 1), [(1, 1), (1, 1), (1, 1), (1, 2)])
    for allow, expected in ((False, [near, other, far]), (True, [far, other, far])):
        group = CandidateGroup([near, other, far], recent=5, neighbours=2, allow_duplicates=allow)
        group.recent.append(far)
        group.update(near)
        assert group.members == expected


def test_the_released_distance_takes_another_candidate_for_the_nearest():
    def build(depth, mids):
        return PUBLISHED.build((5, 5, 8, depth), (1, 1, 1, 1), [(1,) * 5, (1,) * 5, (1,) * 8, mids])

    sampled, shallow, narrow = build(5, (1,) * 5), build(4, (1,) * 4), build(5, (7, 7, 1, 1, 1))
    far = PUBLISHED.build((2,) * 4, (1,) * 4, [(1, 1)] * 4)
    # The empty last slot is 8 + 8 away, 8 / 47 without the last digit; two digits 7 are 12 away, or 12 / 47.
    for released, removed in ((False, narrow), (True, shallow)):
        group = CandidateGroup([shallow, narrow], recent=5, neighbours=1, as_released_distance=released)
        group.recent.append(far)
        replacement = group.update(sampled)
        assert replacement is not None and (replacement.removed, replacement.added) == (removed, far)
