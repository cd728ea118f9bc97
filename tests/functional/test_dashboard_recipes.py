"""Screen 6 with real files and commands: every key, at three sizes, and recipes with errors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from dashboard_tools import FASHION, SIZES, check_snapshot, copy_runs, open_app, shows, text_of, wait_for
from textual.pilot import Pilot
from textual.widgets import Input, Select

from kit.dashboard.app import DashboardApp
from kit.dashboard.screens.recipes import RecipesScreen
from kit.dashboard.screens.start import StartScreen
from kit.dashboard.widgets.dialogs import Ask
from kit.recipe import Recipe, load_recipe, profile_names, recipe_names, recipe_path

CHILD = """extends = "full"
name = "child"
title = "[bold red]mine[/] [link=x]"

[optimizer]
momentum = 0.5
"""


@pytest.fixture(autouse=True)
def _settled_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KIT_DASHBOARD", str(tmp_path / "none.toml"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return copy_runs(tmp_path)


def screen_of(app: DashboardApp) -> RecipesScreen:
    return cast("RecipesScreen", app.screen_stack[0])


def names(app: DashboardApp) -> list[str]:
    """The names in the list."""
    table = screen_of(app).table
    return [table.row_cells(index)[1] for index in range(table.count)]


def rows(app: DashboardApp) -> list[list[str]]:
    """The lines of the panel."""
    table = screen_of(app).about.table
    return [table.row_cells(index) for index in range(table.count)]


async def go_to(app: DashboardApp, pilot: Pilot[None], name: str) -> None:
    """Move the cursor to an entry of the list."""
    screen = screen_of(app)
    screen.table.focus()
    screen.table.cursor = names(app).index(name)
    await wait_for(pilot, lambda: screen.current is not None and screen.current.name == name and screen.is_settled)


async def answer(pilot: Pilot[None], text: str) -> None:
    """Type into the dialog that is asked, and confirm."""
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one("#answer", Input).value = text
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()


class TestList:
    async def test_everything_that_can_be_run_is_listed(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "child.toml").write_text(CHILD)
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            assert names(app) == [*recipe_names(), *profile_names(), "child.toml", "full", "fashion"]
            await go_to(app, pilot, "child.toml")
            await shows(pilot, "[bold red]mine[/] [link=x]")

    async def test_a_recipe_with_errors_is_told_and_neither_planned_nor_run(self, runs: Path, tmp_path: Path) -> None:
        path = tmp_path / "bad.toml"
        path.write_text(CHILD + '\n[[phases]]\nname = "X"\nmethod = "uniform"\nepoch = 3\n')
        async with open_app(runs, run=FASHION, screen="recipes", size=(120, 40)) as (app, pilot):
            await go_to(app, pilot, "bad.toml")
            text = text_of(pilot)
            assert "phases.X.epoch: unknown key (did you mean 'epochs'?)" in text
            await pilot.press("l", "r")
            await wait_for(pilot, lambda: any("cannot be run" in note.message for note in app._notifications))
            assert screen_of(app).plan.document is None
            assert not isinstance(app.screen, StartScreen)
            # Mended while the dashboard looks on.
            path.write_text(CHILD)
            await wait_for(pilot, lambda: len(rows(app)) > 100)
            mended = screen_of(app).current
            assert mended is not None
            assert (mended.name, mended.problem) == ("bad.toml", "")

    @pytest.mark.parametrize("exists", [True, False])
    async def test_without_a_run_the_shipped_ones_are_there(self, tmp_path: Path, exists: bool) -> None:
        folder = tmp_path / "none" / "runs"
        if exists:
            folder.mkdir(parents=True)
        async with open_app(folder, screen="recipes") as (app, _):
            assert names(app) == [*recipe_names(), *profile_names()]
        assert folder.exists() == exists

    async def test_u_reads_all_files_again(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes") as (app, pilot):
            before = screen_of(app).entries
            await pilot.press("u")
            await wait_for(pilot, lambda: screen_of(app).entries is not before and screen_of(app).is_settled)
            assert screen_of(app).entries == before


class TestSettings:
    async def test_each_value_is_shown_with_where_it_comes_from(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "child.toml").write_text(CHILD)
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            await go_to(app, pilot, "child.toml")
            shown = {row[0]: row[1:] for row in rows(app)}
            assert shown["optimizer.momentum"] == ["0.5", "child.toml"]
            assert shown["optimizer.weight_decay"] == ["3e-05", "baseline"]
            assert shown["partition.rest"] == ["true", "sse34"]
            assert shown["phases.CPT.epochs"][1] == "cpt"
            assert shown["profile.pool.size"][1] == "profile nano"

    async def test_o_sets_values_for_this_run(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            await pilot.press("o")
            await answer(pilot, "phases.D1.epochs=3 profile.pool.size=77")
            await wait_for(pilot, lambda: screen.is_settled)
            shown = {row[0]: row[1:] for row in rows(app)}
            assert shown["phases.D1.epochs"] == ["3", "--set"]
            assert shown["profile.pool.size"] == ["77", "--set"]
            await pilot.press("o")
            await answer(pilot, "phases.D1.epoch=3")
            await shows(pilot, "unknown key (did you mean 'epochs'?)")
            await pilot.press("o")
            await answer(pilot, "-")
            await wait_for(pilot, lambda: screen.is_settled and screen.overrides == [])
            assert {row[0]: row[1:] for row in rows(app)}["phases.D1.epochs"] == ["5", "baseline"]

    async def test_an_answer_that_is_no_override_is_refused_while_it_is_typed(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes") as (app, pilot):
            await pilot.press("o")
            await answer(pilot, "epochs")
            assert isinstance(app.screen, Ask)
            await shows(pilot, "is not key=value")

    async def test_p_and_enter_choose_the_profile(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            seen = []
            for _ in profile_names():
                await pilot.press("p")
                await wait_for(pilot, lambda: screen.is_settled)
                seen.append({row[0]: row[1] for row in rows(app)}["profile.name"].strip('"'))
            # The run's own profile is one, too.
            assert set(profile_names()) >= set(seen)
            assert len(set(seen)) > 1
            await go_to(app, pilot, "imagenet")
            assert {row[0] for row in rows(app)} >= {"resolution", "training.batch_size"}
            await pilot.press("enter")
            await go_to(app, pilot, "full")
            assert {row[0]: row[1] for row in rows(app)}["profile.name"] == '"imagenet"'

    async def test_f_hides_defaults_and_the_filter_finds_by_origin(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            everything = rows(app)
            await pilot.press("f")
            await pilot.pause()
            assert rows(app) == [row for row in everything if row[2] != "default"]
            await pilot.press("f", "slash", *"aps-v3")
            await wait_for(pilot, lambda: len(rows(app)) < len(everything))
            assert rows(app) == [row for row in everything if "aps-v3" in " ".join(row)]
            await pilot.press("escape")
            await wait_for(pilot, lambda: rows(app) == everything)

    async def test_a_line_can_be_copied_into_a_file_and_all_exported(self, runs: Path, tmp_path: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            await pilot.press("c")
            assert app.clipboard == str(recipe_path("full"))
            await pilot.press("enter", *["down"] * [row[0] for row in rows(app)].index("optimizer.momentum"), "c")
            await wait_for(pilot, lambda: app.clipboard == "optimizer.momentum = 0.9")
            await pilot.press("e")
            await answer(pilot, str(tmp_path / "settings.json"))
            exported = json.loads((tmp_path / "settings.json").read_text())
            assert [list(row.values()) for row in exported] == rows(app)


class TestDifference:
    async def test_two_recipes_side_by_side(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            await pilot.press("d")
            await wait_for(pilot, lambda: any("mark a recipe" in note.message for note in app._notifications))
            await go_to(app, pilot, "sse34")
            await pilot.press("space")
            await go_to(app, pilot, "full")
            await pilot.press("d")
            await pilot.pause()
            shown = {row[0]: row[1:] for row in rows(app)}
            ours, theirs = load_recipe("full"), load_recipe("sse34")
            assert shown["name"] == ['"sse34"', '"full"']
            for mine, other in zip(ours.phases, theirs.phases, strict=True):
                for key, value in mine.model_dump(mode="json").items():
                    differs = value != other.model_dump(mode="json")[key]
                    assert (f"phases.{mine.name}.{key}" in shown) == differs
            await go_to(app, pilot, "nano")
            await shows(pilot, "sse34 is a recipe, nano a profile")
            await go_to(app, pilot, "sse34")
            await shows(pilot, "this is the marked one")
            await pilot.press("space")
            await wait_for(pilot, lambda: screen_of(app).marked is None)

    async def test_what_a_run_was_trained_with_against_what_is_shipped(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            await go_to(app, pilot, "full")
            await pilot.press("space", "d", "end", "up")
            await wait_for(pilot, lambda: screen.current is not None and screen.current.is_of_run and screen.is_settled)
            # Since that run recipes say more of the paper; nothing that changes a result differs.
            assert {row[0].split(".")[0] for row in rows(app)} == {"description", "paper"} <= Recipe.outside_keys


class TestFiles:
    async def test_n_copies_a_recipe_checks_it_and_shows_it(self, runs: Path, tmp_path: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            await pilot.press("n")
            await answer(pilot, "taken.txt")
            await shows(pilot, "ends with .toml")
            await answer(pilot, "mine.toml")
            await wait_for(pilot, lambda: screen_of(app).current is not None and screen_of(app).current.name == "mine.toml")
            assert (tmp_path / "mine.toml").read_bytes() == recipe_path("full").read_bytes()
            assert "mine.toml" in names(app)
            await pilot.press("n")
            await answer(pilot, "mine.toml")
            await shows(pilot, "exists already")

    async def test_v_leads_through_the_panels_to_the_file_with_its_comments(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            seen = []
            for _ in range(4):
                await pilot.press("v")
                await pilot.pause()
                seen.append(screen_of(app).about.current)
                if seen[-1] == "file":
                    assert "\n".join(row[0] for row in rows(app)) + "\n" == recipe_path("full").read_text()
            assert seen == ["difference", "plan", "file", "settings"]

    @pytest.mark.parametrize("size", SIZES)
    async def test_looks_as_recorded(self, runs: Path, size: str) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=SIZES[size]) as (_, pilot):
            await pilot.pause(0.3)
            # Shipped recipes lie where the project was installed.
            folder = str(recipe_path("full").parent)
            await check_snapshot(pilot, f"recipes-{size}", lambda text: text.replace(folder, "RECIPES"))

    async def test_in_a_tiny_window_enter_goes_in_and_escape_out(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(20, 5)) as (app, pilot):
            screen = screen_of(app)
            await pilot.press("enter")
            await wait_for(pilot, lambda: screen.about.table.has_focus)
            await shows(pilot, "settings")
            await pilot.press("escape")
            await wait_for(pilot, lambda: screen.table.has_focus)
            assert app.current_mode == "recipes"


@pytest.mark.slow
class TestPlanAndRun:
    async def test_l_plans_what_r_would_start(self, small: Any, runs: Path, kit: Callable[..., Any], tmp_path: Path) -> None:
        plan = kit(*small.arguments("--set", "phases.D.epochs=5", "--dry-run", "--json")).json
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            await go_to(app, pilot, "tiny.toml")
            await pilot.press("enter")
            await go_to(app, pilot, "small.toml")
            await pilot.press("o")
            await answer(pilot, "phases.D.epochs=5")
            await wait_for(pilot, lambda: screen.is_settled)
            await pilot.press("l")
            await shows(pilot, "planning")
            await wait_for(pilot, lambda: screen.plan.document is not None or screen.plan.problem, 120)
            assert screen.plan.problem == ""
            shown = {row[0]: row for row in rows(app)}
            for phase in plan["phases"]:
                assert shown[phase["name"]][2:6] == [
                    f"{phase[key]:,}" for key in ("epochs", "steps", "paths_per_step", "passes")
                ]
            await shows(pilot, f"{plan['run']}: about")
            await go_to(app, pilot, "full")
            assert screen.plan.document is None
            await go_to(app, pilot, "small.toml")
            await pilot.press("r")
            await wait_for(pilot, lambda: isinstance(app.screen, StartScreen))
            assert app.screen.query_one("#start-recipe", Select).value == str(small.recipe)
            assert app.screen.query_one("#start-profile", Select).value == str(small.profile)
            assert app.screen.query_one("#start-set", Input).value == "phases.D.epochs=5"
            await pilot.press("escape")
            await wait_for(pilot, lambda: not isinstance(app.screen, StartScreen))

    async def test_a_plan_that_fails_says_why(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="recipes", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            await go_to(app, pilot, "imagenet")
            await pilot.press("enter", "l")
            await wait_for(pilot, lambda: any("this is a profile" in note.message for note in app._notifications))
            await go_to(app, pilot, "full")
            await pilot.press("l")
            await wait_for(pilot, lambda: screen.plan.problem, 120)
            await shows(pilot, screen.plan.problem.split()[0])
            assert screen.plan.document is None


def test_each_of_its_keys_is_in_the_table() -> None:
    """A key that nobody pressed above would be one that nobody tested."""
    from kit.dashboard.bindings import bindings

    pressed = {"l", "r", "p", "o", "space", "d", "n", "f", "v", "u"}
    assert {key for binding in bindings("recipes") for key in binding.key.split(",")} == pressed
