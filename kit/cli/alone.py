"""`kit run alone`: one architecture trained by itself."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import narrated
from kit.cli.run import DataOption, FreshOption, RunsOption, SetOption, profile_overrides
from kit.errors import InputError

MOST_COLUMNS = 8
"""Epochs that a table has room for."""


def alone(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The 52 digits of the challenge's JSON.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for them; the same command continues.")],
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="P", help="Data set and scale; default: RUN's own, else nano.")
    ] = None,
    inherit: Annotated[
        str | None,
        typer.Option("--inherit", metavar="RUN", help="Begin with this run's weights, and from scratch too."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, max=MOST, help="Default: those of the profile's truth.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="K", min=1, max=MOST, help="Trainings.")] = 1,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    set_: SetOption = None,
    fresh: FreshOption = False,
    json: JsonOption = False,
) -> None:
    """Train one architecture by itself with the settings of the profile's truth, and keep its weights."""
    from kit.pipeline.alone_run import AloneRequest, AloneRun
    from kit.pipeline.signals import stop_on_signals
    from kit.recipe import load_profile

    for_profile = profile_overrides(set_, "a network alone has no recipe")
    if for_profile and inherit is not None and profile is None:
        raise InputError(
            f"--set profile.{for_profile[0]} changes the profile of run {inherit}", hint="name the profile, too: --profile P"
        )
    own = inherit is not None and profile is None
    request = AloneRequest(
        code=code,
        out=out,
        profile=None if own else load_profile(profile or "nano", for_profile),
        runs=runs,
        inherit=inherit,
        epochs=epochs,
        seeds=seeds,
        data=data,
        fresh=fresh,
    )
    with stop_on_signals() as stop:
        run = AloneRun(request, stop, narrate)
        for _ in narrated(run.execute(), "steps"):
            pass
    result = run.result()
    if json:
        print_json(result)
    else:
        _print(result)


def _print(result: dict[str, Any]) -> None:
    """Accuracies after each epoch, those from inherited weights above those from scratch."""
    groups = {"from scratch": result["seeds"]}
    if result["inherited"] is not None:
        groups = {f"from {result['inherited']}": result["seeds"], "from scratch": result["from_scratch"]}
    epochs = sorted({epoch for rows in groups.values() for row in rows for epoch, _ in row["curve"]})
    shown = epochs if len(epochs) <= MOST_COLUMNS else [*epochs[: MOST_COLUMNS - 1], epochs[-1]]
    cells = []
    for label, rows in groups.items():
        for row in rows:
            curve = dict(row["curve"])
            after = [f"{curve[epoch]:.4f}" if epoch in curve else "" for epoch in shown]
            cells.append([label, str(row["seed"]), *after, f"{row['loss']:.4f}"])
    header = ["weights", "seed", *(f"epoch {epoch}" for epoch in shown), "loss"]
    print_table(header, cells, right=range(1, len(header)))
    means = {label: sum(row["accuracy"] for row in rows) / len(rows) for label, rows in groups.items()}
    told = ", ".join(f"{mean:.4f} {label}" for label, mean in means.items())
    count = f"{len(result['seeds'])} trainings" if len(result["seeds"]) > 1 else "one training"
    print_text(f"\n{result['code']} after {result['epochs']} epochs, {count} each: {told}.")
    print_text(result["path"])
