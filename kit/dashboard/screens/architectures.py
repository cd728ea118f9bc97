"""Screen 4: every architecture of a pool, sorted and filtered at once; one of them drawn; codes to edit, copy and export."""

from collections.abc import Iterable
from pathlib import Path

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.host import NotYetError
from kit.dashboard.screens.base import check_file
from kit.dashboard.screens.onnx_export import ask_to_export
from kit.dashboard.screens.pool_screen import PoolScreen
from kit.dashboard.widgets.bars import FilterBar
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.parts import muted
from kit.dashboard.widgets.pool_detail import EXPORTED, Subject, detail, exported, facts, pool_columns, row_cells
from kit.dashboard.widgets.table import Cell, Rows, VirtualTable
from kit.files import user_path
from kit.search_space import Architecture
from kit.watch.filter_language import Filter
from kit.watch.log_reader import Reading
from kit.watch.pool_rows import PoolRows
from kit.watch.pool_selection import PoolSelection
from kit.watch.run_files import PoolReader, PoolView
from kit.watch.text import clean

LOW = 34
"""Rows of the detail pane below which stages are drawn in one line each."""


class ArchitecturesScreen(PoolScreen):
    """The table has all rows in numpy arrays; what is shown is an array of row numbers."""

    NAME = "architectures"
    AUTO_FOCUS = "VirtualTable"

    def __init__(self) -> None:
        super().__init__()
        self._pool: Path | None = None
        self._view = PoolView()
        self._selection = PoolSelection()
        self._marked: set[str] = set()
        self._edited: Architecture | None = None
        self._awaited: str | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="pool-body"):
            yield VirtualTable(id="pool-table")
            yield FittedPane(id="pool-detail")
        yield Static("", id="pool-line", markup=False)

    @property
    def table(self) -> VirtualTable[int]:
        return self.query_one("#pool-table", VirtualTable)

    @property
    def rows(self) -> PoolRows | None:
        return self._view.rows

    @property
    def row(self) -> int | None:
        """The pool's number of the row under the cursor."""
        return self.table.current

    # Reading

    def refresh_content(self, reading: Reading) -> None:
        app = self.app
        scoring = reading.state.evaluation
        news = None if scoring is None or not reading.state.complete else (scoring.done, scoring.finished)
        reader = PoolReader(app.run_directory, self._pool or app.options.pool, latency=app.options.latency)
        if reader.run is None and reader.pool is None:
            self._show_nothing()
            return
        if reader != self.reader:
            self._view, self._marked, self._edited, self.progress = PoolView(), set(), None, "reading"
            self._selection.use(None)
            self._show()
        self.want(reader, news)

    def take_pool(self, view: PoolView) -> None:
        """Show what was read; the cursor stays on its architecture."""
        had_scores = self.rows is not None and self.rows.has_scores
        code = self._current_code()
        self._view = view
        rows, selection = view.rows, self._selection
        if not had_scores and selection.sort is None and rows is not None and rows.has_scores:
            selection.sort = ("acc", True)
        selection.use(rows)
        self._show(keep=code)
        self._take_awaited()

    # What is shown

    def _show(self, keep: str | None = None) -> None:
        """Show the selection; the cursor goes to `keep` if it is in it."""
        selection, table = self._selection, self.table
        table.sorted_by = selection.sort
        table.is_marked = self._is_marked
        table.empty = self._nothing()
        table.set_columns(pool_columns(self.rows))
        table.set_rows(selection.shown.tolist(), self._cells, cursor=selection.place(keep) or 0)
        self.show_progress()
        if not len(selection.shown):  # else the table tells which row is highlighted now
            self._show_detail()

    def _cells(self, row: int) -> list[Cell]:
        assert self.rows is not None
        return row_cells(self.rows, row, self.table.columns, marked=self._is_marked(row))

    def _is_marked(self, row: int) -> bool:
        return self.rows is not None and self.rows.codes[row] in self._marked

    def _show_nothing(self) -> None:
        self.table.empty = "no run, no pool: press 1 for the list of runs, or p to open a pool file"
        self.table.refresh()
        self.show_progress()

    def _nothing(self) -> str:
        if self._view.error is not None:
            return "this pool cannot be shown: the line below says why"
        if self.rows is not None:
            return "no architecture matches; Escape drops the filter" + (
                ", f shows all again" if self._selection.front_only else ""
            )
        if self.progress:
            return "reading the pool"
        return "this run has no pool (yet): press p to open a pool file"

    def show_progress(self) -> None:
        """Say below the table what there is, or what is being done."""
        self.query_one("#pool-line", Static).update(self._line(), layout=False)

    def _line(self) -> Content:
        error, rows = self._view.error, self.rows
        if self.filter_error is not None:
            value = self.query_one(FilterBar).value
            at = self.filter_error.position - 1
            place = [(clean(value[at : at + 12]) or "(end)", "bold $text-error underline")]
            return Content.assemble((f" {clean(str(self.filter_error))} ", "$text-error"), *place)
        if error is not None:
            hint = f" ({clean(error.hint)})" if error.hint else ""
            return Content.assemble((f" {clean(str(error))}", "$text-error"), (hint, "$text-muted"))
        if self.progress or rows is None:
            return muted(f" {clean(self.progress)}…" if self.progress else "")
        pool = None if self.reader is None else self.reader.pool
        parts = facts(self._view, len(self._selection.shown), len(self._marked), pool, front_only=self._selection.front_only)
        return muted(" " + "  ·  ".join(parts))

    # The detail pane

    @property
    def subject(self) -> Subject | None:
        """What the pane is about: the edited code, else the row under the cursor."""
        rows, profile = self.rows, self._view.profile
        if profile is None:
            return None
        if self._edited is not None:
            return Subject(self._edited, None)
        row = self.row
        if rows is None or row is None:
            return None
        return Subject(profile.search_space.parse(rows.codes[row]), row)

    def _show_detail(self) -> None:
        self.query_one("#pool-detail", FittedPane).show(self._drawing)

    def _drawing(self, width: int, height: int) -> Content:
        subject, profile = self.subject, self._view.profile
        if subject is None or profile is None:
            return Content("")
        return detail(subject, self.rows, profile, width, compact=height < LOW)

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """Draw the architecture under the cursor."""
        if self._edited is not None and self.table.has_focus:
            self._edited = None
        self._show_detail()

    def on_virtual_table_selected(self) -> None:
        """Enter shows the drawing where it is not in sight."""
        if not self.query_one("#pool-detail").display:
            self.action_detail()

    def action_detail(self) -> None:
        body = self.query_one("#pool-body")
        pane = self.query_one("#pool-detail", FittedPane)
        was_shown = bool(pane.display)
        body.set_class(not was_shown, "-detail")
        body.set_class(was_shown, "-no-detail")
        self.call_after_refresh(self._look_at_detail)

    def _look_at_detail(self) -> None:
        self.set_focus(self.table if self.table.display else self.query_one("#pool-detail"))
        self._show_detail()

    # Sorting and filtering

    def on_virtual_table_header_selected(self, message: VirtualTable.HeaderSelected) -> None:
        self._sort_by(message.column.name)

    def _sort_by(self, name: str | None) -> None:
        self._selection.sort_by(name)
        self._pick()

    def _pick(self) -> None:
        """Choose the rows anew; the cursor stays on its architecture."""
        code = self._current_code()
        self._selection.pick()
        self._show(keep=code)

    def action_sort(self) -> None:
        """Sort by the next column in sight; after the last one in the pool's order."""
        self._selection.sort = None
        self._sort_by(self.table.next_sort())

    def action_reverse(self) -> None:
        if self._selection.sort is not None:
            self._sort_by(self._selection.sort[0])

    def take_filter(self, parsed: Filter | None) -> None:
        if parsed == self._selection.matching:
            self.show_progress()
        else:
            self._selection.matching = parsed
            self._pick()

    def action_front(self) -> None:
        """Show the Pareto front only, or all again."""
        rows = self.rows
        if rows is not None and not rows.has_scores:
            raise NotYetError("without accuracies there is no Pareto front yet")
        self._selection.front_only = not self._selection.front_only
        self._pick()

    def _current_code(self) -> str | None:
        rows, row = self.rows, self.row
        return rows.codes[row] if rows is not None and row is not None else None

    # Codes

    def chosen_codes(self) -> list[str]:
        """The marked architectures in the pool's order, else the one in the detail pane."""
        rows = self.rows
        if self._marked and rows is not None:
            return sorted(self._marked, key=lambda code: rows.index.get(code, len(rows)))
        subject = self.subject
        return [] if subject is None else [subject.architecture.code]

    def action_mark(self) -> None:
        code = self._current_code()
        if code is not None:
            self._marked ^= {code}
            self.table.refresh()
            self.table.action_cursor("down")
            self.show_progress()

    def action_unmark(self) -> None:
        self._marked.clear()
        self.table.refresh()
        self.show_progress()

    def action_edit(self) -> None:
        """Write a code; it is checked while it is typed."""
        from kit.dashboard.screens.code_editor import CodeEditor

        profile = self._view.profile
        if profile is None:
            raise NotYetError("nothing says yet what digits mean: choose a run or a pool first")
        subject = self.subject
        code = profile.search_space.largest.code if subject is None else subject.architecture.code
        self.app.push_screen(CodeEditor(code, profile, self.rows), self._show_code)

    def _show_code(self, code: str | None) -> None:
        if code is not None:
            self.go_to(code)

    def go_to(self, code: str) -> None:
        """Put the cursor on an architecture, dropping what hides it; one that is not in the pool is only drawn."""
        rows, profile = self.rows, self._view.profile
        if rows is None or profile is None or code not in rows.index:
            self._edited = None if profile is None else profile.search_space.parse(code)
            self._show_detail()
            if not self.query_one("#pool-detail").display:
                self.action_detail()
            return
        self._edited = None
        selection = self._selection
        if selection.place(code) is None:
            self.query_one(FilterBar).close()
            selection.front_only, selection.matching, self.filter_error = False, None, None
            selection.pick()
        self._show(keep=code)

    def await_code(self, code: str) -> None:
        """Go to an architecture as soon as the pool is read."""
        self._awaited = code
        if self.is_settled:
            self._take_awaited()

    def _take_awaited(self) -> None:
        code, self._awaited = self._awaited, None
        if code is not None and self._view.profile is not None:
            self.go_to(code)

    def action_pool(self) -> None:
        """Open a pool file; an empty answer would be no file, so the run's own pool is named `run`."""
        self.app.ask(
            "Pool file to show",
            self._open_pool,
            value="run" if self._pool is not None else "",
            detail="a challenge JSON (.json or .json.gz); 'run' goes back to the run's own pool",
            check=lambda text: "" if text == "run" else check_file(text),
        )

    def _open_pool(self, answer: str) -> None:
        self._pool = None if answer == "run" else user_path(answer).absolute()
        self._selection.sort = None
        self.refresh_content(self.app.reading)

    # Copy and export

    def copy_text(self) -> str | None:
        return "\n".join(self.chosen_codes()) or None

    def export_rows(self) -> Rows | None:
        rows = self.rows
        return None if rows is None else (EXPORTED, exported(rows, self._selection.shown.tolist()))

    def action_onnx(self) -> None:
        """Export the chosen sub-networks as ONNX: a process of its own calibrates and checks them."""
        ask_to_export(self.app, self.chosen_codes())
