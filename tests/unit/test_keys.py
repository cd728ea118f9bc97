"""Keys: they follow what settings change, so that a new setting orphans nothing, at the price that no default may change."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.methods import METHODS, settings_model
from kit.recipe import comparable, load_profile, load_recipe, profile_names, recipe_names
from kit.recipe.profile import CalibrationSettings, Profile, RuntimeSettings, StemSettings
from kit.strict import KEY_FORMAT, Strict, identity_of, key_of

SETTINGS = [*map(load_recipe, recipe_names()), *map(load_profile, profile_names())]


def models(model: type[Strict] = Strict) -> Iterator[type[Strict]]:
    for each in model.__subclasses__():
        # What an archive's documents must look like is no setting, and whether it is imported depends on other tests.
        if each.__module__.startswith(("kit.recipe.", "kit.methods.")):  # other files' models enter no key
            yield each
        yield from models(each)


def defaults() -> list[str]:
    """`Model.setting = default` of everything that may be left out of a key."""
    for method in METHODS:
        settings_model(method)
    lines = {
        f"{model.__name__}.{name} = {shown(field.get_default())}"
        for model in models()
        for name, field in model.model_fields.items()
        if not field.is_required() and name not in model.outside_keys and model is not RuntimeSettings
    }
    return [f"KEY_FORMAT = {KEY_FORMAT}", *sorted(lines)]


def shown(default: object) -> str:
    return f"{type(default).__name__} with {default.identity()}" if isinstance(default, Strict) else repr(default)


def test_no_default_changes(checkout: Path) -> None:
    """What has its default is left out of keys, so a changed default would find phases made with the old one."""
    table = checkout / "tests" / "data" / "defaults.txt"
    pinned, found = table.read_text().splitlines(), defaults()
    gone, new = [line for line in pinned if line not in found], [line for line in found if line not in pinned]
    assert pinned == found, (
        f"{table} pins the default of every setting. No longer true: {gone}; not in it: {new}.\n"
        "If a default changed or a setting went, raise KEY_FORMAT in kit/strict.py (old phases, scores and truths must not "
        "be taken for new ones), then mend the table. A setting that is only new needs no more than its line in the table."
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_a_spelled_out_default_is_the_default(settings: Strict) -> None:
    spelled_out = type(settings).model_validate(settings.model_dump())
    assert spelled_out.identity() == settings.identity()
    assert key_of(settings=spelled_out) == key_of(settings=settings)


def changed(value: Any) -> Iterator[Any]:
    """A value with one thing in it changed, for each thing in it that counts."""
    match value:
        case Strict():
            for name in type(value).model_fields:
                if name not in value.outside_keys:
                    for other in changed(getattr(value, name)):
                        yield value.model_copy(update={name: other})
        case tuple():
            for index, each in enumerate(value):
                for other in changed(each):
                    yield (*value[:index], other, *value[index + 1 :])
        case bool():
            yield not value
        case int() | float():
            yield value + 1
        case str():
            yield f"{value}x"
        case None:
            yield 0


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_every_setting_that_counts_is_in_the_key(settings: Strict) -> None:
    keys = [key_of(settings=each) for each in (settings, *changed(settings))]
    assert len(keys) > 10
    assert len(set(keys)) == len(keys)


def test_what_lies_outside_keys_changes_none() -> None:
    profile = load_profile("nano")
    moved = profile.model_copy(
        update={
            "title": "another",
            "data": "folder:/elsewhere",
            "runtime": profile.runtime.model_copy(update={"threads": 7}),
        }
    )
    assert moved != profile and moved.identity() == profile.identity()
    truth = profile.model_copy(update={"truth": profile.truth.model_copy(update={"seeds": 99})})
    assert truth.identity() == profile.identity()


class Group(Strict):
    size: int = 1


def test_parts_that_say_nothing_are_left_out_and_others_are_not() -> None:
    assert identity_of(a=Group(), b=None, c=0, d=[], e=False) == {"format": KEY_FORMAT, "c": 0, "d": [], "e": False}
    assert identity_of(a=Group(size=2)) == {"format": KEY_FORMAT, "a": {"size": 2}}


def test_a_group_of_settings_that_may_be_absent_is_told_from_one_with_defaults() -> None:
    class Optional(Strict):
        group: Group | None = None

    class Present(Strict):
        group: Group = Group(size=5)

    assert Optional().identity() != Optional(group=Group()).identity()
    assert Present(group=Group(size=5)).identity() == {} != Present(group=Group()).identity()


def test_numbers_keep_their_kind() -> None:
    assert CalibrationSettings(statistics=1.0).identity() == {"statistics": 1.0}
    assert StemSettings(stride=1).identity() == {"stride": 1}


def resolved(profile: Profile, **changes: Any) -> dict[str, Any]:
    recipe = load_recipe("full").model_dump(mode="json")
    stored = profile.model_dump(mode="json", exclude={"runtime", "data"})
    return {"kind": "recipe", "recipe": recipe, "profile": stored, "seed": 0, "processes": 1, **changes}


def test_a_run_stays_the_same_when_the_kit_learns_a_setting_or_finds_better_words() -> None:
    profile = load_profile("nano")
    now = comparable(resolved(profile))
    older = resolved(profile, kit="0.1.0", inputs={"data": "digits"})
    del older["processes"], older["recipe"]["description"], older["profile"]["evaluation"]["fold_batch_norm"]
    older["recipe"]["title"] = "as it was"
    for phase in older["recipe"]["phases"]:
        phase.pop("redraw_steps", None)
    assert comparable(older) == now
    assert comparable(resolved(profile, seed=1)) != now
    older["profile"]["evaluation"]["fold_batch_norm"] = True
    assert comparable(older) != now


def test_a_truths_settings_do_not_concern_a_recipe_and_a_recipes_not_a_truth() -> None:
    profile = load_profile("nano")
    longer = profile.model_copy(update={"truth": profile.truth.model_copy(update={"epochs": 99})})
    other = profile.model_copy(update={"calibration": profile.calibration.model_copy(update={"batches": 99})})

    def same(kind: str, left: Profile, right: Profile) -> bool:
        return comparable(resolved(left, kind=kind)) == comparable(resolved(right, kind=kind))

    assert same("recipe", profile, longer) and not same("truth", profile, longer)
    assert same("truth", profile, other) and not same("recipe", profile, other)


def test_settings_that_cannot_be_read_are_compared_as_they_stand() -> None:
    profile = load_profile("nano")
    newer = resolved(profile)
    newer["recipe"]["from_the_future"] = 1
    assert comparable(newer) != comparable(resolved(profile))
    assert comparable(newer)["recipe"]["from_the_future"] == 1
