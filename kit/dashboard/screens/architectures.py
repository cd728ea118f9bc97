"""Screen 4: every architecture of a pool, sorted and filtered at once; one of them drawn; codes to edit, copy and export."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.event_source import Reading
from kit.dashboard.filter_language import HELP, Filter, FilterError, parse_filter
from kit.dashboard.pool_detail import Subject, detail, fit_columns, row_cells
from kit.dashboard.pool_loader import PoolLoader, PoolProgress, PoolRead, Request
from kit.dashboard.pool_rows import PoolRows
from kit.dashboard.run_files import PoolView
from kit.dashboard.screens.base import KitScreen, Rows
from kit.dashboard.text import clean, shown_path
from kit.dashboard.widgets.bars import FilterBar
from kit.dashboard.widgets.table import Cell, VirtualTable
from kit.errors import KitError
from kit.search_space import Architecture

EXPORTED = ("name", "code", "acc", "true", "error", "macs", "params", "depth", "stem", "cell", "front")
MANY = 20
"""Exports of more sub-networks than this are asked about first: each is calibrated and scored anew."""
LOW = 34
"""Rows of the detail pane below which stages are drawn in one line each."""


class ArchitecturesScreen(KitScreen):
    """The table has all rows in numpy arrays; what is shown is an array of row numbers."""

    NAME = "architectures"
    FILTER_HELP = HELP
    AUTO_FOCUS = "VirtualTable"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("architectures")]

    def __init__(self) -> None:
        super().__init__()
        self._loader = PoolLoader(self)
        self._pool: Path | None = None
        self._view = PoolView()
        self._progress = ""
        self._shown: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._sort: tuple[str, bool] | None = None
        self._orders: dict[tuple[str, bool], NDArray[np.int64]] = {}
        self._filter: Filter | None = None
        self._filter_error: FilterError | None = None
        self._front_only = False
        self._marked: set[str] = set()
        self._edited: Architecture | None = None
        self._detail_height = -1
        self._awaited: str | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="pool-body"):
            yield VirtualTable(id="pool-table")
            with VerticalScroll(id="pool-detail"):
                yield Static("", markup=False)
        yield Static("", id="pool-line", markup=False)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#pool-table", VirtualTable)

    @property
    def is_settled(self) -> bool:
        return not self._loader.is_busy

    @property
    def rows(self) -> PoolRows | None:
        return self._view.rows

    @property
    def row(self) -> int | None:
        """The pool's number of the row under the cursor."""
        cursor = self.table.cursor
        return int(self._shown[cursor]) if cursor < len(self._shown) else None

    # Reading

    def refresh_content(self, reading: Reading) -> None:
        app = self.dashboard
        scoring = reading.state.evaluation
        news = None if scoring is None or not reading.state.complete else (scoring.done, scoring.finished)
        request = Request(app.run_directory, self._pool or app.options.pool)
        if request.run is None and request.pool is None:
            self._show_nothing()
            return
        if request != self._loader.request:
            self._view, self._marked, self._edited, self._progress = PoolView(), set(), None, "reading"
            self._show()
        self._loader.want(request, news)

    def on_pool_progress(self, message: PoolProgress) -> None:
        """Say how far reading is."""
        done = f" {message.fraction:.0%}" if message.fraction else ""
        self._progress = f"{message.text}{done}"
        self._show_line()

    def on_pool_read(self, message: PoolRead) -> None:
        """Show what was read; the cursor stays on its architecture."""
        if not self._loader.done(message.request):
            return
        first = self._view.rows is None
        code = self._current_code()
        self._view, self._progress, self._orders = message.view, "", {}
        rows = self._view.rows
        if first and self._sort is None and rows is not None and rows.has_scores:
            self._sort = ("acc", True)
        self._show(keep=code)
        self._take_awaited()

    # What is shown

    def _show(self, keep: str | None = None) -> None:
        """Pick and order the rows; the cursor goes to `keep` if it is still there."""
        self._shown = self._picked()
        rows, table = self.rows, self.table
        table.sorted_by = self._sort
        table.is_marked = self._is_marked
        table.empty = self._nothing()
        self._fit_columns()
        cursor = 0
        if keep is not None and rows is not None and keep in rows.index:
            places = np.flatnonzero(self._shown == rows.index[keep])
            cursor = int(places[0]) if len(places) else 0
        table.set_rows(len(self._shown), self._cells, cursor=cursor)
        self._show_line()
        self._show_detail()

    def _picked(self) -> NDArray[np.int64]:
        rows = self.rows
        if rows is None:
            return np.empty(0, dtype=np.int64)
        if self._sort is None:
            order = np.arange(len(rows))
        else:
            if self._sort not in self._orders:
                self._orders[self._sort] = rows.order(self._sort[0], down=self._sort[1])
            order = self._orders[self._sort]
        mask = np.ones(len(rows), dtype=np.bool_) if self._filter is None else self._filter.mask(rows)
        if self._front_only:
            mask = mask & rows.front
        return order[mask[order]]

    def _cells(self, index: int) -> list[Cell]:
        rows = self.rows
        assert rows is not None
        return row_cells(rows, int(self._shown[index]), self.table.columns)

    def _is_marked(self, index: int) -> bool:
        rows = self.rows
        return bool(self._marked) and rows is not None and rows.codes[int(self._shown[index])] in self._marked

    def _fit_columns(self) -> None:
        self.table.set_columns(fit_columns(self.table.size.width or self.size.width, self.rows))

    def on_resize(self) -> None:
        """Columns and the drawing depend on the size."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        if self.is_mounted:
            self._fit_columns()
            self._show_line()
            self._show_detail()

    def _show_nothing(self) -> None:
        self.table.empty = "no run, no pool: press 1 for the list of runs, or p to open a pool file"
        self.table.refresh()
        self._show_line()

    def _nothing(self) -> str:
        if self._view.error is not None:
            return "this pool cannot be shown: the line below says why"
        if self.rows is not None:
            return "no architecture matches; Escape drops the filter" + (", f shows all again" if self._front_only else "")
        if self._progress:
            return "reading the pool"
        return "this run has no pool (yet): press p to open a pool file"

    def _show_line(self) -> None:
        line = self.query_one("#pool-line", Static)
        line.update(self._line(), layout=False)

    def _line(self) -> Content:
        error, rows = self._view.error, self.rows
        if self._filter_error is not None:
            value = self.query_one(FilterBar).value
            at = self._filter_error.position - 1
            place = [(clean(value[at : at + 12]) or "(end)", "bold $text-error underline")]
            return Content.assemble((f" {clean(str(self._filter_error))} ", "$text-error"), *place)
        if error is not None:
            hint = f" ({clean(error.hint)})" if error.hint else ""
            return Content.assemble((f" {clean(str(error))}", "$text-error"), (hint, "$text-muted"))
        if self._progress or rows is None:
            return Content.styled(f" {clean(self._progress)}…" if self._progress else "", "$text-muted")
        return Content.styled(" " + "  ·  ".join(self._facts(rows)), "$text-muted")

    def _facts(self, rows: PoolRows) -> list[str]:
        shown = len(self._shown)
        facts = [f"{shown:,} of {len(rows):,}" if shown < len(rows) else f"{len(rows):,} architectures"]
        if self._marked:
            facts.append(f"{len(self._marked):,} marked")
        scores = self._view.scores
        if not rows.has_scores:
            facts.append("no accuracies yet")
        elif not scores.complete and scores.accuracies:
            facts.append(f"{len(scores.accuracies):,} scored so far")
        if rows.has_scores:
            facts.append(f"◆ {int(rows.front.sum())} on the Pareto front" + (" (only these)" if self._front_only else ""))
        profile = self._view.profile
        if profile is not None:
            facts.append(f"costs on {clean(profile.name)}, {profile.resolution} x {profile.resolution}")
        pool = None if self._loader.request is None else self._loader.request.pool
        if pool is not None:
            facts.append(clean(pool.name))
        return facts

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
        pane = self.query_one("#pool-detail", VerticalScroll)
        if not pane.display:
            return
        subject, profile = self.subject, self._view.profile
        content = Content("")
        if subject is not None and profile is not None:
            width = max(20, pane.size.width - 3)
            content = detail(subject, self.rows, profile, width, compact=0 < pane.size.height < LOW)
        height = content.plain.count("\n")
        self.query_one("#pool-detail Static", Static).update(content, layout=height != self._detail_height)
        self._detail_height = height

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
        """Show or hide the drawing."""
        body = self.query_one("#pool-body")
        pane = self.query_one("#pool-detail", VerticalScroll)
        was_shown = bool(pane.display)
        body.set_class(not was_shown, "-detail")
        body.set_class(was_shown, "-no-detail")
        self._detail_height = -1
        self.call_after_refresh(self._arrive)

    def _arrive(self) -> None:
        if self.is_mounted:
            self.set_focus(self.table if self.table.display else self.query_one("#pool-detail"))
            self._fit()

    # Sorting and filtering

    def on_virtual_table_header_selected(self, message: VirtualTable.HeaderSelected) -> None:
        """Sort by a column; again: the other way round."""
        self._sort_by(message.column.name)

    def _sort_by(self, name: str) -> None:
        # Large accuracies are what one looks for, small costs too.
        down = name in ("acc", "true", "error") if self._sort is None or self._sort[0] != name else not self._sort[1]
        self._sort = (name, down)
        self._show(keep=self._current_code())

    def action_sort(self) -> None:
        """Sort by the next column in sight; after the last one in the pool's order."""
        names = [column.name for column in self.table.columns]
        at = names.index(self._sort[0]) if self._sort is not None and self._sort[0] in names else -1
        if at + 1 < len(names):
            self._sort = None
            self._sort_by(names[at + 1])
        else:
            self._sort = None
            self._show(keep=self._current_code())

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self._sort is not None:
            self._sort_by(self._sort[0])

    def apply_filter(self, text: str) -> None:
        try:
            parsed = parse_filter(text)
        except FilterError as error:
            # Half a filter is the usual case while typing: rows stay as they are, the line says what is missing.
            self._filter_error = error
            self._show_line()
            return
        self._filter_error = None
        if parsed != self._filter:
            self._filter = parsed
            self._show(keep=self._current_code())
        else:
            self._show_line()

    def action_front(self) -> None:
        """Show the Pareto front only, or all again."""
        rows = self.rows
        if rows is not None and not rows.has_scores:
            self.dashboard.say("without accuracies there is no Pareto front yet", severity="warning")
            return
        self._front_only = not self._front_only
        self._show(keep=self._current_code())

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
        """Mark the architecture under the cursor, or take the mark off."""
        code = self._current_code()
        if code is not None:
            self._marked ^= {code}
            self.table.refresh()
            self.table.action_cursor("down")
            self._show_line()

    def action_unmark(self) -> None:
        """Take all marks off."""
        self._marked.clear()
        self.table.refresh()
        self._show_line()

    def action_edit(self) -> None:
        """Write a code; it is checked while it is typed."""
        from kit.dashboard.screens.code_editor import CodeEditor

        profile = self._view.profile
        if profile is None:
            self.dashboard.say("nothing says yet what digits mean: choose a run or a pool first", severity="warning")
            return
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
        if rows.index[code] not in self._shown:
            self._front_only = False
            self.query_one(FilterBar).close()
            self._filter, self._filter_error = None, None
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
        self.dashboard.ask(
            "Pool file to show",
            self._open_pool,
            value="run" if self._pool is not None else "",
            detail="a challenge JSON (.json or .json.gz); 'run' goes back to the run's own pool",
            check=lambda text: "" if text == "run" or Path(text).expanduser().is_file() else "there is no such file",
        )

    def _open_pool(self, answer: str) -> None:
        self._pool = None if answer == "run" else Path(answer).expanduser().absolute()
        self._sort = None
        self.refresh_content(self.dashboard.reading)

    # Copy and export

    def copy_text(self) -> str | None:
        return "\n".join(self.chosen_codes()) or None

    def export_rows(self) -> Rows | None:
        rows = self.rows
        if rows is None:
            return None
        columns = [rows.texts(name) if name in ("name", "code") else rows.numbers(name).tolist() for name in EXPORTED]
        table = [tuple(_plain(column[index]) for column in columns) for index in self._shown.tolist()]
        return EXPORTED, table

    def action_onnx(self) -> None:
        """Export the chosen sub-networks as ONNX: a process of its own calibrates and checks them."""
        run, codes = self.dashboard.run_directory, self.chosen_codes()
        try:
            if run is None or not codes:
                raise KitError("there is nothing to export yet", hint="choose a run, then an architecture")
            if not run.weights_manifest.exists():
                raise KitError(
                    f"run {run.id} has no final weights yet", hint="an export needs a finished run: press 2 to see it"
                )
        except KitError as error:
            self.dashboard.report(error)
            return
        count = f"{len(codes):,} sub-networks" if len(codes) > 1 else "this sub-network"
        self.dashboard.ask(
            f"Export {count} as ONNX to",
            lambda answer: self._export_onnx(codes, answer),
            value=str(Path("onnx") / run.id),
            detail="a folder; each one is calibrated, scored again and compared in ONNX Runtime, which takes its time"
            if len(codes) <= MANY
            else f"a folder; {len(codes):,} sub-networks are calibrated and scored again one by one: this takes long",
            check=lambda text: "this is a file" if Path(text).expanduser().is_file() else "",
        )

    def _export_onnx(self, codes: list[str], answer: str) -> None:
        run = self.dashboard.run_directory
        if run is None:
            return
        out = Path(answer).expanduser().absolute()
        chosen = [part for code in codes for part in ("--code", code)]
        folder = ["--runs", str(self.dashboard.runs_folder)]
        label = f"ONNX export of {len(codes)} to {shown_path(out)}"
        self.dashboard.start_kit(label, "export", "onnx", str(run.path), *chosen, "--out", str(out), *folder)


def _plain(value: object) -> object:
    """`nan` is not JSON, and whole numbers need no decimals."""
    if not isinstance(value, float):
        return value
    if value != value:
        return None
    return int(value) if value.is_integer() and abs(value) >= 2 else value
