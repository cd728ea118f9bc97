"""`kit runs`: list, show, remove, export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli.output import JsonOption, narrate, print_json, print_table, print_text
from kit.watch.event_text import clock

app = typer.Typer(no_args_is_help=True, help="Runs: list, show, remove, export.")

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="An id, or the path of a run.")]


@app.command("list")
def list_(runs: RunsOption = Path("runs"), json: JsonOption = False) -> None:
    """All runs, newest first."""
    from kit.run_dir import all_runs, require_runs
    from kit.watch.run_summary import describe_run

    require_runs(runs)
    found = [describe_run(run).to_json() for run in all_runs(runs)]
    if json:
        print_json({"runs": found})
    elif not found:
        narrate(f"no runs in {runs}; start one with `kit run recipe full`")
    else:
        columns = ["run", "state", "phase", "progress", "loss", "Kendall", "started"]
        print_table(columns, [_row(run) for run in found], right=(3, 4, 5))
        for run in found:
            if run["note"]:
                narrate(f"{run['run']}: {run['note']}")


@app.command("show")
def show(run: RunArgument, runs: RunsOption = Path("runs"), json: JsonOption = False) -> None:
    """State, progress and files of one run."""
    from kit.run_dir import find_run
    from kit.watch.run_summary import describe_run

    description = describe_run(find_run(run, runs)).to_json()
    if json:
        print_json(description)
    else:
        width = max(map(len, description))
        print_text("\n".join(f"{key:<{width}}  {'-' if value is None else value}" for key, value in description.items()))


@app.command("remove")
def remove(run: RunArgument, runs: RunsOption = Path("runs")) -> None:
    """Delete a run's directory. Phases are shared between runs and stay."""
    from kit.run_dir import find_run, remove_run

    directory = find_run(run, runs)
    remove_run(directory)
    narrate(f"removed {directory.path}")


def _row(run: dict[str, Any]) -> list[str]:
    started = clock(run["started"], date=True)
    progress = f"{run['passes_done'] / run['passes']:.0%}" if run["passes"] else "-"
    loss = "-" if run["loss"] is None else f"{run['loss']:.3f}"
    kendall = "-" if run["kendall"] is None else f"{run['kendall']:+.3f}"
    return [run["run"], run["state"], run["phase"] or "-", progress, loss, kendall, started]


@app.command("export")
def export(
    run: RunArgument,
    tensorboard: Annotated[
        Path,
        typer.Option("--tensorboard", metavar="DIR", help="Folder of TensorBoard's event files; what is new is appended."),
    ],
    runs: RunsOption = Path("runs"),
    json: JsonOption = False,
) -> None:
    """A run's log for other tools: TensorBoard's event files, a point per optimizer step."""
    from kit.report.tensorboard import export_tensorboard
    from kit.run_dir import find_run

    points = export_tensorboard(find_run(run, runs), tensorboard)
    if json:
        print_json({"tensorboard": str(tensorboard.resolve()), "points": points})
    else:
        narrate(f"{points:,} new points in {tensorboard}; look at them with: tensorboard --logdir {tensorboard}")
