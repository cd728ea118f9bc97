"""`kit rank PREDICTIONS --truth FILE`: how well predictions rank, next to opponents that cost nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.output import JsonOption, narrate, print_json, print_table, print_text

if TYPE_CHECKING:
    from kit.rank_report import RankReport


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
    from kit.ranking.joining import join
    from kit.ranking.truth_file import find_truth, load_truth
    from kit.recipe import load_profile

    path = find_truth(truth)
    loaded = load_truth(path)
    chosen = load_profile(profile or loaded.profile or "imagenet")
    loaded.require_codes_of(chosen.search_space)
    joined = join(load_pool(predictions, chosen.search_space).scores, loaded)
    report = joined.rank(chosen.scale)
    if joined.predictions_only:
        narrate(f"left out: {joined.predictions_only} predictions whose code is not in the truth")
    if joined.truth_only:
        narrate(f"left out: {joined.truth_only} architectures of the truth without a prediction")
    if json:
        sources = {"predictions": str(predictions.resolve()), "truth": str(path.resolve()), "profile": chosen.name}
        left_out = {"predictions_only": joined.predictions_only, "truth_only": joined.truth_only}
        print_json(sources | report.to_json() | left_out)
    else:
        print_rank(report)


def print_rank(report: "RankReport") -> None:
    """The rank table, and in words what its truth can and cannot show."""
    from kit.ranking.words import HEADER, describe, table

    print_table(list(HEADER), table(report), right=(1, 2, 3))
    print_text("\n" + describe(report))
