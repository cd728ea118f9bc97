"""`kit doctor`: what works on this machine, and how to mend what does not."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kit.cli.output import JsonOption, print_json, print_table
from kit.errors import ExitCode


def doctor(
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs would lie.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Check versions, device, recipes, embedded data and storage; exit code 1 when something essential fails."""
    from kit.pipeline.doctor import diagnose

    checks = diagnose(runs)
    ok = all(check.ok for check in checks if check.level == "error")
    if json:
        print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        rows = [
            ["ok" if check.ok else check.level, check.id, check.message + ("" if check.ok else f" -> {check.fix}")]
            for check in checks
        ]
        print_table(["", "check", "finding"], rows)
    if not ok:
        raise typer.Exit(ExitCode.CHECKS_FAILED)
