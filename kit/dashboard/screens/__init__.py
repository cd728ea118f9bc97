"""One module per screen, named as in `bindings.SCREENS`; it is imported when its screen is first shown."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from textual.screen import Screen

from kit.dashboard.bindings import SCREENS, TITLES


def _make(name: str) -> Screen[Any]:
    module = import_module(f"kit.dashboard.screens.{name}")
    screen: Screen[Any] = getattr(module, f"{TITLES[name]}Screen")()
    return screen


SCREEN_CLASSES: dict[str, Callable[[], Screen[Any]]] = {name: partial(_make, name) for name in SCREENS}
