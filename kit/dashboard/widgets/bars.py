"""The lines above and below every screen: where one is, and the filter."""

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from kit.dashboard.bindings import SCREENS, TITLES
from kit.dashboard.widgets.parts import STATUS_MARKS, STATUS_STYLES, cut
from kit.watch.text import clean


class TopBar(Widget):
    """The screens by number, the current one marked; on the right the selected run and its state."""

    ALLOW_SELECT: ClassVar[bool] = False
    active: reactive[str] = reactive("")
    run_name: reactive[str] = reactive("")
    status: reactive[str] = reactive("")

    def render(self) -> Content:
        width = self.size.width
        parts, self._spans = self._tabs(named=width >= 76)
        right: list[tuple[str, str]] = []
        if self.run_name:
            mark = STATUS_MARKS.get(self.status, "")
            room = width - sum(len(text) for text, _ in parts) - len(self.status) - len(mark) - 5
            if room >= 8:
                right = [
                    (cut(clean(self.run_name), room), "bold"),
                    (f"  {mark} {self.status} ", STATUS_STYLES.get(self.status, "")),
                ]
        gap = width - sum(len(text) for text, _ in parts + right)
        return Content.assemble(*parts, " " * max(0, gap), *right)

    def _tabs(self, *, named: bool) -> tuple[list[tuple[str, str]], list[tuple[int, str]]]:
        parts: list[tuple[str, str]] = []
        spans: list[tuple[int, str]] = []
        end = 0
        for digit, name in enumerate(SCREENS, 1):
            is_active = name == self.active
            text = f" {digit} {TITLES[name]} " if named or is_active else f" {digit} "
            parts.append((text, "bold $block-cursor-foreground on $primary" if is_active else "$text-muted"))
            end += len(text)
            spans.append((end, name))
        return parts, spans

    async def on_click(self, event: events.Click) -> None:
        for end, name in self._spans:
            if event.x < end:
                await self.run_action(f"app.show('{name}')")
                return


class FilterBar(Input):
    """Hidden until somebody filters; left by Enter (the filter stays) or Escape (it goes)."""

    # The keyboard must never arrive here by itself: number keys would then be typed instead of changing the screen.
    can_focus = False

    @dataclass
    class Filtered(Message):
        """The text of the filter changed."""

        text: str

    class Left(Message):
        """The user is done typing."""

    def open(self, placeholder: str) -> None:
        """Show the bar and take the keyboard."""
        self.placeholder = placeholder
        self.add_class("-open")
        self.can_focus = True
        self.focus()

    def close(self) -> None:
        """Drop the filter and hide."""
        self.value = ""
        self.remove_class("-open")
        self.can_focus = False

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Filtered(self.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, give the keyboard back."""
        event.stop()
        if not self.value:
            self.close()
        self.post_message(self.Left())
