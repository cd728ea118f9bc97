"""`kit rank PREDICTIONS --truth FILE`: how well predictions rank, next to opponents that cost nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.latency import LatencyOption, open_latency
from kit.cli.output import JsonOption, narrate, print_json, print_table, print_text
from kit.errors import InputError

if TYPE_CHECKING:
    from kit.correlation import Count
    from kit.rank_report import RankReport

OpponentOption = Annotated[
    list[str] | None,
    typer.Option("--opponent", metavar="NAME=FILE", help="One more ranking, such as what `kit score` wrote."),
]


def rank(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Challenge JSON with predicted accuracies, or a CSV table.")
    ],
    truth: Annotated[
        str,
        typer.Option(
            "--truth",
            metavar="FILE",
            help="Truth file, challenge JSON with accuracies, or the profile of a shipped truth; of a table: its columns, "
            "one for each seed, with commas between.",
        ),
    ],
    profile: Annotated[
        str | None, typer.Option("--profile", help="Where costs are computed; default: the truth's own, else imagenet.")
    ] = None,
    prediction: Annotated[
        str | None, typer.Option("--prediction", metavar="COLUMN", help="PREDICTIONS is a table: the column to rank by.")
    ] = None,
    opponent: Annotated[
        list[str] | None,
        typer.Option("--opponent", metavar="NAME=FILE", help="One more ranking: a challenge JSON; of a table: a column."),
    ] = None,
    latency: LatencyOption = None,
    top: Annotated[
        list[str] | None,
        typer.Option("--top", metavar="K", help="Look at the best K, or at a share like 5%; default 1%, 5%, 10%."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Correlate predictions with stand-alone accuracies, joined by code, with 95 % intervals."""
    from kit.correlation import parse_count

    tops = None if top is None else [parse_count(each) for each in top]
    if prediction is not None:
        if latency is not None:
            raise InputError("--latency knows codes, not the rows of a table", hint="put the latencies into a column of it")
        report, head, tail = _rank_table(predictions, prediction, truth, opponent or [], tops)
    else:
        report, head, tail = _rank_codes(predictions, truth, profile, opponent or [], latency, tops)
    if json:
        print_json(head | report.to_json() | tail)
    else:
        print_rank(report, *([] if prediction is None else [prediction]))


Ranked = tuple["RankReport", dict[str, Any], dict[str, Any]]


def _rank_table(path: Path, prediction: str, truth: str, opponents: Sequence[str], top: "Sequence[Count] | None") -> Ranked:
    from kit.ranking.table_file import read_table

    seeds = [name.strip() for name in truth.split(",")]
    report = read_table(path).rank(prediction, seeds, opponents, top)
    return report, {"table": str(path.resolve()), "prediction": prediction, "truth": seeds}, {}


def _rank_codes(
    predictions: Path,
    truth: str,
    profile: str | None,
    opponents: Sequence[str],
    latency: Path | None,
    top: "Sequence[Count] | None",
) -> Ranked:
    from kit.pool import load_pool
    from kit.ranking.joining import join
    from kit.ranking.opponent_files import read_opponents
    from kit.ranking.opponents import LATENCY
    from kit.ranking.truth_file import find_truth, load_truth
    from kit.recipe import load_profile

    path = find_truth(truth)
    loaded = load_truth(path)
    chosen = load_profile(profile or loaded.profile or "imagenet")
    loaded.require_codes_of(chosen.search_space)
    joined = join(load_pool(predictions, chosen.search_space).scores, loaded)
    named = read_opponents(opponents, chosen.search_space)
    if latency is not None:
        named[LATENCY] = open_latency(latency, chosen.scale, f"profile {chosen.name}").by_code(joined.codes)
    report = joined.rank(chosen.scale, opponents=named, top=top)
    if loaded.profile is not None and loaded.made_with is None:
        narrate(f"note: {path} does not say with which search space and data it was made: predictions must be of the same")
    if joined.predictions_only:
        narrate(f"left out: {joined.predictions_only} predictions whose code is not in the truth")
    if joined.truth_only:
        narrate(f"left out: {joined.truth_only} architectures of the truth without a prediction")
    sources = {"predictions": str(predictions.resolve()), "truth": str(path.resolve()), "profile": chosen.name}
    return report, sources, {"predictions_only": joined.predictions_only, "truth_only": joined.truth_only}


def print_rank(report: "RankReport", *name: str) -> None:
    """The rank table, and in words what its truth can and cannot show; `name` is that of predictions of no supernet."""
    from kit.ranking.words import HEADER, describe, table

    print_table(list(HEADER), table(report, *name), right=(1, 2, 3))
    print_text("\n" + describe(report, *name))
