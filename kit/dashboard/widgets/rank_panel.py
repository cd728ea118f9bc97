"""Screen 3's words and figures: the line above, opponents and cells on one scale, and what to do when nothing is known."""

from textual.content import Content

from kit.correlation import MIN_ARCHITECTURES
from kit.dashboard.widgets.forest import Mark, forest
from kit.dashboard.widgets.parts import Part
from kit.errors import KitError
from kit.rank_report import COUNTED, MACS, Correlations, Interval, Metric, RankReport
from kit.ranking.opponents import label_of
from kit.watch.log_reader import Reading
from kit.watch.rank_data import METRIC_TITLES, Comparison, Moment, count_known
from kit.watch.run_files import PoolView
from kit.watch.text import clean, percent

CELL_COLOURS = ("primary", "accent", "success", "secondary", "error", "warning")
CELL_MARKERS = ("●", "▲", "○", "▼", "\u00d7", "▶")
"""Different ones also where the terminal has only ASCII."""


VERDICTS = {
    1: ("ranks better than", "$text-success"),
    -1: ("ranks worse than", "$text-error"),
    0: ("not shown to differ from", "$text-warning"),
}


def cell_style(cell: int) -> tuple[str, str]:
    """The colour (a theme variable) and the marker of a cell's points."""
    return CELL_COLOURS[cell % len(CELL_COLOURS)], CELL_MARKERS[cell % len(CELL_MARKERS)]


def rank_line(comparison: Comparison, metric: Metric, moment: Moment, shown: int, *, now: bool) -> Content:
    """What the figure is right now, of how many, and against what."""
    figure = moment.figures.get(metric)
    parts: list[Part] = [(f" {METRIC_TITLES[metric]} ", "bold $text-primary")]
    if figure is None:
        parts += [("not known for this moment", "$text-muted")]
    else:
        parts += [(f"{figure.value:+.3f}", "bold $text-success" if now else "bold $text-warning")]
        parts += [(f" [{figure.low:+.3f}, {figure.high:+.3f}]", "$text-muted")]
    total = len(comparison.rows)
    seen = f"{moment.n} of {total}" if moment.n < total else f"{total}"
    parts += [(f"  {seen} architectures with a truth", "")]
    if shown < moment.n:
        parts += [(f", {shown} shown", "$text-warning")]
    when = f"  as of {moment.scored:,} scored" if not now else f"  {comparison.predictions:,} scored"
    parts += [(when, "$text-warning" if not now else "$text-muted")]
    parts += [(f"  truth: {clean(comparison.truth_name)}", "$text-muted")]
    return Content.assemble(*parts)


def rank_figures(comparison: Comparison, metric: Metric, moment: Moment, width: int, *, now: bool) -> Content:
    """The supernet, its opponents and its cells on one scale, and what that says."""
    report = comparison.report
    ceiling = None
    if metric == "pearson" and report.accuracy_reliability is not None:
        ceiling = report.accuracy_reliability.ceiling
    own = moment.figures.get(metric)
    label = "supernet" if now else f"at {moment.scored:,} scored"
    marks = [Mark(label, own, "$success" if now else "$warning", "not known")]
    if not now:
        marks.append(Mark("supernet now", _figure(report.predictions, metric), "$success"))
    marks += [Mark(clean(label_of(name)), _figure(result, metric), "$accent") for name, result in report.opponents.items()]
    parts: list[Part | Content] = [
        (f"{METRIC_TITLES[metric]} with the truth", "bold $text-primary"),
        ("  95 % intervals\n", "$text-muted"),
    ]
    parts += [forest(marks, width, ceiling=ceiling), "\n"]
    parts += _verdict(report, metric)
    parts += [(f"left out: {clean(why)}\n", "$text-warning") for why in comparison.left_out]
    if comparison.cells:
        parts += ["\n", ("By cell of the partition", "bold $text-primary")]
        parts += [("  one sub-supernet each\n" if len(comparison.cells) > 1 else "\n", "$text-muted")]
        cells = [
            Mark(
                f"{cell_style(cell.cell)[1]} {cell.cell}  n {cell.n}",
                cell.figures.get(metric),
                f"${cell_style(cell.cell)[0]}",
                "too few",
            )
            for cell in comparison.cells
        ]
        parts += [forest(cells, width), "\n"]
    return Content.assemble(*parts)


