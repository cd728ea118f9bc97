"""The rank figure while a pool is being scored: measured again whenever enough has come in, never fed back into anything."""

from dataclasses import asdict

from kit.correlation import MIN_ARCHITECTURES
from kit.errors import InputError
from kit.events import RankSoFar
from kit.ranking.joining import join, next_count
from kit.ranking.truth_file import Truth


class RankMeter:
    """Compares scores with a truth as they come."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._next = MIN_ARCHITECTURES

    def measure(self, accuracies: dict[str, float]) -> RankSoFar | None:
        """The figure for these accuracies by code; None while too little is new, or nothing can be ranked."""
        joined = join(accuracies, self._truth, as_predicted=True)
        if len(joined.codes) < self._next:
            return None
        self._next = next_count(len(joined.codes))
        try:
            report = joined.rank()
        except InputError:  # all alike so far
            return None
        predicted = report.predictions
        return RankSoFar(
            scored=len(accuracies), n=report.n, pearson=asdict(predicted.pearson), kendall=asdict(predicted.kendall)
        )
