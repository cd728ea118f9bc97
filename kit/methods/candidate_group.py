"""Constraint candidates: a small group of sub-networks kept far apart from one another (CPT, P 2.4 and 3.3)."""

from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kit.methods.sampling import Replacement
from kit.search_space import Architecture

EMPTY_SLOT = 9
"""An empty slot counts as digit 9 (P eq. 2), so that depth differences weigh more than width differences."""

Coordinates = npt.NDArray[np.int16]


@lru_cache(maxsize=4096)
def coordinates(architecture: Architecture) -> Coordinates:
    """The point of an architecture in the space of P eq. 2: stem and 46 slot digits, `(47,)`."""
    digits = np.array(architecture.width_digits, dtype=np.int16)
    digits[digits == 0] = EMPTY_SLOT
    digits.flags.writeable = False
    return digits


def distances(a: Coordinates, b: Coordinates, *, as_released: bool = False) -> npt.NDArray[np.float64]:
    """L1 distances (P eq. 2), `(n, 47), (m, 47) -> (n, m)`; C leaves out the last digit and divides by 47."""
    if as_released:
        a, b = a[:, :-1], b[:, :-1]
    total = np.abs(a[:, None, :] - b[None, :, :]).sum(axis=2, dtype=np.int64).astype(np.float64)
    scaled: npt.NDArray[np.float64] = total / 47 if as_released else total
    return scaled


class CandidateGroup:
    """The group and the recent sub-networks that may enter it.

    A sub-network's score is its mean distance to its `neighbours` nearest other candidates (to all, if there are fewer).
    After each step the candidate nearest to the sampled sub-network gives way to the recent sub-network with the highest
    score, if that is strictly higher than the candidate's own. A promoted sub-network stays among the recent ones (C).
    """

    def __init__(
        self,
        members: Sequence[Architecture],
        *,
        recent: int,
        neighbours: int,
        as_released_distance: bool = False,
        allow_duplicates: bool = False,
    ) -> None:
        self.neighbours = neighbours
        self.as_released_distance = as_released_distance
        self.allow_duplicates = allow_duplicates
        self.members = list(members)
        self.recent: deque[Architecture] = deque(maxlen=recent)
        """Oldest first."""

    def update(self, sampled: Architecture) -> Replacement | None:
        """Remember the sampled sub-network, and let one recent sub-network in if that spreads the group."""
        self.recent.append(sampled)
        if len(self.members) < 2:  # a lone candidate has no others, so no score
            return None
        nearest = int(self._distances_to_members([sampled])[0].argmin())
        between = self._distances_to_members(self.recent)
        is_member = [[candidate == recent for candidate in self.members] for recent in self.recent]
        scores = self._scores(between, np.array(is_member))
        if not self.allow_duplicates:
            scores[np.array(is_member).any(axis=1)] = -np.inf
        best = int(scores.argmax())
        own = self._distances_to_members([self.members[nearest]])
        own_score = self._scores(own, np.arange(len(self.members))[None] == nearest)[0]
        if not scores[best] > own_score:
            return None
        replacement = Replacement(self.members[nearest], self.recent[best])
        self.members[nearest] = self.recent[best]
        return replacement

    def _distances_to_members(self, architectures: Iterable[Architecture]) -> npt.NDArray[np.float64]:
        a, b = (np.stack([coordinates(each) for each in group]) for group in (architectures, self.members))
        return distances(a, b, as_released=self.as_released_distance)

    def _scores(self, between: npt.NDArray[np.float64], is_self: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Mean distance of each row to its nearest columns, one column that is the row itself left out."""
        first_self = is_self & (is_self.cumsum(axis=1) == 1)
        ordered = np.sort(np.where(first_self, np.inf, between), axis=1)
        others = between.shape[1] - first_self.any(axis=1)
        counted = np.minimum(self.neighbours, others)
        mask = np.arange(between.shape[1])[None] < counted[:, None]
        total: npt.NDArray[np.float64] = np.where(mask, ordered, 0.0).sum(axis=1) / counted
        return total
