"""The registry of recipes and profiles: TOML files, `extends`, `--set`, and errors that name file, key and nearest key."""

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from kit.errors import InputError
from kit.files import read_toml, require_suffix, storage_errors, write_bytes
from kit.methods import IMPORTS, METHODS, Phase, settings_model
from kit.recipe.models import Recipe
from kit.recipe.profile import Profile

NOT_INHERITED = ("paper", "published_epochs")
"""What a recipe says about itself alone: the paper reports on it, not on those that extend it."""
M = TypeVar("M", bound=BaseModel)


def recipes_folder() -> Path:
    """The folder that is the registry: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def profiles_folder() -> Path:
    """The folder of the shipped profiles."""
    return recipes_folder() / "profiles"


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in profiles_folder().glob("*.toml"))


def recipe_path(name: str) -> Path:
    """The file of a shipped recipe, or `name` itself when it is a path to a TOML file."""
    return _find(name, recipes_folder(), recipe_names(), "recipe")


def profile_path(name: str) -> Path:
    """The file of a shipped profile, or `name` itself when it is a path to a TOML file."""
    return _find(name, profiles_folder(), profile_names(), "profile")


def read_files(kind: type[BaseModel], name: str) -> list[tuple[Path, dict[str, Any]]]:
    """A recipe's or profile's file and those it extends, the outermost first, as they are written but for `extends`."""
    find = recipe_path if kind is Recipe else profile_path
    return _chain(find(name), find)


def load_recipe(name: str, overrides: Iterable[str] = (), *, imports: bool = False) -> Recipe:
    """Read a recipe by name or path, apply `key=value` overrides, validate; all problems in one `InputError`.

    Phases are addressed by name: `phases.D1.epochs=3`. Only with `imports` are methods from outside the kit imported; else
    what is their own in a phase is kept as it stands (`ForeignPhase`).
    """
    return _load(Recipe, name, overrides, imports=imports)


def load_profile(name: str, overrides: Iterable[str] = ()) -> Profile:
    """Read a profile by name or path, apply `key=value` overrides, validate; all problems in one `InputError`."""
    return _load(Profile, name, overrides)


def _load(kind: type[M], name: str, overrides: Iterable[str], *, imports: bool = False) -> M:
    files = read_files(kind, name)
    path = files[-1][0]
    document = reduce(extended, (document for _, document in files))
    for key, value in map(parse_override, overrides):
        _override(document, key, value, path)
    return _validate(kind, document, path, {IMPORTS: imports})


def copy_recipe(name: str, destination: Path) -> Path:
    """Copy a recipe file so that a user can edit it; never overwrites. Returns the new path."""
    source = recipe_path(name)
    target = destination / source.name if destination.is_dir() else destination
    require_suffix(target, ".toml")
    if target.exists():
        raise InputError(f"{target} exists already", hint="choose another name, or remove it first")
    with storage_errors("read", source):
        data = source.read_bytes()
    write_bytes(target, data)
    return target


def parse_override(text: str) -> tuple[str, Any]:
    """Split `key=value`; the value is read as TOML, or as a string when it is none."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {text!r} is not key=value", hint="for instance --set phases.D1.epochs=3")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _find(name: str, folder: Path, names: list[str], kind: str) -> Path:
    if name in names:
        return folder / f"{name}.toml"
    path = Path(name)
    if path.suffix == ".toml" or "/" in name:
        if not path.is_file():
            raise InputError(f"there is no {kind} file {path}")
        return path
    near = difflib.get_close_matches(name, names, 1)
    hint = (f"did you mean {near[0]}? " if near else "") + f"there are: {', '.join(names)}; or give a path to a .toml file"
    raise InputError(f"there is no {kind} named {name!r}", hint=hint)


