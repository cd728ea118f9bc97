"""What a run is ranked against without anybody naming it, and the figure while its pool is being scored.

Measured again whenever enough has come in, never fed back into anything.
"""

from dataclasses import asdict

from kit.correlation import MIN_ARCHITECTURES
from kit.data import Data
from kit.errors import InputError
from kit.events import Note, RankSoFar
from kit.rank_report import NO_RANK
from kit.ranking.joining import join, next_count
from kit.ranking.made_with import MadeWith
from kit.ranking.truth_file import KnownTruth, Truth, truth_for
from kit.recipe import Profile


def made_with(profile: Profile, data: Data) -> MadeWith:
    """What a truth must have been made with to judge what this profile makes of these data."""
    return MadeWith.of(profile, classes=data.num_classes, source=data.source)


def fitting_truth(profile: Profile, data: Data) -> KnownTruth:
    """The shipped truth that fits. Raises `InputError` saying why there is none."""
    return truth_for(profile.name, made_with(profile, data))


def no_rank(error: InputError) -> Note:
    """Why a run has no rank, for its log."""
    return Note(message=f"{NO_RANK}{error}" + (f" ({error.hint})" if error.hint else ""))


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
            report = joined.rank(details=False)
        except InputError:  # all alike so far
            return None
        predicted = report.predictions
        return RankSoFar(
            scored=len(accuracies), n=report.n, pearson=asdict(predicted.pearson), kendall=asdict(predicted.kendall)
        )
