"""Recipes and profiles that can be run: the shipped ones, the user's files, those of a run. Reads files: for a thread."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit import recipe as recipes
from kit.errors import InputError, KitError
from kit.files import decode_text, stamp
from kit.recipe import Setting
from kit.recipe.loading import parse_override
from kit.recipe.origins import DEFAULT, OVERRIDE
from kit.run_dir import RunDirectory

Kind = Literal["recipe", "profile"]
PROFILE_PREFIX = "profile."
DROP = "-"
MAX_FILES = 200
MAX_BYTES = 1024**2
_RECIPE = re.compile(r"^\s*(\[\[\s*phases\s*\]\]|phases\s*=|extends\s*=)", re.MULTILINE)
_PROFILE = re.compile(r"^\s*(num_classes|resolution)\s*=", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipe or profile, with all it says, or with what is wrong with it."""

    kind: Kind
    argument: str
    """What `kit run recipe` takes: a shipped name, or a path."""
    origin: str
    """`shipped`, `yours`, or `run`."""
    path: Path
    name: str
    title: str = ""
    phases: int | None = None
    subnet_epochs: int | None = None
    settings: tuple[Setting, ...] = ()
    text: str = ""
    problem: str = ""

    @property
    def is_of_run(self) -> bool:
        return self.origin == "run"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe on a profile with overrides: every setting, or what is wrong."""

    settings: tuple[Setting, ...] = ()
    problem: str = ""


class RecipeShelf:
    """Lists what there is, and reads it anew only when a file was changed, added or removed."""

    def __init__(self) -> None:
        self._signature: object = None
        self._entries: tuple[Entry, ...] = ()

    def look(self, folders: Sequence[Path], extra: Sequence[Path], run: RunDirectory | None) -> tuple[Entry, ...]:
        """All recipes and profiles: shipped ones first, then files in `folders` and `extra`, then those of the run."""
        places = [*_shipped(), *_own(folders, extra), *_of_run(run)]
        signature = [(kind, argument, origin, path, stamp(path)) for kind, argument, origin, path in places]
        if signature != self._signature:
            self._entries = tuple(_entry(*place) for place in places)
            self._signature = signature
        return self._entries


def resolve(recipe: Entry, profile: Entry | None, overrides: Sequence[str]) -> Resolved:
    """What would run: the recipe's settings and the profile's, which `--set` calls `profile.KEY`."""
    of_profile = [each.removeprefix(PROFILE_PREFIX) for each in overrides if each.startswith(PROFILE_PREFIX)]
    of_recipe = [each for each in overrides if not each.startswith(PROFILE_PREFIX)]
    try:
        settings = recipes.recipe_settings(recipe.argument, of_recipe)
        if profile is not None:
            inside = recipes.profile_settings(profile.argument, of_profile)
            settings += [Setting(PROFILE_PREFIX + each.key, each.value, each.origin) for each in inside]
    except KitError as error:
        return Resolved(problem=_told(error, recipe.path))
    return Resolved(tuple(settings))


def split_overrides(text: str) -> list[str]:
    """The `KEY=VALUE` words of a line. Raises `InputError` for anything else."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"this cannot be split into words: {error}") from error
    for word in words:
        parse_override(word)
    return words


def check_overrides(answer: str) -> str:
    """What is wrong with a line of overrides; `DROP` means none."""
    try:
        split_overrides("" if answer.strip() == DROP else answer)
    except KitError as error:
        return str(error)
    return ""


def origin_name(origin: str) -> str:
    """Where a value comes from, short: `full`, `profile nano`, `mine.toml`, `--set`, `default`."""
    if origin in (DEFAULT, OVERRIDE):
        return origin
    path = Path(origin)
    if path.parent == recipes.recipes_folder():
        return path.stem
    return f"profile {path.stem}" if path.parent == recipes.profiles_folder() else path.name


def _shipped() -> Iterator[tuple[Kind, str, str, Path]]:
    yield from (("recipe", name, "shipped", recipes.recipe_path(name)) for name in recipes.recipe_names())
    yield from (("profile", name, "shipped", recipes.profile_path(name)) for name in recipes.profile_names())


def _own(folders: Iterable[Path], extra: Iterable[Path]) -> Iterator[tuple[Kind, str, str, Path]]:
    shipped = {path for *_, path in _shipped()}
    found = [path for folder in folders for path in _files(folder)]
    for path in list(dict.fromkeys([*extra, *found]))[:MAX_FILES]:
        kind = _kind(path)
        if kind is not None and path not in shipped:
            yield kind, str(path), "yours", path


def _of_run(run: RunDirectory | None) -> Iterator[tuple[Kind, str, str, Path]]:
    if run is not None:
        pairs: tuple[tuple[Kind, Path], ...] = (("recipe", run.recipe), ("profile", run.profile))
        yield from ((kind, str(path), "run", path) for kind, path in pairs if path.is_file())


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob("*.toml") if path.is_file())
    except OSError:
        return []


def _kind(path: Path) -> Kind | None:
    """By the keys that only one of them has, so that a file with errors is shown, too."""
    text = _read(path)
    return "recipe" if _RECIPE.search(text) else "profile" if _PROFILE.search(text) else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return decode_text(file.read(MAX_BYTES), source=path.name, errors="replace")
    except OSError:
        return ""


def _entry(kind: Kind, argument: str, origin: str, path: Path) -> Entry:
    text = _read(path)
    name = path.stem if origin == "shipped" else path.name
    try:
        settings = tuple((recipes.recipe_settings if kind == "recipe" else recipes.profile_settings)(argument))
        said = {each.key: str(each.value) for each in settings}
        name = said["name"] if origin != "yours" else name
        phases = epochs = None
        if kind == "recipe":
            recipe = recipes.load_recipe(argument)
            phases = len(recipe.phases)
            epochs = sum(phase.passes(phase.epochs) for phase in recipe.phases)
    except KitError as error:
        return Entry(kind, argument, origin, path, name, text=text, problem=_told(error, path))
    return Entry(kind, argument, origin, path, name, said["title"], phases, epochs, settings, text)


def _told(error: KitError, path: Path) -> str:
    """An error's lines without the file that they are about, which is named above them anyway."""
    return "\n".join((str(error).replace(f"{path}: ", ""), *([error.hint] if error.hint else [])))