def extended(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """A file's document over that of the file it extends: tables key by key, phases by name."""
    kept = {key: value for key, value in parent.items() if key not in NOT_INHERITED}
    merged = _merged(kept, child)
    parents, children = kept.get("phases"), child.get("phases")
    if isinstance(parents, list) and isinstance(children, list):
        merged["phases"] = _merged_phases(parents, children)
    return merged


def _merged(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**parent, **child}
    for key in parent.keys() & child.keys():
        if isinstance(parent[key], Mapping) and isinstance(child[key], Mapping):
            merged[key] = _merged(parent[key], child[key])
    return merged


def _merged_phases(parents: list[Any], children: list[Any]) -> list[Any]:
    """In the parents' order, new ones last. Settings belong to a method, so a phase of another method owes them nothing."""
    places = {name: place for place, phase in enumerate(parents) if (name := _name(phase))}
    merged = list(parents)
    for phase in children:
        place = places.pop(_name(phase), None)
        if place is None:
            merged.append(phase)
        elif phase.get("method", parents[place].get("method")) != parents[place].get("method"):
            merged[place] = phase
        else:
            merged[place] = _merged(parents[place], phase)
    return merged


def _name(phase: Any) -> str:
    name = phase.get("name") if isinstance(phase, Mapping) else None
    return name if isinstance(name, str) else ""


def _chain(path: Path, find: Callable[[str], Path]) -> list[tuple[Path, dict[str, Any]]]:
    """A file and those it extends, the outermost first, without the key `extends`; a name that is not beside is shipped."""
    what = "recipe" if find is recipe_path else "profile"
    files: list[tuple[Path, dict[str, Any]]] = []
    while True:
        document = read_toml(path)
        files.insert(0, (path, document))
        parent = document.pop("extends", None)
        if parent is None:
            return files
        if not isinstance(parent, str):
            raise InputError(f"{path}: extends: expected the name of a {what}, found {parent!r}")
        beside = path.parent / f"{parent}.toml"
        above = beside if beside.is_file() else find(parent)
        if any(above.samefile(each) for each, _ in files):
            names = " -> ".join(each.stem for each in (*(each for each, _ in reversed(files)), above))
            raise InputError(
                f"{path}: extends: the chain of {what}s does not end: {names}", hint=f"a {what} must not extend itself"
            )
        path = above


def _override(document: dict[str, Any], key: str, value: Any, path: Path) -> None:
    *parents, last = key.split(".")
    target: Any = document
    for part in parents:
        if isinstance(target, list):
            tables = [item for item in target if isinstance(item, dict)]
            if not tables:
                raise InputError(f"--set {key}: {part!r} would be inside a list of values", hint="set the whole list")
            found = [item for item in tables if item.get("name") == part]
            if not found:
                names = [str(item.get("name")) for item in tables]
                raise InputError(
                    f"--set {key}: there is no phase {part!r}{_nearest(part, names)}; there are {', '.join(names)}"
                )
            target = found[0]
        else:
            target = target.setdefault(part, {})
        if not isinstance(target, dict | list):
            raise InputError(f"--set {key}: {part!r} is a value of {path.name}, not a table")
    if isinstance(target, list):
        raise InputError(f"--set {key}: name a key of one phase, for instance phases.D1.epochs")
    target[last] = value


def _validate(model: type[M], document: Mapping[str, Any], path: Path, context: Mapping[str, bool]) -> M:
    try:
        # JSON mode, because strict models then take arrays for tuples and nothing else is converted.
        return model.model_validate_json(json.dumps(document, default=str), context=dict(context))
    except ValidationError as error:
        problems = [_explain(problem, document, model) for problem in _causes(error)]
        raise InputError(f"{path}: " + f"\n{path}: ".join(problems)) from error


def _causes(error: ValidationError) -> list[Any]:
    """The problems, without a list's complaint of being too short when it is because its items are wrong."""
    problems = error.errors()
    inside = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in inside]


def _explain(problem: Any, document: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One problem as `dotted key: what is wrong (nearest key)`."""
    names: list[str] = []
    value: Any = document
    for part in problem["loc"]:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            names.append(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
            names.append(str(value["name"]) if isinstance(value, Mapping) and "name" in value else str(part))
        elif part == problem["loc"][-1]:
            names.append(str(part))
    where = ".".join(names) or "the file"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{_nearest(names[-1], _all_keys(model))}"
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    found = problem.get("input")
    shown = "" if isinstance(found, dict | list) and len(str(found)) > 80 else f", found {found!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), 1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _all_keys(model: type[BaseModel]) -> set[str]:
    """Every key that may occur in a model and the models inside it."""
    keys: set[str] = set()
    pending: list[Any] = [model]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= set(kind.model_fields)
            if kind is Phase:
                pending += map(settings_model, METHODS)
            pending += [field.annotation for field in kind.model_fields.values()]
        else:
            pending += get_args(kind)
    return keys
