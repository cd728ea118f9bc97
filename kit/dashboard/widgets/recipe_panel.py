"""One of four tables about a recipe: its settings, how it differs from another one, the plan of a run, its file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from kit.dashboard.widgets.parts import Part
from kit.dashboard.widgets.plan_table import PLAN_COLUMNS, plan_rows, plan_summary
from kit.dashboard.widgets.table import REST, Cell, Column, Rows, VirtualTable, text_column
from kit.recipe import Setting, differences
from kit.recipe.origins import DEFAULT, OVERRIDE
from kit.recipe.writing import inline
from kit.watch.recipe_shelf import Entry, Resolved, origin_name
from kit.watch.text import clean

TABLES = ("settings", "difference", "plan", "file")
_PHASE_NAME = re.compile(r"phases\..+\.name")
"""Said by the keys of everything else in the phase."""
SETTING_COLUMNS = (Column("setting", 34, least=12), Column("value", REST, least=10), Column("from", 16))
Table = list[list[Cell]]
Lines = VirtualTable[list[Cell]]


@dataclass(frozen=True)
class Plan:
    """What a run would cost, why that is not known, or that it is being found out."""

    document: dict[str, Any] | None = None
    problem: str = ""
    state: str = "press l to plan: one step is timed, which takes some seconds"


class RecipePanel(Vertical):
    """Tabs in one line, the table of the current one, and a line for what the table cannot say."""

    _entry: Entry | None = None
    _marked: Entry | None = None
    _resolved = Resolved()
    _plan = Plan()
    _words: Sequence[str] = ()
    _with_defaults = True
    _note = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="recipes-tabs", markup=False)
        with ContentSwitcher(initial="settings"):
            yield VirtualTable(SETTING_COLUMNS, id="settings")
            yield VirtualTable(id="difference")
            yield VirtualTable(PLAN_COLUMNS, id="plan")
            yield VirtualTable(id="file")
        yield Static("", id="recipes-note", markup=False)

    @property
    def current(self) -> str:
        """The name of the table that is shown."""
        return str(self.query_one(ContentSwitcher).current)

    @property
    def table(self) -> Lines:
        return self.query_one(f"#{self.current}", VirtualTable)

    @property
    def line(self) -> str | None:
        """The row under the cursor as text: of settings, what a recipe's file would say."""
        if not self.table.count:
            return None
        cells = self.table.row_cells(self.table.cursor)
        return f"{cells[0]} = {cells[1]}" if self.current == "settings" else "  ".join(cells)

    def export(self) -> Rows:
        """The rows as they are shown."""
        table = self.table
        titles = [column.title or column.name for _, column in table.shown]
        return titles, [table.row_cells(index) for index in range(table.count)]

    # What is shown

    def show(self, entry: Entry, resolved: Resolved, marked: Entry | None, plan: Plan) -> None:
        """Another entry, or other settings of it."""
        is_other = self._entry is None or entry.path != self._entry.path
        self._entry, self._resolved, self._marked, self._plan = entry, resolved, marked, plan
        self._show(top=is_other)

    def show_plan(self, plan: Plan) -> None:
        """The plan has come."""
        self._plan = plan
        self._show()

    def open(self, name: str) -> None:
        """Show another table."""
        self.query_one(ContentSwitcher).current = name
        self._show(top=True)

    def filter(self, words: Sequence[str]) -> None:
        """Show only the rows that have all words."""
        self._words = words
        self._show(top=True)

    def toggle_defaults(self) -> None:
        """Hide what nobody has written down, or show it again."""
        self._with_defaults = not self._with_defaults
        self._show(top=True)

    def _show(self, *, top: bool = False) -> None:
        table = self.table
        fill = {"settings": self._settings, "difference": self._difference, "plan": self._rows_of_plan, "file": self._file}
        all_rows, self._note = fill[self.current](table)
        rows = [row for row in all_rows if self._matches(row)]
        note = self._note.splitlines()[0] if self._note else "nothing"
        table.empty = "no line matches the filter" if all_rows else note
        table.set_rows(rows, list, cursor=0 if top else None)
        self.query_one("#recipes-tabs", Static).update(self._tabs(), layout=False)
        self._show_note()

    def on_virtual_table_highlighted(self) -> None:
        """Tell a value in full that its column cuts."""
        self._show_note()

    def _show_note(self) -> None:
        table, name = self.table, self.current
        problem = self._plan.problem if name == "plan" else self._resolved.problem
        text, style = self._note, "$text-error" if problem else "$text-success"
        if not text and name in ("settings", "difference") and table.count:
            cells = table.row_cells(table.cursor)
            if any(len(cell) > column.width for cell, (_, column) in zip(cells, table.shown, strict=True)):
                text, style = clean("  ".join(cells[: 2 if name == "settings" else 3])), "$text-muted"
        said = self.query_one("#recipes-note", Static)
        said.display = bool(text)
        said.update(Content.styled(text, style))

    def _matches(self, row: Sequence[Cell]) -> bool:
        text = " ".join(cell if isinstance(cell, str) else cell[0] for cell in row).lower()
        return all(word in text for word in self._words)

    def _tabs(self) -> Content:
        parts: list[Part] = []
        for name in TABLES:
            style = "bold $block-cursor-foreground on $secondary" if name == self.current else "$text-muted"
            parts.append((f" {name} ", style))
        hidden = "" if self._with_defaults or self.current != "settings" else ", defaults hidden"
        return Content.assemble(*parts, (f"  {self.table.count:,} lines{hidden}", "$text-muted"))

    # Rows of a table, and what they cannot say

    def _settings(self, _: Lines) -> tuple[Table, str]:
        settings = [each for each in self._resolved.settings if self._with_defaults or each.origin != DEFAULT]
        settings = [each for each in settings if not _PHASE_NAME.fullmatch(each.key)]
        return [_setting_cells(each) for each in settings], self._resolved.problem

    def _difference(self, table: Lines) -> tuple[Table, str]:
        entry, marked = self._entry, self._marked
        table.set_columns(())
        if entry is None or marked is None:
            return [], "mark a recipe with the space bar, then go to another one"
        if entry.kind != marked.kind:
            return [], f"{clean(marked.name)} is a {marked.kind}, {clean(entry.name)} a {entry.kind}"
        if entry.path == marked.path:
            return [], "this is the marked one: go to another one"
        if entry.problem or marked.problem:
            return [], entry.problem or marked.problem
        sides = (Column(f"● {marked.name}", REST, least=8, key="left"), Column(entry.name, REST, least=8, key="right"))
        table.set_columns((SETTING_COLUMNS[0], *sides))
        rows: Table = [
            [(each.key, "strong"), _side(each.left, "muted"), _side(each.right, "accent")]
            for each in differences(marked.settings, entry.settings)
        ]
        return rows, "" if rows else "no setting differs"

    def _rows_of_plan(self, _: Lines) -> tuple[Table, str]:
        plan = self._plan
        if plan.document is None:
            return [], plan.problem or plan.state
        return plan_rows(plan.document), clean(plan_summary(plan.document))

    def _file(self, table: Lines) -> tuple[Table, str]:
        lines = "" if self._entry is None else self._entry.text
        rows: Table = [[(line, "muted" if line.lstrip().startswith("#") else "")] for line in lines.splitlines()]
        table.set_columns([text_column(lines.splitlines())])
        return rows, self._resolved.problem


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
