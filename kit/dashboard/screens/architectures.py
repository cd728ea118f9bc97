"""Screen: Architectures."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.screens.base import KitScreen


class ArchitecturesScreen(KitScreen):
    """Nothing here yet."""

    NAME = "architectures"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("architectures")]

    def compose_body(self) -> Iterable[Widget]:
        yield Static("nothing here yet", classes="empty", markup=False)
