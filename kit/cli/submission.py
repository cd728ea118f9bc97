"""`kit submission`: build an archive from a run, check one, reproduce a sample of one."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.errors import ExitCode
from kit.files import require_suffix

if TYPE_CHECKING:
    from kit.submission.checks import CheckReport

app = typer.Typer(no_args_is_help=True, help="Submission archives: build, check, reproduce.")

DataOption = Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Where the run's data set lies now.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An archive.")]


@app.command("build")
def build(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run: an id, or a path.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The archive to write, NAME.tar.")],
    data: DataOption = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")] = Path("runs"),
    json: JsonOption = False,
) -> None:
    """Pack a finished run: predictions, weights, exported sub-networks, and how to reproduce them.

    The exports are made once and kept in the run directory, so that building again gives the same bytes.
    """
    from kit.cli.export import print_index, tell_exports
    from kit.pipeline.archive_build import SubmissionBuild
    from kit.run_dir import find_run

    require_suffix(out, ".tar")
    building = SubmissionBuild(find_run(run, runs), data)
    if building.scored is not None:
        tell_exports(building.export(), len(building.chosen), list(building.scored.differences))
    built = building.write(out)
    if json:
        print_json(built)
        return
    print_index(building.index)
    print_text("\n{archive}: {members} files, {size:,} bytes, SHA-256 {sha256}".format(**built))


@app.command("check")
def check(
    file: FileArgument,
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="ID", help="Leave a rule out; repeatable.")] = None,
    rules: Annotated[str | None, typer.Option("--rules", metavar="VERSION", help="Rules to check by.")] = None,
    json: JsonOption = False,
) -> None:
    """Check an archive by every rule; exit code 1 when a rule is broken. Needs no data and no GPU."""
    from kit.submission.checks import check_archive

    report = check_archive(file, skip=tuple(skip or ()), rules=rules)
    if json:
        print_json(report.to_json())
    else:
        _print_report(report)
    if not report.ok:
        raise typer.Exit(ExitCode.CHECKS_FAILED)


@app.command("reproduce")
def reproduce(
    file: FileArgument,
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=1, max=MOST, help="How many sub-networks.")] = 20,
    data: DataOption = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, max=MOST, help="Which sub-networks.")] = 0,
    json: JsonOption = False,
) -> None:
    """Check an archive, then calibrate and score a random sample again from its own weights.

    The counts must be equal with the same versions, threads and processor, and within a stated bound elsewhere.
    """
    from kit.submission.checks import check_archive

    checked = check_archive(file)
    if not checked.ok:
        if json:
            print_json({"ok": False, "archive": str(file.resolve()), **checked.to_json()})
        else:
            _print_report(checked)
        narrate("the archive does not pass its check, so nothing of it was run")
        raise typer.Exit(ExitCode.CHECKS_FAILED)
    with tempfile.TemporaryDirectory(prefix="kit-reproduce-") as folder:
        report = _reproduce(file, Path(folder), sample=sample, seed=seed, data=data)
    if json:
        print_json({"archive": str(file.resolve()), **report})
    else:
        _print_reproduction(report)
    if not report["ok"]:
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def _reproduce(file: Path, folder: Path, *, sample: int, seed: int, data: str | None) -> dict[str, Any]:
    from kit.cli.progress import narrated
    from kit.pipeline.reproduce import Reproduction
    from kit.pipeline.signals import stop_on_signals

    with stop_on_signals() as stop:
        reproduction = Reproduction(file, folder, sample=sample, seed=seed, data=data)
        for _ in narrated(reproduction.execute(stop)):
            pass
        if stop():
            raise stop.error()
        return reproduction.report()


def _print_reproduction(report: dict[str, Any]) -> None:
    rows = [
        [row["name"], row["code"], str(row["recorded"]), str(row["found"]), f"{row['found'] - row['recorded']:+d}"]
        for row in report["subnets"]
    ]
    print_table(["name", "code", "recorded", "found", "difference"], rows, right=(2, 3, 4))
    differences = "; ".join(report["environment_differences"])
    where = f"in another environment ({differences})" if differences else "in the recorded environment"
    print_text(
        f"\n{report['exact']} of {report['sampled']} sub-networks get exactly the recorded number of {report['images']:,} "
        f"images right, the largest difference is {report['max_difference']} (allowed {report['allowed_difference']} "
        f"{where})"
    )


def _print_report(report: "CheckReport") -> None:
    from kit.submission.archives import parse_checks, verdict

    document = report.to_json()
    rows = [
        ["ok" if row["ok"] else row["level"], row["id"], row["file"] or "", row["message"]] for row in document["checks"]
    ]
    print_table(["", "check", "file", "finding"], rows)
    fixes = {row["id"]: row["fix"] for row in document["checks"] if not row["ok"] and row["fix"]}
    for rule, fix in fixes.items():
        narrate(f"{rule}: {fix}")
    print_text(f"\nthe archive {verdict(parse_checks(document))[0]}")
