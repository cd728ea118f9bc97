"""`kit report`: a run or a ladder as one page to read, send and print."""

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.latency import LatencyOption, open_latency
from kit.cli.output import JsonOption, print_json, print_text
from kit.cli.rank import OpponentOption
from kit.cli.run import RunsOption


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run or a ladder: an id, or a path.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the page, its pictures and tables.")],
    runs: RunsOption = Path("runs"),
    opponent: OpponentOption = None,
    latency: LatencyOption = None,
    json: JsonOption = False,
) -> None:
    """One self-contained HTML page, readable without a network or scripts, with SVG and CSV files beside it."""
    from kit.errors import InputError
    from kit.ranking.opponent_files import read_opponents
    from kit.report.of_ladder import report_of_ladder
    from kit.report.of_run import report_of_run
    from kit.report.page import write_page
    from kit.run_dir import find_run
    from kit.watch.run_files import read_settings
    from kit.watch.run_summary import read_settings as read_kind

    found = find_run(run, runs)
    kind = read_kind(found).kind
    if kind == "ladder":
        if opponent or latency is not None:
            given = "--opponent" if opponent else "--latency"
            raise InputError(f"{given} is for the report of a run", hint="give opponents to kit run ladder, which measures")
        page = report_of_ladder(found)
    elif kind in ("recipe", "evaluation"):
        profile = read_settings(found).profile
        if latency is not None:
            open_latency(latency, profile.scale, f"run {found.id}")
        page = report_of_run(found, read_opponents(opponent or (), profile.search_space), latency)
    else:
        raise InputError(f"{found.id} is of kind {kind}", hint="there are reports of recipe runs, evaluations and ladders")
    path = write_page(page, out).resolve()
    if json:
        files = sorted(str(each) for each in path.parent.iterdir())
        print_json({"report": str(path), "files": files})
    else:
        print_text(str(path))
