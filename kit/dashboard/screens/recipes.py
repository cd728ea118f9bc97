"""Screen: Recipes."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.screens.base import KitScreen


class RecipesScreen(KitScreen):
    """Nothing here yet."""

    NAME = "recipes"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("recipes")]

    def compose_body(self) -> Iterable[Widget]:
        yield Static("nothing here yet", classes="empty", markup=False)
