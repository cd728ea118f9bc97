"""What checking an archive found, a line each, and the one under the cursor in full; its ONNX files."""

from collections.abc import Sequence

from textual import getters
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from kit.dashboard.widgets.table import REST, Cell, Column, VirtualTable
from kit.submission.archives import ArchiveFile, Check, Export
from kit.watch.text import clean, number, short_number, size

MARKS = {"pass": ("✓ pass", "good"), "fail": ("✗ fail", "bad"), "warning": ("! warn", "warn")}
STYLES = {"pass": "$text-success", "fail": "bold $text-error", "warning": "$text-warning", "": "$text-muted"}
CHECKS = (
    Column("", 6, key="kind", least=1),
    Column("check", 19),
    Column("file", 26, rank=1),
    Column("finding", REST, least=40),
)
EXPORTS = (
    Column("top-1", 6, right=True),
    Column("multiply-adds", 13, right=True),
    Column("size", 9, right=True),
    Column("parameters", 10, right=True, rank=2),
    Column("chosen as", 15),
    Column("ONNX file of", REST, least=5, rank=1),
)


def mark_of(kind: str) -> str:
    """One character for a kind of finding."""
    return MARKS[kind][0][0] if kind else "…"


class ArchivesTable(VirtualTable[list[Cell]]):
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
        self.set_rows(rows, list, cursor=None if current is None else archives.index(current))


class ChecksPanel(Vertical):
    """The table is the screen's main widget."""

    def compose(self) -> ComposeResult:
        yield VirtualTable(CHECKS, id="submission-checks")
        yield Static("", id="submission-finding", markup=False)

    table = getters.query_one(VirtualTable)

    @property
    def current(self) -> Check | None:
        """The finding under the cursor."""
        check: Check | None = self.table.current
        return check

    def show(self, checks: tuple[Check, ...], empty: str) -> None:
        """Show these findings, or why there are none."""
        self.table.empty = empty
        self.table.set_rows(checks, _check_cells)
        self.show_finding()

    def show_finding(self) -> None:
        """Tell the finding under the cursor in full, with what to do about it."""
        check, content = self.current, Content("")
        if check is not None:
            head = [(f"{clean(check.id)}  ", "bold"), (MARKS[check.kind][0], STYLES[check.kind])]
            fix = [("\nfix: ", "$text-accent"), (clean(check.fix), "")] if check.kind != "pass" else []
            content = Content.assemble(*head, ("  " + clean(check.file), "$text-muted"), f"\n{clean(check.message)}", *fix)
        self.query_one(Static).update(content, layout=False)


class ExportsTable(VirtualTable[Export]):
    """The ONNX files of an archive."""

    def show(self, exports: Sequence[Export]) -> None:
        """Show these files."""
        self.set_rows(exports, _export_cells)


def _check_cells(check: Check) -> list[Cell]:
    return [MARKS[check.kind], (check.id, "strong" if check.kind != "pass" else ""), (check.file, "muted"), check.message]


def _export_cells(export: Export) -> list[Cell]:
    costs = [short_number(export.macs), size(export.size), short_number(export.params)]
    return [(number(export.accuracy, 4), "strong"), *costs, export.selections, export.code]
