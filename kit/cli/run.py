"""`kit run recipe` and `kit run truth`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.launch import launchable
from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import narrated
from kit.cli.rank import OpponentOption, print_rank
from kit.errors import InputError
from kit.launcher import place
from kit.watch.text import duration, short_number

if TYPE_CHECKING:
    from kit.pipeline.request import RunRequest
    from kit.plan import RunCost
    from kit.recipe import Profile
    from kit.search_space import Architecture

app = typer.Typer(no_args_is_help=True, help="Train: a recipe's supernet, or architectures alone.")

PROFILE_PREFIX = "profile."

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="SPEC", help="digits, folder:/path, torch/fashion_mnist:/path, hfds/..., ...")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. phases.D1.epochs=3 or profile.training.batch_size=64."),
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Ignore earlier results.")]


@app.command("recipe")
@launchable
def recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe, or the path of a TOML file.")],
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Data set and scale.")] = "nano",
    data: DataOption = None,
    pool: Annotated[Path | None, typer.Option("--pool", metavar="FILE", help="Challenge JSON to score.")] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Pretrained weights of the full network.")
    ] = None,
    runs: RunsOption = Path("runs"),
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, max=MOST)] = 0,
    opponent: OpponentOption = None,
    set_: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Resolve, time one step, print the plan.")] = False,
    fresh: FreshOption = False,
    json: JsonOption = False,
) -> None:
    """Train a supernet by a recipe, score a pool with it, and compare with the truth if there is one.

    The same command continues what was interrupted, and is done at once when nothing is missing.
    """
    from kit.pipeline.request import RunRequest
    from kit.ranking.opponent_files import read_opponents
    from kit.recipe import load_profile, load_recipe

    for_recipe, for_profile = split_overrides(set_ or [])
    request = RunRequest(
        recipe=load_recipe(name, for_recipe, imports=True),
        profile=load_profile(profile, for_profile),
        runs=runs,
        seed=seed,
        data=data,
        pool=pool,
        weights=weights,
        overrides=tuple(set_ or ()),
        fresh=fresh and not place().restarts,
        processes=place().size,
    )
    if dry_run:
        if not place().is_first:
            return
        _plan(request, as_json=json)
    else:
        named = read_opponents(opponent or (), request.profile.search_space)
        _execute(request, named, as_json=json)


@app.command("truth")
def truth(
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Data set and scale.")] = "nano",
    architectures: Annotated[
        int | None,
        typer.Option("--architectures", metavar="N", min=1, max=MOST, help="The first N of the profile's own pool."),
    ] = None,
    codes: Annotated[
        Path | None, typer.Option("--codes", metavar="FILE", help="Challenge JSON, or one code a line.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", metavar="K", min=1, max=MOST, help="Per architecture.")] = None,
    data: DataOption = None,
    runs: RunsOption = Path("runs"),
    set_: SetOption = None,
    workers: Annotated[int, typer.Option("--workers", min=0, max=MOST, help="Processes; 0 means one per core.")] = 0,
    fresh: FreshOption = False,
    json: JsonOption = False,
) -> None:
    """Train architectures alone, several seeds each, and write a truth file. The same command continues."""
    from kit.pipeline.signals import stop_on_signals
    from kit.pipeline.truth_run import TruthRequest, TruthRun, default_architectures
    from kit.recipe import load_profile

    if architectures is not None and codes is not None:
        raise InputError("--architectures and --codes exclude each other")
    chosen = load_profile(profile, profile_overrides(set_, "a truth has no recipe"))
    selected = (
        read_codes(codes, chosen)
        if codes is not None
        else default_architectures(chosen, architectures or chosen.truth.architectures)
    )
    request = TruthRequest(
        profile=chosen,
        runs=runs,
        architectures=selected,
        seeds=seeds or chosen.truth.seeds,
        data=data,
        workers=workers,
        fresh=fresh,
    )
    with stop_on_signals() as stop:
        run = TruthRun(request, stop, narrate)
        for _ in narrated(run.execute(), "trainings"):
            pass
    if json:
        print_json({"truth": str(run.file), "architectures": len(selected), "seeds": request.seeds, "profile": chosen.name})
    else:
        print_text(str(run.file))


def split_overrides(overrides: list[str]) -> tuple[list[str], list[str]]:
    """`--set` values for the recipe and for the profile (`profile.` in front)."""
    for_profile = [text.removeprefix(PROFILE_PREFIX) for text in overrides if text.startswith(PROFILE_PREFIX)]
    return [text for text in overrides if not text.startswith(PROFILE_PREFIX)], for_profile


def profile_overrides(overrides: list[str] | None, reason: str, hint: str = "") -> list[str]:
    """The `--set` values of a command whose profile alone can be changed. Raises `InputError`, with `reason`, for others."""
    for_recipe, for_profile = split_overrides(overrides or [])
    if for_recipe:
        example = "name a profile's key, as in profile.truth.learning_rate=0.05"
        raise InputError(f"--set {for_recipe[0]}: {reason}", hint="; or ".join(filter(None, (example, hint))))
    return for_profile


def _plan(request: "RunRequest", *, as_json: bool) -> None:
    from kit.pipeline.dry_run import cost_of_run
    from kit.pipeline.request import resolve

    resolved = resolve(request, narrate)
    for note in resolved.data.notes:
        narrate(note)
    plan = cost_of_run(resolved, note=narrate)
    if as_json:
        print_json(plan.to_json())
    else:
        _print_plan(plan)


def _print_plan(plan: "RunCost") -> None:
    rows = [
        [
            phase.name,
            phase.method,
            f"{phase.epochs:,}",
            f"{phase.steps:,}",
            f"{phase.paths_per_step}",
            f"{phase.subnet_epochs:,}",
            f"{phase.passes:,}",
            short_number(phase.macs),
            duration(phase.seconds),
        ]
        for phase in plan.phases
    ]
    totals = plan.totals
    epochs, steps, subnet_epochs = (
        f"{sum(getattr(phase, name) for phase in plan.phases):,}" for name in ("epochs", "steps", "subnet_epochs")
    )
    spent = (f"{totals['passes']:,}", short_number(totals["macs"]), duration(totals["training_seconds"]))
    rows.append(["all phases", "", epochs, steps, "", subnet_epochs, *spent])
    spent = ("", short_number(plan.evaluation_macs), duration(plan.evaluation_seconds))
    rows.append(["scoring", f"{plan.subnets:,} subnets", "", "", "", "", *spent])
    if plan.watching_macs:
        spent = ("", short_number(plan.watching_macs), duration(plan.watching_seconds))
        rows.append(["held-out checks", "after each phase", "", "", "", "", *spent])
    columns = ["phase", "method", "epochs", "steps", "paths", "subnet epochs", "passes", "multiply-adds", "time"]
    print_table(columns, rows, title=f"{plan.recipe} on {plan.profile}: {plan.run}", right=range(2, 9))
    images = int(plan.measured["images"])
    if plan.train_images < plan.batch_size:
        narrate(f"note: a step takes {plan.batch_size:,} images, there are {plan.train_images:,}: the run will refuse")
    print_text(
        f"\n{plan.train_images:,} training images, {plan.batch_size:,} a step, on {plan.device}. Up to "
        f"{plan.disk_bytes / 1e6:,.0f} MB of disk.\n"
        f"Times are scaled from one pass of the full network over {images} images here "
        f"({plan.measured['step_seconds']:.2f} s); small networks take longer than their multiply-adds say."
    )


def _execute(request: "RunRequest", opponents: dict[str, dict[str, float]], *, as_json: bool) -> None:
    from kit.pipeline.recipe_run import RecipeRun
    from kit.pipeline.request import resolve
    from kit.pipeline.signals import stop_on_signals
    from kit.process_group import open_process_group
    from kit.watch.run_summary import describe_run

    with stop_on_signals() as stop, open_process_group(request.profile.runtime.timeout_seconds) as group:
        run = RecipeRun(resolve(request, narrate if group.is_first else None), stop, group)
        for _ in narrated(run.execute()) if place().is_first else run.execute():
            pass
    if not place().is_first:
        return
    directory = run.directory
    report = run.rank(opponents)
    if as_json:
        rank = report and report.to_json()
        print_json({**describe_run(directory).to_json(), "predictions": str(directory.predictions), "rank": rank})
    elif report is not None:
        narrate("")
        print_rank(report)
    else:
        print_text(str(directory.predictions))


def read_codes(path: Path, profile: "Profile") -> "tuple[Architecture, ...]":
    """Architectures of a challenge JSON, or of a text file with one code a line."""
    from kit.files import decode_text, storage_errors
    from kit.pool import load_pool
    from kit.search_space import InvalidArchitectureError

    if path.suffix in (".json", ".gz"):
        return load_pool(path, profile.search_space).architectures
    with storage_errors("read", path):
        data = path.read_bytes()
    found: dict[str, Any] = {}
    for number, line in enumerate(decode_text(data, source=str(path)).splitlines(), 1):
        try:
            found |= {line.strip(): profile.search_space.parse(line.strip())} if line.strip() else {}
        except InvalidArchitectureError as error:
            message = f"{path}, line {number}: {error}"
            raise InvalidArchitectureError(message, position=error.position, hint=error.hint) from error
    if not found:
        raise InputError(f"{path} holds no codes", hint="one code of 52 digits a line, or a challenge JSON")
    return tuple(found.values())
