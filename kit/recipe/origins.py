"""Where each value of a recipe or profile comes from: its file, a file it extends, `--set`, or a default."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.recipe.loading import extended, load_profile, load_recipe, parse_override, read_files
from kit.recipe.models import Recipe
from kit.recipe.profile import Profile

DEFAULT = "default"
OVERRIDE = "--set"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that is in force. `key` is what `--set` calls it."""

    key: str
    value: Any
    """As JSON has it; settings without a value are left out."""
    origin: str
    """`DEFAULT`, `OVERRIDE`, or the path of a file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values differ; None on a side that has no such key."""

    key: str
    left: Setting | None
    right: Setting | None


def recipe_settings(name: str, overrides: Sequence[str] = ()) -> list[Setting]:
    """Every setting of a recipe, by name or path. Raises `InputError` as `load_recipe` does."""
    return _settings(load_recipe(name, overrides), name, overrides)


def profile_settings(name: str, overrides: Sequence[str] = ()) -> list[Setting]:
    """Every setting of a profile, by name or path. Raises `InputError` as `load_profile` does."""
    return _settings(load_profile(name, overrides), name, overrides)


def differences(left: Iterable[Setting], right: Iterable[Setting]) -> list[Difference]:
    """The keys whose values differ, in the order of the right side, with those that only the left side has at the end."""
    lefts, rights = ({setting.key: setting for setting in side} for side in (left, right))
    pairs = [Difference(key, lefts.get(key), rights.get(key)) for key in {**rights, **lefts}]
    return [pair for pair in pairs if pair.left is None or pair.right is None or pair.left.value != pair.right.value]


def _settings(model: Recipe | Profile, name: str, overrides: Sequence[str]) -> list[Setting]:
    origins = _origins(read_files(type(model), name))
    parsed = [parse_override(override) for override in overrides]
    # A phase that gets another name has it, and so everything that is called by it, from the override.
    given = tuple(f"{key}." for key, _ in parsed) + tuple(
        f"phases.{value}." for key, value in parsed if key.endswith(".name")
    )
    found = ((key, value) for key, value in leaves(model.model_dump(mode="json")) if value is not None)
    return [
        Setting(key, value, OVERRIDE if f"{key}.".startswith(given) else origins.get(key, DEFAULT)) for key, value in found
    ]


def _origins(files: Iterable[tuple[Path, dict[str, Any]]]) -> dict[str, str]:
    """The last file that says each key, of the keys that are left when every file was put over what it extends."""
    origins: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for path, document in files:
        merged = extended(merged, document)
        written = dict(leaves(document))
        origins = {key: str(path) if key in written else origins[key] for key, _ in leaves(merged)}
    return origins


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings; phases go by their names."""
    prefix = f"{key}." if key else ""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from leaves(inside, f"{prefix}{name}")
    elif _is_named(value):
        for item in value:
            yield from leaves(item, f"{prefix}{item['name']}")
    else:
        yield key, value


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "name" in item for item in value)
