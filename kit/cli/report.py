"""`kit report`: a run, a search, a training or a ladder as one page to read, send and print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.latency import LatencyOption, open_latency
from kit.cli.output import JsonOption, print_json, print_text
from kit.cli.rank import OpponentOption
from kit.cli.run import RunsOption
from kit.errors import InputError

if TYPE_CHECKING:
    from kit.report.page import Page
    from kit.run_dir import RunDirectory

RUNS = ("recipe", "evaluation")
HINTS = {
    "ladder": "give opponents to kit run ladder, which measures",
    "search": "kit search takes a latency table, and shows its milliseconds here",
    "alone": "leave it out",
}


def report(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A recipe run, evaluation, search, training alone or ladder: an id, or a path."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the page, its pictures and tables.")],
    runs: RunsOption = Path("runs"),
    opponent: OpponentOption = None,
    latency: LatencyOption = None,
    json: JsonOption = False,
) -> None:
    """One self-contained HTML page, readable without a network or scripts, with SVG and CSV files beside it.

    A recipe run or an evaluation: how it ranks. A ladder: which recipe ranks best. `kit search`: what it found, and whether
    evolution beats random search. `kit run alone`: how accurate the architecture became, and what inheriting saves.
    """
    from kit.report.of_alone import report_of_alone
    from kit.report.of_ladder import report_of_ladder
    from kit.report.of_search import report_of_search
    from kit.report.page import write_page
    from kit.run_dir import find_run
    from kit.watch.run_summary import read_settings as read_kind

    found = find_run(run, runs)
    kind = read_kind(found).kind
    if kind in RUNS:
        page = _of_run(found, opponent, latency)
    elif kind not in ("ladder", "search", "alone"):
        raise InputError(
            f"{found.id} is of kind {kind}",
            hint="there are reports of recipe runs, evaluations, searches, trainings alone and ladders",
        )
    elif opponent or latency is not None:
        given = "--opponent" if opponent else "--latency"
        raise InputError(f"{given} is for the report of a run, and {found.id} is of kind {kind}", hint=HINTS[kind])
    elif kind == "ladder":
        page = report_of_ladder(found)
    else:
        page = report_of_search(found, runs) if kind == "search" else report_of_alone(found)
    path = write_page(page, out).resolve()
    if json:
        files = sorted(str(each) for each in path.parent.iterdir())
        print_json({"report": str(path), "files": files})
    else:
        print_text(str(path))


def _of_run(run: "RunDirectory", opponent: list[str] | None, latency: Path | None) -> "Page":
    from kit.ranking.opponent_files import read_opponents
    from kit.report.of_run import report_of_run
    from kit.watch.run_files import read_settings

    profile = read_settings(run).profile
    if latency is not None:
        open_latency(latency, profile.scale, f"run {run.id}")
    return report_of_run(run, read_opponents(opponent or (), profile.search_space), latency)
