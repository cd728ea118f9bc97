"""The user's own settings of the dashboard: a theme and keys, in a file. What is wrong in it is said and left out."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from kit.dashboard.bindings import ids
from kit.errors import KitError
from kit.files import read_toml

THEMES = ("kit-dark", "kit-light", "kit-contrast")


@dataclass(frozen=True)
class Settings:
    """Theme, keys by binding id, and what could not be understood."""

    theme: str = THEMES[0]
    keys: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


def settings_path() -> Path:
    """`$KIT_DASHBOARD`, else `kit/dashboard.toml` in the user's configuration folder."""
    named = os.environ.get("KIT_DASHBOARD")
    if named:
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path("~/.config").expanduser()) / "kit" / "dashboard.toml"


def load_settings(path: Path) -> Settings:
    """Read a settings file like `theme = "kit-light"`, `[keys]`, `"app.quit" = "ctrl+q"`; a missing one is empty."""
    try:
        document = read_toml(path) if path.exists() else {}
    except (KitError, OSError) as error:
        return Settings(problems=(str(error),))
    problems = [f"{path}: unknown key {key!r}" for key in document.keys() - {"theme", "keys"}]
    theme = document.get("theme", THEMES[0])
    if theme not in THEMES:
        problems.append(f"{path}: there is no theme {theme!r}; there are: {', '.join(THEMES)}")
        theme = THEMES[0]
    table = document.get("keys", {})
    if not isinstance(table, dict):
        problems.append(f"{path}: keys must be a table")
        table = {}
    keys = []
    for name, value in table.items():
        if name not in ids():
            near = difflib.get_close_matches(name, ids(), 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append(f"{path}: no action has the id {name!r}{hint}")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f"{path}: {name}: expected a key like 'ctrl+q', found {value!r}")
        else:
            keys.append((name, value))
    return Settings(theme, tuple(keys), tuple(problems))
