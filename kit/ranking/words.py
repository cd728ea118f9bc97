"""A rank report for people: the table, and what its truth can and cannot show."""

from kit.ladder_report import LadderReport, LadderRow
from kit.rank_report import Correlations, RankReport, Top
from kit.ranking.opponents import SUPERNET, label_of

ENOUGH = 8
HEADER = ("ranked by", "Pearson r", "Kendall tau", "Spearman rho")


def table(report: RankReport, name: str = SUPERNET) -> list[list[str]]:
    """Rows under `HEADER`: the predictions, called `name`, every opponent, and how much better than each of these it is."""
    rows = [_row(name, report.predictions)]
    rows += [_row(label_of(rival), result) for rival, result in report.opponents.items()]
    for rival, versus in report.versus.items():
        differences = [f"{each:+.3f}" for each in (versus.pearson_difference, versus.kendall_difference)]
        rows.append([f"{name} minus {label_of(rival)}", *differences, ""])
    return rows


def describe(report: RankReport, name: str = f"the {SUPERNET}") -> str:
    """What the comparison rests on, what it shows, and what it cannot show."""
    seeds = "one seed" if report.seeds == 1 else f"the mean of {report.seeds} seeds"
    lines = [
        f"{report.n} architectures, truth from {seeds}; in brackets 95 % intervals from {report.resamples} resamples of "
        "the architectures."
    ]
    if report.chosen:
        lines.append(f"The truth's architectures: {report.chosen}.")
    if report.undefined_resamples:
        lines.append(f"{report.undefined_resamples} resamples had no correlation; intervals assume the worst for them.")
    if report.n < ENOUGH:
        lines.append(f"With fewer than {ENOUGH} architectures nothing can be said about how well it ranks.")
        return "\n".join(lines)
    reliability = report.accuracy_reliability
    if reliability is None:
        lines.append("With one seed per architecture, nobody can tell how much of the truth is noise.")
    elif not reliability.reliability:
        lines.append("The truth's seeds do not agree with each other: it cannot tell good predictions from bad ones.")
    else:
        losses = f" (of its losses: {report.loss_reliability.reliability:.2f})" if report.loss_reliability else ""
        lines.append(
            f"The truth's reliability is {reliability.reliability:.2f}{losses}: even perfect predictions can be expected "
            f"to reach a Pearson r of {reliability.ceiling:.2f} only."
        )
    if single := report.single_training:
        lines.append(f"One training of each would rank with r {single.pearson:+.3f}, tau {single.kendall:+.3f}.")
    lines += [_chosen(top) for top in report.top]
    if report.versus_macs:
        better = {1: "better", -1: "worse"}.get(report.versus_macs.pearson_difference.sign)
        lines.append(
            f"It shows that {name} ranks {better} than counting multiply-adds (in Pearson r)."
            if better
            else f"It does not show whether {name} ranks better or worse than counting multiply-adds."
        )
    if partial := report.partial:
        given = " and ".join(map(label_of, partial.given)) if len(partial.given) < 3 else "all opponents"
        knows = {1: f"{name} knows something that these do not", -1: f"{name} contradicts what these leave open"}
        lines.append(
            f"Given {given}, r is {partial.pearson:+.3f} and tau {partial.kendall:+.3f}: "
            + knows.get(partial.pearson.sign, f"it is not shown that {name} knows more than these")
            + "."
        )
    return "\n".join(lines)


def _chosen(top: Top) -> str:
    return (
        f"Of the {top.k} predicted best, {top.precision:.0%} are among the {top.k} best; their true ranks begin at "
        f"{top.best_rank} and end at {top.worst_rank}."
    )


def _row(label: str, result: Correlations | None) -> list[str]:
    return [label, *(f"{each:+.3f}" for each in result.figures.values())] if result else [label, *["constant"] * 3]


LADDER_HEADER = (
    "recipe", "seeds", "Pearson r", "minus the row above", "minus multiply-adds", "given counting", "Kendall tau", "passes",
    "paper's r",
)  # fmt: skip


def ladder_table(report: LadderReport) -> list[list[str]]:
    """Rows under `LADDER_HEADER`: every recipe, then what needs no supernet."""
    rows = [_ladder_row(row) for row in report.rows]
    for rival, result in report.opponents.items():
        rows.append([label_of(rival), "", f"{result.pearson:+.3f}", "", "", "", f"{result.kendall:+.3f}", "0", ""])
    if single := report.single_training:
        label = "one stand-alone training"
        rows.append([label, "", f"{single.pearson:+.3f}", "", "", "", f"{single.kendall:+.3f}", "", ""])
    return rows


def _ladder_row(row: LadderRow) -> list[str]:
    passes = "" if row.passes is None else f"{row.passes:,.0f}"
    paper = "" if row.paper is None else f"{row.paper:.3f}"
    if row.rank is None:
        return [row.recipe, str(row.seeds), row.error or "not run", "", "", "", "", passes, paper]
    rank = row.rank
    above = "" if rank.versus_previous is None else f"{rank.versus_previous.pearson_difference:+.3f}"
    partial = "" if rank.partial is None else f"{rank.partial.pearson:+.3f}"
    counted = "" if rank.versus_macs is None else f"{rank.versus_macs.pearson_difference:+.3f}"
    figures = [f"{rank.predictions.pearson:+.3f}", above, counted, partial]
    return [row.recipe, str(row.seeds), *figures, f"{rank.predictions.kendall:+.3f}", passes, paper]


def describe_ladder(report: LadderReport) -> str:
    """What a ladder rests on, and which of its statements an interval allows."""
    lines = [
        f"{report.n} architectures; in brackets 95 % intervals, which resample architectures and supernets together. "
        "'Given counting': Pearson's r once log multiply-adds and log parameters are regressed out of both sides."
    ]
    if report.chosen:
        lines.append(f"The truth's architectures: {report.chosen}.")
    if all(row.seeds == 1 for row in report.rows if row.rank is not None):
        lines.append("One supernet of each recipe: no interval here knows what another seed would give.")
    if report.n < ENOUGH:
        lines.append(f"With fewer than {ENOUGH} architectures nothing can be said about which recipe ranks better.")
        return "\n".join(lines)
    if report.reliability is not None and report.ceiling is not None:
        reliability = report.reliability_interval or report.reliability
        lines.append(
            f"The truth's reliability is {reliability:.2f}: even perfect predictions can be expected to reach "
            f"a Pearson r of {report.ceiling:.3f} only."
        )
    ranked = [(row.recipe, row.rank) for row in report.rows if row.rank is not None]
    for rival in report.opponents:
        for sign, word in ((1, "better"), (-1, "worse")):
            shown = [
                name for name, rank in ranked if rival in rank.versus and rank.versus[rival].pearson_difference.sign == sign
            ]
            lines.append(f"Shown to rank {word} than {label_of(rival)} (in r): {', '.join(shown) or 'none'}.")
    known = [name for name, rank in ranked if rank.partial is not None and rank.partial.pearson.sign == 1]
    lines.append(f"Shown to know something that counting does not: {', '.join(known) or 'none'}.")
    more = [name for name, rank in ranked if rank.partial_all is not None and rank.partial_all.pearson.sign == 1]
    if any(rank.partial_all for _, rank in ranked):
        lines.append(f"Shown to know something that no opponent does: {', '.join(more) or 'none'}.")
    lines += [f"{row.recipe}: {row.error}" for row in report.rows if row.error]
    return "\n".join(lines)
