"""`kit search RUN`: from a supernet to an architecture that keeps to limits."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.latency import LatencyOption, tell_latency
from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import narrated
from kit.cli.run import DataOption, RunsOption
from kit.errors import InputError
from kit.watch.text import duration, short_number

if TYPE_CHECKING:
    from kit.pipeline.search_run import SearchCost

MOST_COST = 10**15
"""More than any network costs; only compared, so it may be larger than what is counted with."""

MaxMacsOption = Annotated[
    int | None,
    typer.Option("--max-macs", metavar="N", min=1, max=MOST_COST, help="Multiply-adds at most, at the run's resolution."),
]
MaxParamsOption = Annotated[
    int | None, typer.Option("--max-params", metavar="N", min=1, max=MOST_COST, help="Parameters at most.")
]
MaxLatencyOption = Annotated[
    float | None,
    typer.Option("--max-latency-ms", metavar="X", min=0, help="Milliseconds of a batch at most; needs --latency."),
]


def search(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished recipe run: an id, or a path.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of this search; the same search continues there.")
    ],
    max_macs: MaxMacsOption = None,
    max_params: MaxParamsOption = None,
    max_latency: MaxLatencyOption = None,
    latency: LatencyOption = None,
    evaluations: Annotated[int, typer.Option("--evaluations", metavar="N", min=1, max=MOST, help="Of each search.")] = 500,
    population: Annotated[int, typer.Option("--population", metavar="N", min=2, max=MOST, help="Of the evolution.")] = 50,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MOST)] = 0,
    runs: RunsOption = Path("runs"),
    data: DataOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time a few sub-networks, print what it costs.")] = False,
    json: JsonOption = False,
) -> None:
    """Regularized evolution with the supernet's scores, and random search with the same budget beside it.

    The same command continues, bit for bit. Scores are what the supernet says: train the winner alone before you believe it.
    """
    from kit.latency_table import read_latency
    from kit.pipeline.search_run import SearchRequest, SearchRun, cost_of_search
    from kit.pipeline.signals import stop_on_signals
    from kit.watch.run_summary import read_state

    if max_latency is not None and latency is None:
        raise InputError(
            "--max-latency-ms needs to know how long networks take", hint="give a table with --latency TABLE.json"
        )
    request = SearchRequest(
        run=run,
        runs=runs,
        out=out,
        evaluations=evaluations,
        population=population,
        seed=seed,
        max_macs=max_macs,
        max_params=max_params,
        max_latency_ms=max_latency,
        latency=None if latency is None else read_latency(latency),
        data=data,
    )
    with stop_on_signals() as stop:
        found = SearchRun(request, narrate)
        if request.latency is not None:
            tell_latency(request.latency)
        if not dry_run:
            for _ in narrated(found.execute(stop), "evaluations"):
                pass
    if dry_run:
        _print_plan(cost_of_search(found), as_json=json)
        return
    result = found.result() | {"seconds": read_state(found.directory).elapsed}
    if json:
        print_json(result)
    else:
        _print(result)


def _print_plan(cost: "SearchCost", *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(cost))
        return
    said = f"{cost.evaluations:,} evaluations on {cost.profile}: about {duration(cost.seconds)}"
    print_text(f"{said}, {short_number(cost.macs)} multiply-adds if each were scored by itself")


def _print(result: dict[str, Any]) -> None:
    rows = [_row("best of evolution", result["best"]), _row("best of random search", result["random"]["best"])]
    rows += [_row("on the front", each) for each in result["pareto"]]
    timed = result["best"]["latency_ms"] is not None
    header = ["", "code", "accuracy", "multiply-adds", "parameters", *["ms"] * timed]
    print_table(header, rows, right=(2, 3, 4, 5))
    if timed:
        print_text(f"\n{result['latency']}")
    print_text(
        f"\n{result['evaluated']:,} evaluations of {result['distinct']:,} architectures, and as many of random search "
        f"({result['random']['distinct']:,}).\n"
        f"As trees they took {_saved(result)} times fewer multiply-adds, random ones {_saved(result['random'])} times.\n"
        "Accuracies are those with the supernet's weights, on the images that chose them: the best of many is flattered."
    )


def _saved(found: dict[str, Any]) -> str:
    return f"{found['macs_one_by_one'] / max(1, found['macs_done']):.2f}"


def _row(label: str, found: dict[str, Any]) -> list[str]:
    row = [label, found["code"], f"{found['accuracy']:.4f}", f"{found['macs']:,}", f"{found['params']:,}"]
    return row if found["latency_ms"] is None else [*row, f"{found['latency_ms']:.3f}"]
