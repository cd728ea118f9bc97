"""`kit recipes`: what can be run, what it means, and how to make one's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli.output import JsonOption, narrate, print_json, print_table, print_text
from kit.errors import ExitCode, InputError

app = typer.Typer(no_args_is_help=True, help="Recipes: list, show, validate, copy.")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """The shipped recipes and profiles."""
    from kit.recipe import load_profile, load_recipe, profile_names, recipe_names, recipe_path

    recipes = [load_recipe(name) for name in recipe_names()]
    profiles = [load_profile(name) for name in profile_names()]
    described: list[dict[str, Any]] = [
        {
            "name": recipe.name,
            "title": recipe.title,
            "phases": [phase.name for phase in recipe.phases],
            "subnet_epochs": sum(phase.passes(phase.epochs) for phase in recipe.phases),
            "published_epochs": recipe.published_epochs,
            "paper": recipe.paper and recipe.paper.model_dump(mode="json"),
            "path": str(recipe_path(recipe.name)),
        }
        for recipe in recipes
    ]
    if json:
        shown = [{"name": p.name, "title": p.title, "data": p.data} for p in profiles]
        print_json({"recipes": described, "profiles": shown})
        return
    rows = [[str(row["name"]), str(len(row["phases"])), str(row["subnet_epochs"]), str(row["title"])] for row in described]
    print_table(["recipe", "phases", "subnet epochs", "what it is"], rows, right=(1, 2))
    print_text("")
    print_table(["profile", "data", "what it is"], [[p.name, p.data, p.title] for p in profiles])


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe, or the path of a TOML file.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    json: JsonOption = False,
) -> None:
    """A recipe with everything it extends and every default spelled out."""
    from kit.recipe import load_recipe, recipe_path, to_toml

    recipe = load_recipe(name, set_ or (), imports=True)
    if json:
        print_json({**recipe.model_dump(mode="json"), "path": str(recipe_path(name).resolve())})
    else:
        print_text(to_toml(recipe).rstrip())


@app.command("validate")
def validate(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE ...]", help="Default: all shipped ones.")] = None,
    json: JsonOption = False,
) -> None:
    """Check recipes; exit code 2 with the findings on stderr when one is wrong."""
    from kit.recipe import load_profile, load_recipe, profile_names, recipe_names

    findings: list[dict[str, str]] = []
    names = files or recipe_names()
    for name in names:
        try:
            load_recipe(name, imports=True)
        except InputError as error:
            findings += [{"file": name, "message": line} for line in str(error).splitlines()]
    for profile in [] if files else profile_names():
        load_profile(profile)
    for finding in findings:
        narrate(f"error: {finding['message']}")
    if json:
        print_json({"ok": not findings, "checked": names, "findings": findings})
    elif not findings:
        print_text(f"{len(names)} recipe{'s' if len(names) > 1 else ''} checked, nothing wrong")
    if findings:
        raise typer.Exit(ExitCode.USAGE)


@app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe.")],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A new file, or a folder.")],
) -> None:
    """Copy a recipe's file to edit it."""
    from kit.recipe import copy_recipe

    print_text(str(copy_recipe(name, destination).resolve()))
