"""What predictions know that other quantities do not: correlation once those are regressed out of both sides."""

import inspect
from collections.abc import Mapping

import numpy as np
from scipy import stats

from kit.correlation.numbers import Floats, centred, weighted_pearson

DECIMALS = 12
"""Residuals, in units of the largest deviation, are rounded to so many: what is below is rounding, and no difference."""
NOTHING_LEFT = 1e-9
SINGULAR = 1e-12


class PartialCorrelation:
    """Pearson r and Kendall tau-b of the residuals of least squares on `given`, each of shape (n,), with a constant.

    Every resample is regressed anew, so its intervals know that the regression is estimated, too. Quantities that are
    constant explain nothing and are left out.
    """

    def __init__(self, predictions: Floats, truth: Floats, given: Mapping[str, Floats]) -> None:
        varying = {name: values for name, values in given.items() if np.ptp(values) > 0}
        self.given = tuple(varying)
        self.design = np.stack([np.ones(len(truth)), *map(_scaled, varying.values())])
        self.sides = _scaled(predictions), _scaled(truth)
        self.is_defined = len(truth) > len(self.design) + 1 and not np.isnan(self.point()).any()

    def point(self) -> Floats:
        """Of the data, shape (2,); nan where `given` explains predictions or truth entirely."""
        found: Floats = self.statistics(np.ones((1, self.design.shape[1])))[0]
        return found

    def statistics(self, weights: Floats) -> Floats:
        """Counts of each architecture per resample, shape (B, n) -> (B, 2)."""
        weighted = self.design * weights[:, None]  # (B, given, n)
        solve = np.linalg.pinv(weighted @ self.design.T, rcond=SINGULAR, hermitian=True)
        x, y = (self._residuals(side, (solve @ (weighted @ side)[..., None])[..., 0]) for side in self.sides)
        drawn = weights > 0
        spans = [
            each.max(axis=1, where=drawn, initial=-np.inf) - each.min(axis=1, where=drawn, initial=np.inf) for each in (x, y)
        ]
        defined = np.minimum(*spans) >= NOTHING_LEFT
        taus = [_tau(*each) if is_defined else np.nan for *each, is_defined in zip(weights, x, y, defined, strict=True)]
        return np.stack([np.where(defined, weighted_pearson(weights, x, y), np.nan), taus], axis=1)

    def _residuals(self, values: Floats, coefficients: Floats) -> Floats:
        """(n,) and (B, given) -> (B, n)."""
        # Element by element, and not as a product of matrices: equal architectures must keep equal residuals.
        for coefficient, column in zip(coefficients.T, self.design, strict=True):
            values = values - coefficient[:, None] * column
        return np.round(values, DECIMALS)


# Without the search for missing values, which would take twice as long as all the rest.
_kendall = inspect.unwrap(stats.kendalltau)


def _tau(counts: Floats, x: Floats, y: Floats) -> float:
    repeated = np.repeat(np.arange(len(counts)), counts.astype(int))
    return float(_kendall(x[repeated], y[repeated], method="asymptotic").statistic)


def _scaled(values: Floats) -> Floats:
    deviations = centred(values)
    scaled: Floats = deviations / np.abs(deviations).max()
    return scaled
