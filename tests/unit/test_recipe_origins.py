"""Where settings come from: every value is told, and its origin is the file in which it really stands."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.recipe import differences, load_profile, load_recipe, profile_names, profile_settings, recipe_names, recipe_settings
from kit.recipe.origins import DEFAULT, OVERRIDE, Setting

BASE = """name = "base"
title = "base"

[optimizer]
momentum = 0.8
weight_decay = 1e-4

[[phases]]
name = "A"
method = "uniform"
epochs = 2
learning_rate = 0.1
"""
CHILD = """extends = "base"
name = "child"
title = "child"

[optimizer]
momentum = 0.7

[[phases]]
name = "A"
learning_rate = 0.5

[[phases]]
name = "B"
method = "uniform"
epochs = 3
learning_rate = 0.2
"""


@pytest.fixture
def family(tmp_path: Path) -> tuple[Path, Path]:
    """A recipe, and one that extends it."""
    base, child = tmp_path / "base.toml", tmp_path / "child.toml"
    base.write_text(BASE)
    child.write_text(CHILD)
    return base, child


def by_key(settings: list[Setting]) -> dict[str, Setting]:
    return {setting.key: setting for setting in settings}


def look_up(document: Any, key: str) -> Any:
    """The value at a dotted key, phases by name."""
    for part in key.split("."):
        is_phases = isinstance(document, list)
        document = next(item for item in document if item["name"] == part) if is_phases else document[part]
    return document


def test_each_value_is_from_the_last_file_that_says_it(family: tuple[Path, Path]) -> None:
    base, child = map(str, family)
    settings = by_key(recipe_settings(child))
    origins = {key: setting.origin for key, setting in settings.items()}
    assert origins["name"] == child
    assert (settings["optimizer.momentum"].value, origins["optimizer.momentum"]) == (0.7, child)
    assert (settings["optimizer.weight_decay"].value, origins["optimizer.weight_decay"]) == (1e-4, base)
    assert (origins["phases.A.epochs"], origins["phases.B.epochs"]) == (base, child)
    assert (settings["phases.A.learning_rate"].value, origins["phases.A.learning_rate"]) == (0.5, child)
    assert origins["phases.B.paths"] == origins["description"] == DEFAULT


def test_nothing_comes_from_a_phase_whose_method_was_changed(family: tuple[Path, Path]) -> None:
    base, child = family
    base.write_text(BASE + "paths = 3\n")
    child.write_text(CHILD.replace("learning_rate = 0.5", 'method = "candidates"\nepochs = 1\nlearning_rate = 0.3'))
    settings = recipe_settings(str(child))
    origins = {each.key: each.origin for each in settings if each.key.startswith("phases.A.")}
    assert "phases.A.paths" not in origins
    assert set(origins.values()) == {DEFAULT, str(child)}
    assert [each.value for each in settings if each.key.endswith(".name")] == ["A", "B"]


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_told_completely_and_its_origins_hold(name: str) -> None:
    settings = recipe_settings(name)
    resolved = load_recipe(name).model_dump(mode="json")
    for setting in settings:
        assert look_up(resolved, setting.key) == setting.value
        if setting.origin != DEFAULT:
            assert look_up(tomllib.loads(Path(setting.origin).read_text()), setting.key) == setting.value
    told = by_key(settings)
    for phase in resolved["phases"]:
        assert {f"phases.{phase['name']}.{key}" for key, value in phase.items() if value is not None} <= set(told)


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_is_told_completely(name: str) -> None:
    resolved = load_profile(name).model_dump(mode="json")
    settings = profile_settings(name)
    assert {setting.key.split(".")[0] for setting in settings} == set(resolved)
    for setting in settings:
        assert look_up(resolved, setting.key) == setting.value


@given(st.data())
def test_overriding_with_the_same_values_changes_only_their_origin(data: st.DataObject) -> None:
    plain = recipe_settings("full")
    # A phase that gets a name, even its own, has everything from the override (tested below).
    keys = [setting.key for setting in plain if not (setting.key.startswith("phases.") and setting.key.endswith(".name"))]
    chosen = data.draw(st.sets(st.sampled_from(keys), max_size=8))
    overridden = recipe_settings("full", [f"{each.key}={json.dumps(each.value)}" for each in plain if each.key in chosen])
    assert differences(plain, overridden) == []
    for before, after in zip(plain, overridden, strict=True):
        assert after.origin == (OVERRIDE if before.key in chosen else before.origin)


def test_an_override_of_a_whole_table_is_the_origin_of_all_in_it() -> None:
    settings = by_key(profile_settings("nano", ["network.stem={ kernel = 5, stride = 1, pool = true }"]))
    inside = {key: setting.origin for key, setting in settings.items() if key.startswith("network.stem.")}
    assert len(inside) == 3
    assert set(inside.values()) == {OVERRIDE}
    assert settings["network.divisor"].origin != OVERRIDE


def test_a_phase_that_is_renamed_has_its_name_from_the_override(family: tuple[Path, Path]) -> None:
    settings = by_key(recipe_settings(str(family[0]), ["phases.A.name=Z"]))
    assert settings["phases.Z.name"].origin == OVERRIDE
    assert "phases.A.name" not in settings


@given(st.sampled_from(recipe_names()), st.sampled_from(recipe_names()))
def test_differences_are_none_with_itself_and_mirror_each_other(one: str, other: str) -> None:
    left, right = recipe_settings(one), recipe_settings(other)
    there, back = differences(left, right), differences(right, left)
    assert (there == []) == (one == other)
    assert {(d.key, d.left, d.right) for d in map(_frozen, there)} == {(d.key, d.right, d.left) for d in map(_frozen, back)}


def _frozen(difference: Any) -> Any:
    """Values in lists cannot be in a set."""
    sides = (None if side is None else json.dumps(side.value) for side in (difference.left, difference.right))
    return type(difference)(difference.key, *sides)


def test_differences_say_which_side_lacks_a_key(family: tuple[Path, Path]) -> None:
    base, child = (recipe_settings(str(path)) for path in family)
    found = {d.key: d for d in differences(base, child)}
    assert found["phases.B.epochs"].left is None
    assert found["phases.B.epochs"].right == by_key(child)["phases.B.epochs"]
    assert found["phases.A.learning_rate"].left == by_key(base)["phases.A.learning_rate"]
    assert "phases.A.epochs" not in found


def test_a_recipe_with_errors_is_refused_as_when_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(BASE.replace("epochs = 2", "epoch = 2"))
    with pytest.raises(InputError, match=r"phases\.A\.epoch: unknown key \(did you mean 'epochs'"):
        recipe_settings(str(path))
