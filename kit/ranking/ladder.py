"""A ladder's rows on a truth: what each recipe ranks like, beside what costs nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from kit import __version__
from kit.correlation import MIN_ARCHITECTURES
from kit.correlation.ladder import rank_rows
from kit.errors import InputError, some
from kit.files import content_key, sha256_of_file
from kit.ladder_files import HALVES, DoneRow, Half
from kit.ladder_report import LadderReport, LadderRow
from kit.ranking.joining import join
from kit.ranking.opponents import GIVEN, MACS, columns, logarithms
from kit.ranking.truth_file import KnownTruth
from kit.search_space import Scale


@dataclass(frozen=True)
class Rows:
    """A recipe of a ladder with its supernets that are done, and why others are missing."""

    recipe: str
    done: Sequence[DoneRow]
    error: str | None = None
    paper: float | None = None
    """Pearson's r of the paper, on its own truth."""


def half_of(known: KnownTruth, half: Half | None) -> KnownTruth:
    """Every second architecture of a truth, by position; all without a half."""
    if half is None:
        return known
    return replace(known, truth=known.truth.take(known.truth.codes[HALVES.index(half) :: len(HALVES)]))


def inputs_key(
    rows: Iterable[Rows], known: KnownTruth, half: Half | None, opponents: Mapping[str, Mapping[str, float]]
) -> str:
    """Names what is measured, so that it need not be measured again. Raises `StorageError`."""
    measured = [[each.recipe, each.error, [done.model_dump(mode="json") for done in each.done]] for each in rows]
    return content_key([__version__, measured, sha256_of_file(known.path), str(known.path), half, opponents])


def measure(
    profile: str,
    rows: Sequence[Rows],
    known: KnownTruth,
    scale: Scale,
    opponents: Mapping[str, Mapping[str, float]] | None = None,
) -> LadderReport:
    """Measure all rows on the architectures that the truth and every one of them have, beside further opponents by code.

    Raises `InputError` where these are too few to correlate, or predictions or truth are constant.
    """
    predictions = {each.recipe: [row.predictions for row in each.done] for each in rows if each.done}
    codes = _common(known, (each for several in predictions.values() for each in several))
    counted = columns(codes, scale)
    reference = join(dict(zip(codes, map(float, counted[MACS]), strict=True)), known.truth)
    about = reference.rank(scale, opponents=opponents)
    named = {name: [values[code] for code in codes] for name, values in (opponents or {}).items()}
    ranks = rank_rows(
        {name: [[each[code] for code in codes] for each in several] for name, several in predictions.items()},
        reference.truth.accuracies,
        {**counted, **named},
        given=logarithms({name: counted[name] for name in GIVEN}),
        given_all=logarithms({**counted, **named}) if named else None,
    )
    reliability = about.accuracy_reliability
    return LadderReport(
        profile=profile,
        truth=str(known.path),
        chosen=about.chosen,
        n=about.n,
        reliability=None if reliability is None else reliability.reliability,
        reliability_interval=about.reliability_interval,
        ceiling=None if reliability is None else reliability.ceiling,
        single_training=about.single_training,
        opponents={name: each for name, each in about.opponents.items() if each is not None},
        rows=tuple(
            LadderRow(
                recipe=each.recipe,
                seeds=len(each.done),
                rank=ranks.get(each.recipe),
                passes=_mean(row.passes for row in each.done),
                images=_mean(row.images for row in each.done),
                seconds=_mean(row.seconds for row in each.done),
                paper=each.paper,
                error=each.error,
            )
            for each in rows
        ),
    )


def _common(known: KnownTruth, predictions: Iterable[Mapping[str, float]]) -> list[str]:
    """The truth's codes that all predictions have, in the truth's order."""
    several = list(predictions)
    codes = [code for code in known.truth.codes if all(code in each for each in several)]
    if several and len(codes) < MIN_ARCHITECTURES:
        raise InputError(
            f"truth {known.name} and the rows share {len(codes)} architectures ({some(codes) or 'none'}), "
            f"at least {MIN_ARCHITECTURES} are needed",
            hint="a ladder scores the profile's own pool: the truth must be about it",
        )
    return codes


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
