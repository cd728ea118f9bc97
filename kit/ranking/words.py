"""A rank report for people: the table, and what its truth can and cannot show."""

from kit.rank_report import Correlations, RankReport
from kit.ranking.opponents import SUPERNET, label_of

HEADER = ("ranked by", "Pearson r", "Kendall tau", "Spearman rho")


def table(report: RankReport) -> list[list[str]]:
    """Rows under `HEADER`: the supernet, every opponent, and how much better than the first of these it is."""
    rows = [_row(SUPERNET, report.predictions)]
    rows += [_row(label_of(name), result) for name, result in report.opponents.items()]
    if versus := report.versus_macs:
        differences = [f"{each:+.3f}" for each in (versus.pearson_difference, versus.kendall_difference)]
        rows.append([f"{SUPERNET} minus {label_of('macs')}", *differences, ""])
    return rows


def describe(report: RankReport) -> str:
    """What the comparison rests on, what it shows, and what it cannot show."""
    seeds = "one seed" if report.seeds == 1 else f"the mean of {report.seeds} seeds"
    lines = [
        f"{report.n} architectures, truth from {seeds}; in brackets 95 % intervals from {report.resamples} resamples of "
        "the architectures."
    ]
    if report.undefined_resamples:
        lines.append(f"{report.undefined_resamples} resamples had no correlation; intervals assume the worst for them.")
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
    if report.versus_macs:
        better = {1: "better", -1: "worse"}.get(report.versus_macs.pearson_difference.sign)
        lines.append(
            f"It shows that the supernet ranks {better} than counting multiply-adds (in Pearson r)."
            if better
            else "It does not show whether the supernet ranks better or worse than counting multiply-adds."
        )
    return "\n".join(lines)


def _row(label: str, result: Correlations | None) -> list[str]:
    return [label, *(f"{each:+.3f}" for each in result.figures.values())] if result else [label, *["constant"] * 3]
