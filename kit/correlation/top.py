"""What choosing the architectures that are predicted best would give."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy import stats

from kit.correlation.comparison import MIN_ARCHITECTURES, Variable
from kit.correlation.numbers import Floats, dot
from kit.errors import InputError
from kit.rank_report import Interval, Top

Count = int | Fraction
"""So many architectures, or a share of them, rounded up."""
DEFAULT_SHARES = (Fraction(1, 100), Fraction(5, 100), Fraction(10, 100))


def parse_count(text: str) -> Count:
    """A count like `10`, or a share like `5%`. Raises `InputError`."""
    number, is_share = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        count = Fraction(number) / 100 if is_share else int(number)
    except (ValueError, ZeroDivisionError):
        count = 0
    if count <= 0 or (is_share and count > 1):
        raise InputError(f"--top {text!r} is no count like 10 and no share like 5%")
    return count


def counts(wanted: Sequence[Count] | None, n: int) -> list[int]:
    """How many of `n` to choose, smallest first; by default 1, 5 and 10 %, where that is enough to say anything."""
    if wanted is None:
        found = {math.ceil(share * n) for share in DEFAULT_SHARES}
        return sorted(count for count in found if count >= MIN_ARCHITECTURES)
    found = {math.ceil(each * n) if isinstance(each, Fraction) else each for each in wanted}
    if found and max(found) > n:
        raise InputError(f"--top {max(found)}: there are only {n} architectures")
    return sorted(found)


class Choice:
    """The `count` architectures that are predicted best, with all that are tied with the last of them."""

    def __init__(self, predicted: Variable, target: Variable, count: int) -> None:
        self.predicted, self.target, self.count = predicted, target, count
        self.everybody = np.ones((1, len(target.values)))

    def point(self) -> Floats:
        """The precision of the data, shape (1,)."""
        found: Floats = self.statistics(self.everybody)[0]
        return found

    def statistics(self, weights: Floats) -> Floats:
        """The precision in each resample, shape (B, n) -> (B, 1)."""
        chosen = weights * (_better(self.predicted, weights) < self.count)
        taken = chosen.sum(axis=1)
        are_good = _better(self.target, weights) < taken[:, None]
        precision: Floats = dot(chosen, are_good.astype(np.float64)) / taken
        return precision[:, None]

    def report(self, precision: Interval) -> Top:
        """All figures of the data, with the interval that the resamples give."""
        chosen = _better(self.predicted, self.everybody)[0] < self.count
        ranks = 1 + _better(self.target, self.everybody)[0][chosen].astype(int)
        best = float(self.target.values.max() - self.target.values[chosen].max())
        among = self.predicted.ranks[chosen], self.target.ranks[chosen]
        is_defined = all(np.ptp(each) > 0 for each in among)
        tau = float(stats.kendalltau(*among).statistic) if is_defined else None
        return Top(int(chosen.sum()), precision, int(ranks.min()), int(ranks.max()), best, tau)


def _better(variable: Variable, weights: Floats) -> Floats:
    """How many are strictly better than each, in each resample: (B, n) -> (B, n)."""
    groups = variable.groups.weights(weights)
    better: Floats = groups.sum(axis=1, keepdims=True) - np.cumsum(groups, axis=1)
    return better[:, variable.ranks]
