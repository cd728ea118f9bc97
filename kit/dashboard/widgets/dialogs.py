"""Small questions: yes or no, or a line of text."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from kit.dashboard.bindings import bindings


class Confirm(ModalScreen[bool]):
    """Asks before something that cannot be undone; the safe answer has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dialog")]

    def __init__(self, question: str, detail: str = "", *, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self.question = question
        self.detail = detail
        self.yes = yes
        self.no = no

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(Content(self.question), classes="dialog-title", markup=False)
            if self.detail:
                yield Static(Content(self.detail), classes="dialog-text", markup=False)
            with Horizontal(classes="dialog-buttons"):
                yield Button(Content(self.yes), id="yes", variant="error")
                yield Button(Content(self.no), id="no", variant="primary")

    def on_mount(self) -> None:
        """The safe answer first."""
        self.query_one("#no", Button).focus()

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(False)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class Ask(ModalScreen[str | None]):
    """Asks for a line of text; `check` returns what is wrong with it, or an empty string."""

    BINDINGS: ClassVar[list[BindingType]] = [bindings("dialog")[0]]
    AUTO_FOCUS = "#answer"

    def __init__(
        self, question: str, value: str = "", *, detail: str = "", check: Callable[[str], str] = lambda _: ""
    ) -> None:
        super().__init__()
        self.question = question
        self.value = value
        self.detail = detail
        self.check = check

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(Content(self.question), classes="dialog-title", markup=False)
            if self.detail:
                yield Static(Content(self.detail), classes="dialog-text", markup=False)
            yield Input(self.value, id="answer", compact=True)
            yield Label("", id="wrong", markup=False)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one("#wrong", Label).update(Content(self.check(event.value)))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() and not self.check(event.value):
            self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
