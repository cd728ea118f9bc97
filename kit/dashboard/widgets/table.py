"""A table that renders only the rows in sight: 45,000 rows cost no more than 20."""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kit.dashboard.bindings import bindings
from kit.watch.text import clean

T = TypeVar("T")
Cell = str | tuple[str, str]
"""Text, or text with one of `VirtualTable.STYLES`. Never markup."""
Rows = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Titles and rows to export."""
REST = 10_000
"""The width of a column that takes what the others leave."""
SMALLEST = 8
"""Cells below which no column shrinks: the table scrolls sideways then."""


@dataclass(frozen=True)
class Column:
    """A column, at most `width` cells wide; `key` names it in messages (default: the title)."""

    title: str
    width: int
    right: bool = False
    key: str = ""
    least: int | None = None
    """Cells that are enough for it where there is no room for `width`."""
    rank: int = 0
    """Where there is too little room for all, those of the largest rank are left out first, and those of 0 never."""

    @property
    def name(self) -> str:
        return self.key or self.title


def text_column(lines: Iterable[str]) -> Column:
    """A column for lines of text, as wide as the longest: one scrolls sideways to read it."""
    return Column("", max(20, min(1000, max(map(len, lines), default=0))), key="line")


def fitted(columns: Sequence[Column], width: int, gap: int) -> list[tuple[int, Column]]:
    """The columns that `width` cells have room for, with their places among all, as wide as there is room."""
    shown = list(enumerate(columns))

    def spare() -> int:
        return width - 1 - sum((column.width if column.least is None else column.least) + gap for _, column in shown)

    while spare() < 0 and (ranks := [column.rank for _, column in shown if column.rank]):
        last = max(ranks)
        shown = [each for each in shown if each[1].rank != last]
    left = spare()
    widths: dict[int, int] = {}
    # What wants a certain width gets it first, and gives first where nothing more can be left out; the rest is shared.
    elastic = sorted((column.width >= REST, place, column.least) for place, column in shown if column.least is not None)
    for done, (takes_rest, place, least) in enumerate(elastic):
        share = left // (len(elastic) - done) if takes_rest else left
        widths[place] = max(min(least, SMALLEST), min(columns[place].width, least + share))
        left -= widths[place] - least
    return [(place, replace(column, width=widths.get(place, column.width))) for place, column in shown]


class VirtualTable(ScrollView, Generic[T], can_focus=True):
    """A row per item; its cells are asked for when it is painted."""

    BINDINGS = bindings("table")
    STYLES = ("good", "bad", "warn", "muted", "accent", "strong")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--cursor",
        "table--odd",
        "table--marked",
        *(f"table--{name}" for name in STYLES),
    }
    GAP = 2

    cursor: reactive[int] = reactive(0, repaint=False)

    @dataclass
    class Highlighted(Message):
        """The cursor moved to `row`, or that row's content changed."""

        table: "VirtualTable[Any]"
        row: int

        @property
        def control(self) -> "VirtualTable[Any]":
            return self.table

    class Selected(Highlighted):
        """Enter or a click on the row of the cursor."""

    @dataclass
    class HeaderSelected(Message):
        """A column's title was clicked."""

        table: "VirtualTable[Any]"
        column: Column

        @property
        def control(self) -> "VirtualTable[Any]":
            return self.table

    def __init__(
        self,
        columns: Sequence[Column] = (),
        *,
        empty: str = "",
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.columns: tuple[Column, ...] = tuple(columns)
        self.shown: list[tuple[int, Column]] = []
        """The columns that there is room for, with their places among all."""
        self.empty = empty
        self.items: Sequence[T] = ()
        self.sorted_by: tuple[str, bool] | None = None
        """Key of the column that rows are sorted by, and whether downwards: shown in the header."""
        self.is_marked: Callable[[T], bool] = lambda _: False
        self._cells: Callable[[T], Sequence[Cell]] = lambda _: ()

    @property
    def count(self) -> int:
        return len(self.items)

    @property
    def current(self) -> T | None:
        """The item under the cursor."""
        return self.items[self.cursor] if self.cursor < self.count else None

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show these columns, as many as there is room for."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self._fit()

    def on_resize(self) -> None:
        """There may be room for more columns, or for fewer."""
        self._fit()

    def _fit(self) -> None:
        self.shown = fitted(self.columns, self.size.width - 1, self.GAP)
        self._resize()

    def set_rows(self, items: Sequence[T], cells: Callable[[T], Sequence[Cell]], *, cursor: int | None = None) -> None:
        """Show these items; `cells` gives a row's cells, one per column. The cursor stays unless told otherwise."""
        self.items, self._cells = items, cells
        self._resize()
        target = self.cursor if cursor is None else cursor
        target = max(0, min(target, self.count - 1))
        if target != self.cursor:
            self.cursor = target
        elif self.count:
            self.post_message(self.Highlighted(self, target))

    def row_cells(self, index: int) -> list[str]:
        """The plain text of a row, as far as it is shown, for copying and exporting."""
        return [cell if isinstance(cell, str) else cell[0] for cell in self._shown_cells(index)]

    def _shown_cells(self, index: int) -> list[Cell]:
        cells = self._cells(self.items[index])
        return [cells[place] for place, _ in self.shown]

    def next_sort(self, sortable: Container[str] | None = None) -> str | None:
        """The column in sight after the one that rows are sorted by; None after the last one."""
        names = [column.name for _, column in self.shown if sortable is None or column.name in sortable]
        at = names.index(self.sorted_by[0]) if self.sorted_by is not None and self.sorted_by[0] in names else -1
        return names[at + 1] if at + 1 < len(names) else None

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        header = self.get_component_rich_style("table--header")
        offset = round(self.scroll_offset.x)
        if y == 0:
            titles = [self._title(column) for _, column in self.shown]
            return self._strip(titles, header, offset, width)
        index = y - 1 + round(self.scroll_offset.y)
        if index >= self.count:
            if self.empty and not self.count and y == 2:
                text = set_cell_size(" " + clean(self.empty), max(0, width))
                return Strip([Segment(text, self.rich_style + self.get_component_rich_style("table--muted", partial=True))])
            return Strip.blank(width, self.rich_style)
        name = "table--odd" if index % 2 else ""
        if self.is_marked(self.items[index]):
            name = "table--marked"
        if index == self.cursor:
            name = "table--cursor"
        style = self.get_component_rich_style(name) if name else self.rich_style
        return self._strip(self._shown_cells(index), style, offset, width)

    def _title(self, column: Column) -> str:
        if self.sorted_by is None or self.sorted_by[0] != column.name:
            return column.title
        return column.title + (" ▼" if self.sorted_by[1] else " ▲")

    def _strip(self, cells: Sequence[Cell], base: Style, offset: int, width: int) -> Strip:
        segments = [Segment(" ", base)]
        for (_, column), cell in zip(self.shown, cells, strict=True):
            text, style = (cell, base) if isinstance(cell, str) else (cell[0], base + self._named(cell[1]))
            text = clean(text)
            if cell_len(text) > column.width:
                text = set_cell_size(text, column.width - 1) + "…" if column.width > 1 else set_cell_size(text, column.width)
            padding = " " * (column.width - cell_len(text))
            segments.append(Segment(padding + text if column.right else text + padding, style))
            segments.append(Segment(" " * self.GAP, base))
        strip = Strip(segments)
        return strip.crop_extend(offset, offset + width, base)

    def _named(self, name: str) -> Style:
        return self.get_component_rich_style(f"table--{name}", partial=True) if name else Style.null()

    def _resize(self) -> None:
        width = 1 + sum(column.width + self.GAP for _, column in self.shown)
        self.virtual_size = Size(width, self.count + 1)
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self) -> None:
        if not self.is_mounted:
            return
        # The header covers the first line of what the scroll position shows.
        self.scroll_to_region(Region(round(self.scroll_offset.x), self.cursor, 1, 2), animate=False, force=True)
        self.refresh()
        if self.count:
            self.post_message(self.Highlighted(self, self.cursor))

    def action_cursor(self, where: str) -> None:
        page = max(1, self.size.height - 2)
        moves = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "home": -self.count, "end": self.count}
        self.cursor += moves[where]

    def action_scroll_columns(self, cells: int) -> None:
        self.scroll_to(x=self.scroll_offset.x + cells, animate=False)

    def action_select(self) -> None:
        if self.count:
            self.post_message(self.Selected(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A title sorts, a row gets the cursor, the row of the cursor is chosen."""
        if event.y == 0:
            left = 1 - round(self.scroll_offset.x)
            for _, column in self.shown:
                if left <= event.x < left + column.width + self.GAP:
                    self.post_message(self.HeaderSelected(self, column))
                left += column.width + self.GAP
            return
        index = event.y - 1 + round(self.scroll_offset.y)
        if index < self.count:
            if index == self.cursor:
                self.action_select()
            self.cursor = index
