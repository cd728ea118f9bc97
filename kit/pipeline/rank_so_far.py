"""The rank figure while a pool is being scored: measured again whenever enough has come in, never fed back into anything."""

from dataclasses import asdict

from kit.correlation import MIN_ARCHITECTURES, rank_correlation
from kit.errors import InputError
from kit.events import RankSoFar
from kit.ranking.truth_file import Truth

GROWTH = 1.25
"""Measuring takes longer the more there is: each time there has to be a quarter more."""


class RankMeter:
    """Compares scores with a truth as they come."""

    def __init__(self, truth: Truth) -> None:
        self._truth = dict(zip(truth.codes, truth.accuracies, strict=True))
        self._next = MIN_ARCHITECTURES

    def measure(self, accuracies: dict[str, float]) -> RankSoFar | None:
        """The figure for these accuracies by code; None while too little is new, or nothing can be ranked."""
        common = [code for code in accuracies if code in self._truth]
        if len(common) < self._next:
            return None
        self._next = int(len(common) * GROWTH) + 1
        try:
            report = rank_correlation([accuracies[code] for code in common], [self._truth[code] for code in common])
        except InputError:  # all alike so far
            return None
        predicted = report.predictions
        return RankSoFar(
            scored=len(accuracies), n=report.n, pearson=asdict(predicted.pearson), kendall=asdict(predicted.kendall)
        )
