"""What checking an archive found, a line each, and the one under the cursor in full; its ONNX files."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from kit.dashboard.plan_table import scientific
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.submission.archives import ArchiveFile, Check, Export
from kit.watch.text import clean, number, size

MARKS = {"pass": ("✓ pass", "good"), "fail": ("✗ fail", "bad"), "warning": ("! warn", "warn")}
STYLES = {"pass": "$text-success", "fail": "bold $text-error", "warning": "$text-warning", "": "$text-muted"}
LEAST = 12
"""Cells that the last column needs to be worth showing."""


def mark_of(kind: str) -> str:
    """One character for a kind of finding."""
    return MARKS[kind][0][0] if kind else "…"


def last_column(title: str, named: Sequence[Column], width: int, least: int = LEAST) -> list[Column]:
    """Columns, and one that takes the rest of the width if that is worth it."""
    rest = width - 2 - sum(column.width + VirtualTable.GAP for column in named) - VirtualTable.GAP
    return [*named, Column(title, rest)] if rest >= least else [*named]


class ArchivesTable(VirtualTable):
    """The archives of a run, each with its verdict; hidden while there is no choice."""

    def show(self, archives: Sequence[ArchiveFile], kinds: Sequence[str], current: ArchiveFile | None) -> None:
        """Show these archives; `kinds` are those of `verdict`, empty before the first check."""
        self.display = len(archives) > 1
        self.styles.height = min(6, len(archives) + 1)
        self.set_columns((Column("archive", 34), Column("size", 9, right=True)))
        rows: list[list[Cell]] = [
            [(f"{mark_of(kind)} {archive.path.name}", MARKS[kind][1] if kind else ""), size(archive.size)]
            for archive, kind in zip(archives, kinds, strict=True)
        ]
        self.set_rows(len(rows), lambda index: rows[index], cursor=None if current is None else archives.index(current))


class ChecksPanel(Vertical):
    """The table is the screen's main widget."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.checks: tuple[Check, ...] = ()

    def compose(self) -> ComposeResult:
        yield VirtualTable(id="submission-checks")
        yield Static("", id="submission-finding", markup=False)

    @property
    def table(self) -> VirtualTable:
        return self.query_one(VirtualTable)

    @property
    def current(self) -> Check | None:
        """The finding under the cursor."""
        cursor = self.table.cursor
        return self.checks[cursor] if cursor < len(self.checks) else None

    def show(self, checks: tuple[Check, ...], empty: str) -> None:
        """Show these findings, or why there are none."""
        self.checks = checks
        table, width = self.table, self.table.size.width
        named = [Column("", 6 if width >= 50 else 1, key="kind"), Column("check", 19)]
        named += [Column("file", 26)] if width >= 100 else []
        table.set_columns(last_column("finding", named, width))
        table.empty = empty
        table.set_rows(len(checks), lambda index: self._cells(self.checks[index]))
        self.show_finding()

    def _cells(self, check: Check) -> list[Cell]:
        text, style = MARKS[check.kind]
        values: dict[str, Cell] = {
            "kind": (text if self.table.columns[0].width > 1 else text[0], style),
            "check": (check.id, "strong" if check.kind != "pass" else ""),
            "file": (check.file, "muted"),
            "finding": check.message,
        }
        return [values[column.name] for column in self.table.columns]

    def show_finding(self) -> None:
        """Tell the finding under the cursor in full, with what to do about it."""
        check, content = self.current, Content("")
        if check is not None:
            head = [(f"{clean(check.id)}  ", "bold"), (MARKS[check.kind][0], STYLES[check.kind])]
            fix = [("\nfix: ", "$text-accent"), (clean(check.fix), "")] if check.kind != "pass" else []
            content = Content.assemble(*head, ("  " + clean(check.file), "$text-muted"), f"\n{clean(check.message)}", *fix)
        self.query_one(Static).update(content, layout=False)


class ExportsTable(VirtualTable):
    """The ONNX files of an archive."""

    def show(self, exports: Sequence[Export]) -> None:
        """Show these files."""
        named = [Column("top-1", 6, right=True), Column("multiply-adds", 13, right=True), Column("size", 9, right=True)]
        named += [Column("parameters", 10, right=True)] if self.size.width >= 100 else []
        self.set_columns(last_column("ONNX file of", [*named, Column("chosen as", 15)], self.size.width, 5))
        self.set_rows(len(exports), lambda index: self._cells(exports[index]))

    def _cells(self, export: Export) -> list[Cell]:
        values: dict[str, Cell] = {
            "top-1": (number(export.accuracy, 4), "strong"),
            "multiply-adds": scientific(export.macs),
            "parameters": scientific(export.params),
            "size": size(export.size),
            "chosen as": export.selections,
            "ONNX file of": export.code,
        }
        return [values[column.name] for column in self.columns]
