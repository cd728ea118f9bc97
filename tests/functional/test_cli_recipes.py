"""`kit recipes`: what is printed is data, what is wrong goes to stderr, and nothing is overwritten."""

from pathlib import Path

import pytest

from kit.recipe import load_recipe, profile_names, recipe_names


def test_the_list_is_one_document_with_absolute_paths(kit):
    outcome = kit("recipes", "list", "--json")
    assert outcome.code == 0 and outcome.err == ""
    assert [recipe["name"] for recipe in outcome.json["recipes"]] == recipe_names()
    assert [profile["name"] for profile in outcome.json["profiles"]] == profile_names()
    for recipe in outcome.json["recipes"]:
        assert Path(recipe["path"]).is_absolute() and load_recipe(recipe["path"]).name == recipe["name"]
    shown = kit("recipes", "list").out
    assert all(name in shown for name in [*recipe_names(), *profile_names()])


def test_what_is_shown_can_be_run(kit, tmp_path):
    outcome = kit("recipes", "show", "full", "--set", "phases.D1.epochs=3")
    path = tmp_path / "shown.toml"
    path.write_text(outcome.out)
    assert outcome.code == 0 and load_recipe(str(path)) == load_recipe("full", ["phases.D1.epochs=3"])
    document = kit("recipes", "show", "full", "--json").json
    assert Path(document["path"]).is_absolute()
    assert [phase["name"] for phase in document["phases"]] == [phase.name for phase in load_recipe("full").phases]


def test_a_path_beside_the_user_is_shown_absolutely(kit, small, monkeypatch):
    monkeypatch.chdir(small.recipe.parent)
    assert kit("recipes", "show", "./small.toml", "--json").json["path"] == str(small.recipe)


def test_all_shipped_recipes_are_valid(kit):
    outcome = kit("recipes", "validate", "--json")
    assert outcome.code == 0 and outcome.json == {"ok": True, "checked": recipe_names(), "findings": []}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_findings_of_all_files_go_to_stderr(kit, small, options):
    wrong, empty = small.recipe.with_name("wrong.toml"), small.recipe.with_name("empty.toml")
    wrong.write_text(small.recipe.read_text().replace("recent = 5", "recemt = 5"))
    empty.write_text('name = "empty"\ntitle = "empty"\nphases = []\n')
    outcome = kit("recipes", "validate", str(wrong), str(small.recipe), str(empty), *options)
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert len(lines) == 3 and all(line.startswith("error: ") for line in lines)
    assert f"{wrong}: phases.CPT.recemt: unknown key (did you mean 'recent'?)" in lines[0]
    assert f"{wrong}: phases.SSE-0.recemt" in lines[1] and f"{empty}: phases" in lines[2]
    if options:
        assert outcome.json["ok"] is False
        assert [finding["file"] for finding in outcome.json["findings"]] == [str(wrong), str(wrong), str(empty)]
    else:
        assert outcome.out == ""


@pytest.mark.parametrize("name", ["fulll", "/nowhere.toml"])
def test_a_recipe_that_is_not_there_is_an_error(kit, name):
    for command in ("show", "validate"):
        outcome = kit("recipes", command, name)
        assert outcome.code == 2 and name in outcome.err and outcome.out == ""


def test_copying_never_overwrites(kit, tmp_path):
    first = kit("recipes", "copy", "full", str(tmp_path))
    target = tmp_path / "full.toml"
    assert first.code == 0 and first.out.strip() == str(target)
    assert kit("recipes", "validate", str(target)).code == 0
    target.write_text("mine")
    for destination in (tmp_path, target):
        again = kit("recipes", "copy", "full", str(destination))
        assert again.code == 2 and "exists already" in again.err
    assert target.read_text() == "mine" and list(tmp_path.iterdir()) == [target]