def _figure(correlations: Correlations | None, metric: Metric) -> Interval | None:
    figure: Interval | None = None if correlations is None else getattr(correlations, metric)
    return figure


def _verdict(report: RankReport, metric: Metric) -> list[Part | Content]:
    """In words: better than counting multiply-adds and the user's files or not, and how far the truth can be trusted."""
    parts: list[Part | Content] = []
    for name, versus in report.versus.items() if metric != "spearman" else ():
        if name != MACS and name in COUNTED:
            continue
        difference = versus.pearson_difference if metric == "pearson" else versus.kendall_difference
        word, style = VERDICTS[difference.sign]
        whom = "counting multiply-adds" if name == MACS else clean(name)
        parts += [(f"{word} {whom}: ", style), f"{difference:+.3f}", "\n"]
    reliability = report.accuracy_reliability
    if reliability is None:
        parts += [("one seed of truth: nobody can tell how much of it is noise\n", "$text-muted")]
    else:
        parts += [
            (f"ceiling {reliability.ceiling:.3f}", "$text-warning"),
            (f" in Pearson r: reliability {reliability.reliability:.2f} over {report.seeds} seeds\n", "$text-muted"),
        ]
    return parts


def nothing_to_rank(view: PoolView, reading: Reading, has_run: bool, error: KitError | None) -> Content:
    """Why there is no comparison, and what to do about it."""
    title, lines = _why(view, reading, has_run, error)
    parts: list[Part] = [(f"{title}\n", "bold $text-warning" if has_run else "bold"), "\n", *(f"{line}\n" for line in lines)]
    figures = reading.state.rank_figures
    if figures is not None and figures.kendall is not None:
        parts += ["\n", f"The run itself measured Kendall τ {figures.kendall:+.3f}.\n"]
    return Content.assemble(*parts)


def _why(view: PoolView, reading: Reading, has_run: bool, error: KitError | None) -> tuple[str, list[str]]:
    profile = "" if view.profile is None else clean(view.profile.name)
    if not has_run:
        return "No run to rank.", ["Press 1 for the list of runs; s there starts one."]
    if view.error is not None:
        return "This run cannot be read.", [clean(str(view.error)), clean(view.error.hint or "")]
    if view.truth_problem:
        return "The truth cannot be read.", [clean(view.truth_problem), "Press u to name another file."]
    if not view.scores.accuracies:
        state = reading.state
        phase = (
            f"in phase {clean(state.phase)}, {percent(state.fraction)} of training done"
            if state.phase
            else "not trained yet"
        )
        return "Nothing is scored yet.", [
            f"The run is {clean(reading.status)}, {phase}.",
            "Ranks appear here as soon as three scored architectures have a known truth. Press 2 to watch the run.",
        ]
    if view.truth is None:
        return "There is no truth for this run.", [
            f"Why: {clean(view.no_truth)}.",
            "A truth holds accuracies of architectures that were trained alone.",
            "Press u to name one: a truth file, a challenge JSON with accuracies, or a profile whose truth the kit ships.",
            f"Or measure one: kit run truth --profile {profile}",
        ]
    scored, known = len(view.scores.accuracies), 0 if view.rows is None else count_known(view.rows)
    if known < MIN_ARCHITECTURES and not view.scores.complete:
        return f"{scored:,} scored.", [
            f"{known or 'None'} of them {'has' if known == 1 else 'have'} a known truth: ranks appear here from "
            f"{MIN_ARCHITECTURES} on.",
        ]
    problem, hint = ("", None) if error is None else (str(error), error.hint)
    return "These predictions cannot be ranked.", [clean(problem), clean(hint or "Press u to name another truth.")]
