"""The `kit` command: every command group hangs here, and errors meant for users end here.

Command modules are imported at start-up, so they import what they need (torch, scipy, ...) inside their functions.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from kit import __version__
from kit.cli import (
    alone,
    architecture,
    benchmark,
    dashboard,
    doctor,
    evaluate,
    export,
    ladder,
    latency,
    rank,
    recipes,
    report,
    run,
    runs,
    score,
    search,
    submission,
    weights,
)
from kit.cli.output import print_text, report_error, steady_streams
from kit.errors import ExitCode, KitError, StorageError

COMMANDS: dict[str, Callable[..., None]] = {
    "evaluate": evaluate.evaluate,
    "rank": rank.rank,
    "score": score.score,
    "report": report.report,
    "search": search.search,
    "architecture": architecture.architecture,
    "dashboard": dashboard.dashboard,
    "doctor": doctor.doctor,
}
GROUPS = {
    "run": run.app,
    "recipes": recipes.app,
    "runs": runs.app,
    "weights": weights.app,
    "export": export.app,
    "submission": submission.app,
    "latency": latency.app,
    "benchmark": benchmark.app,
}

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a supernet, score its sub-networks, and see how well the scores rank them.",
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Handle what stands before any command."""
    if version:
        print_text(f"kit {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is not None:
        return
    if dashboard.is_terminal():
        dashboard.open_in_terminal()
    else:
        print_text(context.get_help())


run.app.command("ladder")(ladder.ladder)
run.app.command("alone")(alone.alone)
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code. Errors that are not meant for users keep their traceback."""
    # Whatever is started from here on imports the standard library, not a `random.py` in the folder one stands in.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    given = sys.argv[1:] if arguments is None else list(arguments)
    with steady_streams():
        try:
            app(args=given, prog_name="kit", obj=given)
        except KitError as error:
            report_error(error)
            sys.exit(error.exit_code)
        except OSError as error:
            # Questions to the file system have answers that no caller expects: locked folders, endless names, lost mounts.
            if error.filename is None:
                raise
            report_error(StorageError(f"cannot use {os.fsdecode(error.filename)}: {error.strerror}"))
            sys.exit(ExitCode.STORAGE)
        except (RuntimeError, MemoryError) as error:
            from kit.evaluation.memory import in_words

            if (found := in_words(error)) is None:
                raise
            report_error(found)
            sys.exit(found.exit_code)
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":  # how torch.distributed.run starts each process
    main()
