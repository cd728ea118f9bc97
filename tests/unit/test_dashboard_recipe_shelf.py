"""Recipes and profiles as screen 6 lists them: shipped ones, the user's files whatever they say, those of a run."""

import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.recipe import copy_recipe, load_profile, load_recipe, profile_names, recipe_names, recipe_path
from kit.recipe.origins import DEFAULT, OVERRIDE
from kit.recipe.writing import inline
from kit.run_dir import RunDirectory
from kit.watch.recipe_shelf import Entry, RecipeShelf, origin_name, resolve, split_overrides

RUN = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"


def named(entries: tuple[Entry, ...], name: str) -> Entry:
    return next(entry for entry in entries if entry.name == name)


class TestShelf:
    def test_every_shipped_recipe_and_profile_is_there_without_a_problem(self) -> None:
        entries = RecipeShelf().look([], [], None)
        assert [e.argument for e in entries] == recipe_names() + profile_names()
        for entry in entries:
            assert not entry.problem
            loaded = (load_recipe if entry.kind == "recipe" else load_profile)(entry.argument)
            assert (entry.title, entry.settings[0].value) == (loaded.title, loaded.name)

    def test_a_users_files_are_told_apart_by_what_they_say(self, tmp_path: Path) -> None:
        shutil.copyfile(recipe_path("spos"), tmp_path / "mine.toml")
        (tmp_path / "child.toml").write_text('extends = "mine"\nname = "child"\ntitle = "c"\n')
        shutil.copyfile(recipe_path("spos").parent / "profiles" / "nano.toml", tmp_path / "small.toml")
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
        (tmp_path / "notes.txt").write_text("[[phases]]")
        entries = RecipeShelf().look([tmp_path], [], None)
        own = {entry.name: entry for entry in entries if entry.origin == "yours"}
        assert {name: entry.kind for name, entry in own.items()} == {
            "child.toml": "recipe",
            "mine.toml": "recipe",
            "small.toml": "profile",
        }
        assert own["child.toml"].subnet_epochs == named(entries, "spos").subnet_epochs
        assert not any(entry.problem for entry in own.values())

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("[[phases]]\nname = ", "not valid TOML"),
            ('extends = "nobody"\n', "there is no recipe named 'nobody'"),
            ('extends = "bad"\n', "does not end"),
            ('name = "x"\ntitle = "[red]y[/red]"\n[[phases]]\nname = "[b]D[/b]"\nmethod = "uniform"\n', "epochs"),
            ("resolution = 28\n", "this key is missing"),
            ("[[phases]]\n\x00", "not valid TOML"),
        ],
    )
    def test_a_file_with_errors_is_listed_with_them(self, tmp_path: Path, text: str, problem: str) -> None:
        (tmp_path / "bad.toml").write_text(text)
        entry = named(RecipeShelf().look([tmp_path], [], None), "bad.toml")
        assert problem in entry.problem
        assert entry.text == text
        assert entry.settings == ()

    def test_those_of_a_run_come_last_and_are_what_ran(self) -> None:
        *_, recipe, profile = RecipeShelf().look([], [], RunDirectory(RUN))
        assert (recipe.name, recipe.origin, profile.name, profile.origin) == ("full", "run", "fashion", "run")

    def test_nothing_is_read_again_until_something_changes(self, tmp_path: Path) -> None:
        shelf = RecipeShelf()
        first = shelf.look([tmp_path], [], None)
        assert shelf.look([tmp_path], [], None) is first
        target = copy_recipe("spos", tmp_path / "new.toml")
        second = shelf.look([tmp_path], [target], None)
        assert [entry.name for entry in second if entry not in first] == ["new.toml"]
        target.write_text("extends = 5")
        assert "expected the name" in named(shelf.look([tmp_path], [target], None), "new.toml").problem

    def test_folders_that_are_missing_hold_nothing(self, tmp_path: Path) -> None:
        entries = RecipeShelf().look([tmp_path / "gone"], [tmp_path / "gone.toml"], RunDirectory(tmp_path / "gone"))
        assert {entry.origin for entry in entries} == {"shipped"}


class TestResolve:
    def test_overrides_reach_the_recipe_or_the_profile_by_their_prefix(self) -> None:
        entries = RecipeShelf().look([], [], None)
        overrides = ["phases.D1.epochs=3", "profile.pool.size=77"]
        resolved = resolve(named(entries, "full"), named(entries, "nano"), overrides)
        assert resolved.problem == ""
        overridden = {each.key: each.value for each in resolved.settings if each.origin == OVERRIDE}
        assert overridden == {"phases.D1.epochs": 3, "profile.pool.size": 77}

    @pytest.mark.parametrize(
        ("override", "problem"),
        [
            ("phases.D9.epochs=3", "there is no phase 'D9'"),
            ("phases.D1.epoch=3", "did you mean 'epochs'"),
            ("profile.pool.size=many", "profiles/nano.toml: pool.size"),
        ],
    )
    def test_a_wrong_one_is_told(self, override: str, problem: str) -> None:
        entries = RecipeShelf().look([], [], None)
        resolved = resolve(named(entries, "full"), named(entries, "nano"), [override])
        assert problem in resolved.problem
        assert resolved.settings == ()

    @given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z.]{0,9}", fullmatch=True), st.text(max_size=9))))
    def test_overrides_come_back_from_the_line_they_are_typed_in(self, pairs: list[tuple[str, str]]) -> None:
        words = [f"{key}={value}" for key, value in pairs]
        assert split_overrides(shlex.join(words)) == words

    @pytest.mark.parametrize("line", ["epochs", "a=1 =2", 'a="1'])
    def test_other_lines_are_refused(self, line: str) -> None:
        with pytest.raises(InputError):
            split_overrides(line)


class TestText:
    @pytest.mark.parametrize("name", recipe_names())
    def test_a_shown_value_can_be_written_into_a_file(self, name: str) -> None:
        for setting in named(RecipeShelf().look([], [], None), name).settings:
            shown = inline(setting.value)
            assert "\n" not in shown
            assert tomllib.loads(f"v = {shown}")["v"] == setting.value

    def test_origins_are_short(self, tmp_path: Path) -> None:
        assert [origin_name(each) for each in (DEFAULT, OVERRIDE)] == [DEFAULT, OVERRIDE]
        assert origin_name(str(recipe_path("cpt"))) == "cpt"
        assert origin_name(str(recipe_path("cpt").parent / "profiles" / "nano.toml")) == "profile nano"
        assert origin_name(str(tmp_path / "cpt.toml")) == "cpt.toml"
