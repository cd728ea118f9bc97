"""A ladder as lines: a recipe each, its supernets where they are asked for, then what needs no supernet."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from kit.ladder_report import LadderReport, LadderRow, RowRank
from kit.rank_report import Interval
from kit.ranking.opponents import label_of
from kit.watch.ladder_view import LadderFigures, LadderView, Supernet
from kit.watch.text import percent

Figure = Interval | float | None
FIGURES = ("Pearson r", "minus the row above", "minus multiply-adds", "given counting", "Kendall τ")
"""In the order of the table that `kit run ladder` prints; differences and the partial correlation are of Pearson's r."""
NO_FIGURES: tuple[Figure, ...] = (None,) * len(FIGURES)


@dataclass(frozen=True)
class LadderLine:
    """A line; `seed` of one supernet only, `status` empty where nothing is trained."""

    name: str
    recipe: str = ""
    seed: int | None = None
    status: str = ""
    """`waiting`, `running`, `stopped`, `done`, `reused` or `failed`."""
    doing: str = ""
    supernets: str = ""
    """How many of how many are done."""
    passes: float | None = None
    """Of one supernet."""
    seconds: float | None = None
    seconds_left: float | None = None
    figures: tuple[Figure, ...] = NO_FIGURES
    paper: float | None = None
    reasons: tuple[str, ...] = ()
    rank: RowRank | None = None


def ladder_lines(view: LadderView, figures: LadderFigures, opened: Collection[str], *, running: bool) -> list[LadderLine]:
    """All lines; recipes in `opened` with one for each seed. `running` tells whether a process works on the ladder."""
    report = figures.report
    measured = {row.recipe: row for row in report.rows} if report else {}
    lines: list[LadderLine] = []
    for recipe, supernets in view.by_recipe.items():
        own = [_supernet(each, figures, running=running) for each in supernets]
        lines.append(_recipe(recipe, supernets, own, measured.get(recipe)))
        lines += own if recipe in opened else []
    return [*lines, *(_without_supernet(report) if report else ())]


def export(lines: Sequence[LadderLine]) -> tuple[Sequence[str], list[list[object]]]:
    """Titles and rows in full precision."""
    parts = ("value", "low", "high")
    titles = ["name", "seed", "state", "supernets", "passes", "seconds"]
    titles += [f"{name} {part}".removesuffix(" value") for name in FIGURES for part in parts]
    rows = []
    for line in lines:
        row: list[object] = [line.recipe or line.name, line.seed, line.status, line.supernets, line.passes, line.seconds]
        for figure in line.figures:
            row += [figure.value, figure.low, figure.high] if isinstance(figure, Interval) else [figure, None, None]
        rows.append([*row, line.paper, "; ".join(line.reasons)])
    return [*titles, "paper's r", "why"], rows


def _supernet(supernet: Supernet, figures: LadderFigures, *, running: bool) -> LadderLine:
    key = (supernet.recipe, supernet.seed)
    status: str = supernet.status
    reason = supernet.reason or figures.spoiled.get(key, "")
    doing = status
    if status == "running" and not running:
        status = doing = "stopped"
    elif status == "running":
        doing = f"{supernet.phase} {percent(supernet.fraction)}" if supernet.phase else "running"
    elif reason:
        status = doing = "failed"
    elif status == "reused":
        doing = "found"
    pearson, kendall = figures.alone.get(key, (None, None))
    return LadderLine(
        f"  seed {supernet.seed}",
        supernet.recipe,
        supernet.seed,
        status,
        doing,
        passes=supernet.passes or None,
        seconds=None if supernet.done is None else supernet.done.seconds,
        seconds_left=supernet.seconds_left if running else None,
        figures=(pearson, None, None, None, kendall),
        reasons=(reason,) if reason else (),
    )


def _recipe(recipe: str, supernets: Sequence[Supernet], own: Sequence[LadderLine], row: LadderRow | None) -> LadderLine:
    # What goes on comes before what went wrong, and that before what is still to come.
    order = ("running", "stopped", "failed", "waiting", "done", "reused")
    first = min(own, key=lambda line: order.index(line.status))
    done = sum(line.status in ("done", "reused") for line in own)
    several = len(own) > 1
    seconds = [line.seconds for line in own if line.seconds is not None]
    return LadderLine(
        recipe,
        recipe,
        status=first.status,
        doing=first.doing,
        supernets=f"{done}/{len(own)}",
        passes=first.passes,
        seconds=fmean(seconds) if seconds else None,
        seconds_left=first.seconds_left,
        figures=_figures(row.rank if row else None),
        paper=supernets[0].paper or (row.paper if row else None),
        reasons=tuple(f"seed {line.seed}: {why}" if several else why for line in own for why in line.reasons),
        rank=row.rank if row else None,
    )


def _figures(rank: RowRank | None) -> tuple[Figure, ...]:
    if rank is None:
        return NO_FIGURES
    versus = (rank.versus_previous, rank.versus_macs)
    above, counted = (None if each is None else each.pearson_difference for each in versus)
    partial = None if rank.partial is None else rank.partial.pearson
    return (rank.predictions.pearson, above, counted, partial, rank.predictions.kendall)


def _without_supernet(report: LadderReport) -> Iterator[LadderLine]:
    for rival, result in report.opponents.items():
        yield LadderLine(label_of(rival), figures=(result.pearson, None, None, None, result.kendall), passes=0)
    if single := report.single_training:
        yield LadderLine("one training alone", figures=(single.pearson, None, None, None, single.kendall))
    if report.ceiling is not None:
        yield LadderLine("the ceiling", figures=(report.ceiling, None, None, None, None))
