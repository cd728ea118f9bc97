"""The one join of predictions and truth: by code, never by name or place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit.correlation import MIN_ARCHITECTURES, Count, rank_correlation
from kit.errors import InputError
from kit.rank_report import RankReport
from kit.ranking.opponents import GIVEN, columns, logarithms
from kit.ranking.truth_file import Truth
from kit.search_space import Scale


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions and truth of the same architectures in the same order, and how many only one side knows."""

    predictions: tuple[float, ...]
    truth: Truth
    predictions_only: int
    truth_only: int

    @property
    def codes(self) -> tuple[str, ...]:
        return self.truth.codes

    def rank(
        self,
        scale: Scale | None = None,
        *,
        opponents: Mapping[str, Mapping[str, float]] | None = None,
        top: Sequence[Count] | None = None,
        seed: int = 0,
        details: bool = True,
    ) -> RankReport:
        """Measure how well the predictions rank; at a scale, beside the opponents there, and beside further ones by code.

        Raises `InputError` for fewer than 3 architectures, where predictions or truth are constant, and where an opponent
        does not know one of the architectures.
        """
        n = len(self.codes)
        if n < MIN_ARCHITECTURES:
            found = f"only {n}" if n else "none"
            total = n + self.truth_only
            raise InputError(
                f"{found} of the {total:,} architectures of the truth {'have' if n > 1 else 'has'} a prediction, "
                f"at least {MIN_ARCHITECTURES} are needed",
                hint="truth and predictions are joined by code: both must be about the same pool",
            )
        counted = {} if scale is None else columns(self.codes, scale)
        named = {name: self.column(name, values) for name, values in (opponents or {}).items()}
        truth = self.truth
        report = rank_correlation(
            self.predictions,
            truth.accuracies,
            losses=truth.losses,
            opponents={**counted, **named},
            given=logarithms({name: counted[name] for name in GIVEN if name in counted}),
            top=top,
            seed=seed,
            details=details,
        )
        return replace(report, chosen=truth.chosen)

    def column(self, name: str, values: Mapping[str, float]) -> list[float]:
        """What an opponent says of these architectures. Raises `InputError` where it does not know one of them."""
        missing = [code for code in self.codes if code not in values]
        if missing:
            raise InputError(
                f"opponent {name}: no value for {len(missing):,} of {len(self.codes):,} architectures, such as {missing[0]}",
                hint="score the same pool",
            )
        return [values[code] for code in self.codes]


def join(predictions: Mapping[str, float], truth: Truth, *, as_predicted: bool = False) -> Joined:
    """Join by code, in the truth's order or in that of the predictions: resamples are drawn by position, so order counts."""
    known = truth.index
    codes = [code for code in predictions if code in known] if as_predicted else [c for c in truth.codes if c in predictions]
    both = len(codes)
    return Joined(
        tuple(predictions[code] for code in codes), truth.take(codes), len(predictions) - both, len(truth.codes) - both
    )


def next_count(measured: int) -> int:
    """How many architectures to wait for after a figure of `measured`: measuring takes longer the more there are."""
    return int(measured * 1.25) + 1
