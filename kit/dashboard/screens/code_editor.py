"""A code that is checked with every digit typed, and drawn as soon as it is one."""

import re

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kit.dashboard.bindings import bindings
from kit.dashboard.widgets.network import cost_lines, network
from kit.dashboard.widgets.pool_detail import Subject
from kit.recipe import Profile
from kit.search_space import CODE_LENGTH, Architecture, InvalidArchitectureError
from kit.watch.pool_rows import PoolRows
from kit.watch.text import clean, number

RULER = "i└dp┘s└stage 1─┘└stage 2─┘└───stage 3────┘└stage 4─┘"
"""What the digits stand for: image size, depths, stem, then two width digits per block."""
TALL = 46


class CodeInput(Input):
    """Types over the digits of a code that is complete, as there is no room for more."""

    def insert_text_at_cursor(self, text: str) -> None:
        """Insert, or replace the digit under the cursor."""
        if len(self.value) == CODE_LENGTH and len(text) == 1 and self.cursor_position < CODE_LENGTH:
            self.replace(text, self.cursor_position, self.cursor_position + 1)
        else:
            super().insert_text_at_cursor(text)


class CodeEditor(ModalScreen[str | None]):
    """Enter takes a code that is right, and goes to the digit that is wrong otherwise."""

    BINDINGS = bindings("editor")
    AUTO_FOCUS = "#code"

    def __init__(self, code: str, profile: Profile, rows: PoolRows | None) -> None:
        super().__init__()
        self.code = code
        self.profile = profile
        self.rows = rows
        self.position: int | None = None
        """The wrong digit, counted from 1."""

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="editor", can_focus=False):
            yield Static("Code of an architecture", classes="dialog-title", markup=False)
            yield Static(Content.styled(RULER, "$text-muted"), id="code-ruler", markup=False)
            yield CodeInput(self.code, id="code", compact=True, select_on_focus=False)
            yield Static("", id="code-pointer", markup=False)
            yield Static("", id="code-state", markup=False)
            yield Static("", id="code-drawing", markup=False)

    def on_mount(self) -> None:
        """The first digit is always 1: one begins behind it."""
        self.query_one("#code", Input).cursor_position = 1

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        text = event.value.strip()
        parsed = self.check(text)
        self.query_one("#code-pointer", Static).update(self._pointer(event.value))
        drawing = Content("")
        if parsed is not None:
            width = max(20, self.query_one("#editor").size.width - 6)
            compact = self.app.size.height < TALL
            drawing = Content.assemble(
                *cost_lines(parsed, self.profile), network(parsed, self.profile, width, compact=compact)
            )
        self.query_one("#code-drawing", Static).update(drawing)
        # In a small window the line that is typed into must stay in sight.
        self.query_one("#editor").scroll_home(animate=False)

    def check(self, text: str) -> Architecture | None:
        """Say whether `text` is a code; the architecture if it is."""
        state = self.query_one("#code-state", Static)
        try:
            parsed = self.profile.search_space.parse(text)
        except InvalidArchitectureError as error:
            self.position = error.position
            message = re.sub(r"^(digit \d+) of \S* is", r"\1 is", clean(str(error))).split(": '")[0]
            left = f"  ({len(text)} of {CODE_LENGTH} digits)" if len(text) != CODE_LENGTH else ""
            hint = f"\n{error.hint}" if error.hint else ""
            state.update(
                Content.assemble(("✗ ", "bold $text-error"), (message, "$text-error"), (left + hint, "$text-muted"))
            )
            return None
        self.position = None
        state.update(Content.assemble(("✓ ", "bold $text-success"), *self._where(Subject(parsed, self._row(text)))))
        return parsed

    def _row(self, code: str) -> int | None:
        return None if self.rows is None else self.rows.index.get(code)

    def _where(self, subject: Subject) -> list[str | tuple[str, str]]:
        if subject.row is None or self.rows is None:
            return ["a valid code", ("  not in this pool", "$text-muted")]
        accuracy = float(self.rows.numbers("acc")[subject.row])
        known = "" if accuracy != accuracy else f", predicted {number(accuracy, 4)}"
        return ["a valid code", (f"  in this pool: {clean(self.rows.names[subject.row])}{known}", "$text-muted")]

    def _pointer(self, value: str) -> Content:
        if self.position is None:
            return Content("")
        indent = len(value) - len(value.lstrip())
        at = min(self.position - 1 + indent, max(0, self.query_one("#code", Input).size.width - 2))
        return Content.assemble(" " * at, ("▲", "bold $text-error"), (f" {self.position}", "$text-error"))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if self.position is None:
            self.dismiss(event.value.strip())
        else:
            event.input.cursor_position = min(self.position - 1, len(event.value))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one("#code", Input).value.strip())
        self.app.notify("copied", timeout=2, markup=False)

    def action_cancel(self) -> None:
        self.dismiss(None)
