"""`kit rank PREDICTIONS --truth FILE`: how well predictions rank, next to opponents that cost nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.output import JsonOption, narrate, print_json, print_table, print_text

if TYPE_CHECKING:
    from kit.correlation import Correlations, Interval, RankReport

OPPONENTS = {"macs": "multiply-adds", "params": "parameters", "depth": "depth"}


def rank(
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="Challenge JSON with predicted accuracies.")],
    truth: Annotated[
        str,
        typer.Option(
            "--truth", metavar="FILE", help="Truth file, challenge JSON with accuracies, or the profile of a shipped truth."
        ),
    ],
    profile: Annotated[
        str | None, typer.Option("--profile", help="Where costs are computed; default: the truth's own, else imagenet.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Correlate predictions with stand-alone accuracies, joined by code, with 95 % intervals."""
    from kit.pool import load_pool
    from kit.ranking.truth_file import find_truth, load_truth, rank_predictions
    from kit.recipe import load_profile

    path = find_truth(truth)
    loaded = load_truth(path)
    chosen = load_profile(profile or loaded.profile or "imagenet")
    joined = rank_predictions(
        load_pool(predictions, chosen.search_space),
        loaded,
        chosen.scale,
    )
    if joined.predictions_only:
        narrate(f"left out: {joined.predictions_only} predictions whose code is not in the truth")
    if joined.truth_only:
        narrate(f"left out: {joined.truth_only} architectures of the truth without a prediction")
    if json:
        sources = {"predictions": str(predictions.resolve()), "truth": str(path.resolve()), "profile": chosen.name}
        left_out = {"predictions_only": joined.predictions_only, "truth_only": joined.truth_only}
        print_json(sources | joined.report.to_json() | left_out)
    else:
        print_rank(joined.report)


def print_rank(report: "RankReport") -> None:
    """The rank table, and in words what its truth can and cannot show."""
    rows = [_row("supernet", report.predictions)]
    rows += [_row(OPPONENTS.get(name, name), result) for name, result in report.opponents.items()]
    if report.versus_macs:
        differences = (report.versus_macs.pearson_difference, report.versus_macs.kendall_difference)
        rows.append(["supernet minus multiply-adds", *map(_cell, differences), ""])
    print_table(["ranked by", "Pearson r", "Kendall tau", "Spearman rho"], rows, right=(1, 2, 3))
    print_text("\n" + describe(report))


def describe(report: "RankReport") -> str:
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
        difference = report.versus_macs.pearson_difference
        if difference.low <= 0 <= difference.high:
            lines.append("It does not show whether the supernet ranks better or worse than counting multiply-adds.")
        else:
            better = "better" if difference.low > 0 else "worse"
            lines.append(f"It shows that the supernet ranks {better} than counting multiply-adds (in Pearson r).")
    return "\n".join(lines)


def _row(label: str, result: "Correlations | None") -> list[str]:
    if result is None:
        return [label, "constant", "constant", "constant"]
    return [label, *map(_cell, (result.pearson, result.kendall, result.spearman))]


def _cell(interval: "Interval") -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
