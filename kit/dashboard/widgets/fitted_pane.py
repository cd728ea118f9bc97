"""Text that is composed for the size it is shown in."""

from collections.abc import Callable, Iterable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

Draw = Callable[[int, int], Content]
"""Composes the text for so many columns and rows."""
SMALLEST = 20


class FittedPane(VerticalScroll):
    """Scrolls when the text is longer; composes it anew when the size changes."""

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
        can_focus: bool = True,
        fills: bool = True,
    ) -> None:
        """`fills` is for a pane whose height is given, not its text's."""
        super().__init__(id=id, classes=classes, can_focus=can_focus)
        self.fills = fills
        self._draw: Draw | None = None
        self._lines = -1

    def compose(self) -> Iterable[Widget]:
        yield Static("", markup=False)

    def show(self, draw: Draw) -> None:
        """Show this from now on."""
        self._draw = draw
        self._compose_text()

    def on_resize(self) -> None:
        """The text may be wider or narrower now."""
        self._compose_text()

    def _compose_text(self) -> None:
        if self._draw is None or not self.display or not self.size.width:
            return
        width = self.scrollable_content_region.width
        # One column stays free for a scrollbar that may come.
        spare = self.styles.overflow_y != "hidden"
        content = self._draw(max(SMALLEST, width - spare), self.size.height)
        lines = content.get_height({}, max(1, width))
        # Filled up, text that fits has always as many lines as the pane: a layout of the screen costs ten times a paint.
        missing = self.size.height - lines if self.fills else 0
        if missing > 0:
            content, lines = Content.assemble(content, "\n" * missing), self.size.height
        self.query_one(Static).update(content, layout=lines != self._lines)
        self._lines = lines
