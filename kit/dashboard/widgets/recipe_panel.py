"""One of four tables about a recipe: its settings, how it differs from another one, the plan of a run, its file."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from kit.dashboard.plan_table import COLUMNS, plan_rows, plan_summary
from kit.dashboard.screens.base import Rows
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.recipe import Setting, differences
from kit.recipe.origins import DEFAULT, OVERRIDE
from kit.recipe.writing import inline
from kit.watch.recipe_shelf import Entry, Resolved, origin_name
from kit.watch.text import clean

PANELS = ("settings", "difference", "plan", "file")
_PHASE_NAME = re.compile(r"phases\..+\.name")
"""Said by the keys of everything else in the phase."""
KEY_WIDTH = 34
ORIGIN_WIDTH = 16


@dataclass(frozen=True)
class Plan:
    """What a run would cost, why that is not known, or that it is being found out."""

    document: dict[str, Any] | None = None
    problem: str = ""
    state: str = "press l to plan: one step is timed, which takes some seconds"


class RecipePanel(Vertical):
    """Tabs in one line, a table, and a line for what the table cannot say."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.name_of = "settings"
        self.rows: list[Sequence[Cell]] = []
        self._entry: Entry | None = None
        self._marked: Entry | None = None
        self._resolved = Resolved()
        self._plan = Plan()
        self._words: list[str] = []
        self._with_defaults = True
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="recipes-tabs", markup=False)
        yield VirtualTable(id="recipes-table")
        yield Static("", id="recipes-note", markup=False)

    @property
    def table(self) -> VirtualTable:
        return self.query_one(VirtualTable)

    @property
    def line(self) -> str | None:
        """The row under the cursor as text: of settings, what a recipe's file would say."""
        if not self.rows:
            return None
        cells = self.table.row_cells(self.table.cursor)
        return f"{cells[0]} = {cells[1]}" if self.name_of == "settings" else "  ".join(cells)

    def export(self) -> Rows:
        """The rows as they are shown."""
        titles = [column.title or column.name for column in self.table.columns]
        return titles, [self.table.row_cells(index) for index in range(len(self.rows))]

    # What is shown

    def show(self, entry: Entry, resolved: Resolved, marked: Entry | None, plan: Plan) -> None:
        """Another entry, or other settings of it."""
        is_other = self._entry is None or entry.path != self._entry.path
        self._entry, self._resolved, self._marked, self._plan = entry, resolved, marked, plan
        self._refresh(top=is_other)

    def show_plan(self, plan: Plan) -> None:
        """The plan has come."""
        self._plan = plan
        self._refresh()

    def open(self, name: str) -> None:
        """Show another table."""
        self.name_of = name
        self._refresh(top=True)

    def filter(self, words: list[str]) -> None:
        """Show only the rows that have all words."""
        self._words = words
        self._refresh(top=True)

    def toggle_defaults(self) -> None:
        """Hide what nobody has written down, or show it again."""
        self._with_defaults = not self._with_defaults
        self._refresh(top=True)

    def fit(self) -> None:
        """Columns depend on the width."""
        self._refresh()

    def _refresh(self, *, top: bool = False) -> None:
        show: dict[str, Callable[[], tuple[Sequence[Column], list[list[Cell]], str]]] = {
            "settings": self._settings,
            "difference": self._difference,
            "plan": self._plan_table,
            "file": self._file,
        }
        columns, rows, note = show[self.name_of]()
        self.rows = [row for row in rows if self._matches(row)]
        table = self.table
        table.set_columns(columns)
        table.empty = "no line matches the filter" if rows else note.splitlines()[0] if note else "nothing"
        table.set_rows(len(self.rows), lambda index: self.rows[index], cursor=0 if top else None)
        self.query_one("#recipes-tabs", Static).update(self._tabs(), layout=False)
        self._note = note
        self._show_note()

    def on_virtual_table_highlighted(self) -> None:
        """Tell a value in full that its column cuts."""
        self._show_note()

    def _show_note(self) -> None:
        text, style = self._note, "$text-error" if self._has_problem() else "$text-success"
        if not text and self.name_of in ("settings", "difference") and self.table.cursor < len(self.rows):
            cells = self.table.row_cells(self.table.cursor)
            if any(len(cell) > column.width for cell, column in zip(cells, self.table.columns, strict=True)):
                text, style = "  ".join(cells[: 2 if self.name_of == "settings" else 3]), "$text-muted"
        said = self.query_one("#recipes-note", Static)
        said.display = bool(text)
        said.update(Content.styled(clean(text) if style == "$text-muted" else text, style))

    def _has_problem(self) -> bool:
        return bool(self._plan.problem if self.name_of == "plan" else self._resolved.problem)

    def _matches(self, row: Sequence[Cell]) -> bool:
        text = " ".join(cell if isinstance(cell, str) else cell[0] for cell in row).lower()
        return all(word in text for word in self._words)

    def _tabs(self) -> Content:
        parts: list[tuple[str, str]] = []
        for name in PANELS:
            style = "bold $block-cursor-foreground on $secondary" if name == self.name_of else "$text-muted"
            parts.append((f" {name} ", style))
        hidden = "" if self._with_defaults or self.name_of != "settings" else ", defaults hidden"
        return Content.assemble(*parts, (f"  {len(self.rows):,} lines{hidden}", "$text-muted"))

    def _width(self, *taken: int) -> int:
        return max(10, self.table.size.width - 2 - sum(width + VirtualTable.GAP for width in taken) - VirtualTable.GAP)

    def _settings(self) -> tuple[Sequence[Column], list[list[Cell]], str]:
        settings = [each for each in self._resolved.settings if self._with_defaults or each.origin != DEFAULT]
        settings = [each for each in settings if not _PHASE_NAME.fullmatch(each.key)]
        key = min(KEY_WIDTH, max(12, self.table.size.width // 2 - 8))
        columns = [Column("setting", key), Column("value", self._width(key, ORIGIN_WIDTH)), Column("from", ORIGIN_WIDTH)]
        return columns, [_setting_cells(each) for each in settings], self._resolved.problem

    def _difference(self) -> tuple[Sequence[Column], list[list[Cell]], str]:
        entry, marked = self._entry, self._marked
        if entry is None or marked is None:
            return (), [], "mark a recipe with the space bar, then go to another one"
        if entry.kind != marked.kind:
            return (), [], f"{clean(marked.name)} is a {marked.kind}, {clean(entry.name)} a {entry.kind}"
        if entry.path == marked.path:
            return (), [], "this is the marked one: go to another one"
        if entry.problem or marked.problem:
            return (), [], entry.problem or marked.problem
        key = min(KEY_WIDTH, max(12, self.table.size.width // 3))
        half = (self._width(key) - VirtualTable.GAP) // 2
        columns = [Column("setting", key), Column(f"● {marked.name}", half), Column(entry.name, half)]
        rows = [
            [(each.key, "strong"), _side(each.left, "muted"), _side(each.right, "accent")]
            for each in differences(marked.settings, entry.settings)
        ]
        return columns, rows, "" if rows else "no setting differs"

    def _plan_table(self) -> tuple[Sequence[Column], list[list[Cell]], str]:
        plan = self._plan
        if plan.document is None:
            return (), [], plan.problem or plan.state
        return COLUMNS, plan_rows(plan.document), clean(plan_summary(plan.document))

    def _file(self) -> tuple[Sequence[Column], list[list[Cell]], str]:
        text = "" if self._entry is None else self._entry.text
        lines = text.splitlines()
        width = max(self._width(), min(500, max(map(len, lines), default=0)))
        rows: list[list[Cell]] = [[(line, "muted" if line.lstrip().startswith("#") else "")] for line in lines]
        return [Column("", width, key="line")], rows, self._resolved.problem


def _setting_cells(setting: Setting) -> list[Cell]:
    style = {DEFAULT: "muted", OVERRIDE: "warn"}.get(setting.origin, "")
    origin = origin_name(setting.origin)
    return [
        (setting.key, "muted" if style == "muted" else "strong"),
        (inline(setting.value), style),
        (origin, style or ("good" if origin.startswith("profile ") else "accent")),
    ]


def _side(setting: Setting | None, style: str) -> Cell:
    return ("-", "muted") if setting is None else (inline(setting.value), style)
