"""`kit run ladder`: which recipe ranks best, on one truth, with several supernets each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import narrated
from kit.cli.rank import OpponentOption
from kit.cli.run import DataOption, RunsOption, SetOption, profile_overrides
from kit.errors import ExitCode, InputError
from kit.watch.text import duration

if TYPE_CHECKING:
    from kit.ladder_files import Half
    from kit.ladder_report import LadderReport
    from kit.pipeline.ladder_plan import LadderCost
    from kit.recipe import Recipe


HalfOption = Annotated[
    str | None,
    typer.Option(
        "--half", metavar="even|odd", help="Only these positions of the truth, from 0: choose on one, report on the other."
    ),
]
RowsOption = Annotated[
    Path | None,
    typer.Option("--rows", metavar="DIR", help="Finished rows: found ones are not run again, new ones are added."),
]


def ladder(
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Data set and scale.")] = "nano",
    recipes: Annotated[
        str | None,
        typer.Option("--recipes", metavar="A,B,...", help="In this order; `all`; default: the rows of the paper's tables."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="K", min=1, max=MOST, help="Supernets of each recipe.")] = 3,
    runs: RunsOption = Path("runs"),
    data: DataOption = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", metavar="FILE", help="Default: the shipped truth that was made with the same.")
    ] = None,
    half: HalfOption = None,
    rows: RowsOption = None,
    opponent: OpponentOption = None,
    set_: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time one step, print what every row costs.")] = False,
    json: JsonOption = False,
) -> None:
    """Run recipes with several seeds each, one after another, and compare how well they rank. The same command continues.

    What recipes have in common is trained once for each seed. A row that fails does not stop the others.
    """
    from kit.pipeline.ladder_plan import cost_of_ladder
    from kit.pipeline.ladder_run import LadderRequest, LadderRun
    from kit.pipeline.signals import stop_on_signals
    from kit.ranking.opponent_files import read_opponents
    from kit.recipe import load_profile

    for_profile = profile_overrides(
        set_, "a ladder takes its recipes as they are", hint="copy a recipe: kit recipes copy NAME FILE"
    )
    chosen = load_profile(profile, for_profile)
    request = LadderRequest(
        recipes=_chosen(recipes),
        seeds=seeds,
        profile=chosen,
        opponents=read_opponents(opponent or (), chosen.search_space),
        runs=runs,
        data=data,
        truth=truth,
        half=_half(half),
        overrides=tuple(set_ or ()),
        rows=rows,
    )
    with stop_on_signals() as stop:
        run = LadderRun(request, stop, narrate)
        cost = cost_of_ladder(run) if dry_run else None
        if cost is None:
            for _ in narrated(run.execute(narrated), "passes"):
                pass
    if cost is not None:
        _print_plan(cost, as_json=json)
        return
    report = run.report()
    _print(report, as_json=json)
    if any(row.error for row in report.rows):
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def _print(report: "LadderReport", *, as_json: bool) -> None:
    from kit.ranking.words import LADDER_HEADER, describe_ladder, ladder_table

    if as_json:
        print_json(report.to_json())
        return
    print_table(LADDER_HEADER, ladder_table(report), right=range(1, len(LADDER_HEADER)))
    print_text("\n" + describe_ladder(report))


def _half(text: str | None) -> "Half | None":
    from kit.ladder_files import HALVES

    for half in HALVES:
        if text == half:
            return half
    if text is not None:
        raise InputError(f"--half {text!r} is no half", hint=f"one of {', '.join(HALVES)}")
    return None


def _chosen(text: str | None) -> "tuple[Recipe, ...]":
    """Recipes by name or file, in order; those of the paper in the order of its figures come first in `all`."""
    from kit.recipe import load_recipe, recipe_names

    if text not in (None, "all"):
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise InputError(f"--recipes {text!r} names none", hint="for instance --recipes spos,aps-v3,full")
        found = tuple(load_recipe(name, imports=True) for name in names)
        if repeated := {each.name for each in found if sum(other.name == each.name for other in found) > 1}:
            raise InputError(f"--recipes names {', '.join(sorted(repeated))} more than once")
        return found
    shipped = [load_recipe(name) for name in recipe_names()]
    of_paper = sorted((each for each in shipped if each.paper), key=lambda each: each.paper.pearson if each.paper else 0.0)
    return tuple(of_paper if text is None else [*of_paper, *(each for each in shipped if not each.paper)])


def _print_plan(cost: "LadderCost", *, as_json: bool) -> None:
    if as_json:
        print_json(cost.to_json())
        return
    said = [
        [row.recipe, str(row.seed), "done" if row.known else row.error or f"{row.passes:,}", duration(row.seconds)]
        for row in cost.rows
    ]
    said.append(["all", "", f"{cost.passes:,}", duration(cost.seconds)])
    print_table(
        ["recipe", "seed", "passes", "time"], said, title=f"ladder on {cost.profile}, truth {cost.truth}", right=(1, 2, 3)
    )
    print_text(
        f"\nPhases that an earlier row trains are counted there. On {cost.device or 'no device'}; up to "
        f"{cost.disk_bytes / 1e6:,.0f} MB of disk.\n"
        "Times are scaled from one pass of the full network; small networks take longer than their multiply-adds say."
    )
