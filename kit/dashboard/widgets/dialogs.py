"""Small questions: yes or no, or a line of text."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static

from kit.dashboard.bindings import bindings
from kit.errors import KitError

T = TypeVar("T")


class Question(ModalScreen[T]):
    """A question with its details; None is no answer."""

    def __init__(self, question: str, detail: str) -> None:
        super().__init__()
        self.question = question
        self.detail = detail

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(Content(self.question), classes="dialog-title", markup=False)
            if self.detail:
                yield Static(Content(self.detail), classes="dialog-text", markup=False)
            yield from self.compose_answer()

    def compose_answer(self) -> Iterable[Widget]:
        """What is answered with."""
        raise NotImplementedError

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


class Confirm(Question[bool]):
    """Asks before something that cannot be undone; the safe answer has the focus."""

    BINDINGS = bindings("dialog")
    AUTO_FOCUS = "#no"

    def __init__(self, question: str, detail: str = "", *, yes: str = "Yes") -> None:
        super().__init__(question, detail)
        self.yes = yes

    def compose_answer(self) -> Iterable[Widget]:
        with Horizontal(classes="dialog-buttons"):
            yield Button(Content(self.yes), id="yes", variant="error")
            yield Button("No", id="no", variant="primary")

    def action_yes(self) -> None:
        self.dismiss(True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class Ask(Question[str]):
    """Asks for a line of text; `check` returns what is wrong with it, or an empty string."""

    BINDINGS = bindings("dialog")[:1]
    AUTO_FOCUS = "#answer"

    def __init__(self, question: str, value: str, *, detail: str, check: Callable[[str], str]) -> None:
        super().__init__(question, detail)
        self.value = value
        self.check = check

    def compose_answer(self) -> Iterable[Widget]:
        yield Input(self.value, id="answer", compact=True)
        yield Label("", id="wrong", markup=False)

    def wrong(self, answer: str) -> str:
        """What is wrong with an answer. A check asks the file system, which may fail in any way."""
        try:
            return self.check(answer)
        except KitError as error:
            return str(error)
        except OSError as error:
            return f"cannot look there: {error.strerror}"

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one("#wrong", Label).update(Content(self.wrong(event.value)))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() and not self.wrong(event.value):
            self.dismiss(event.value.strip())
