"""Screen 2: one run as it goes on."""

import time
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual import getters
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.screens.base import following
from kit.dashboard.screens.run_ladder import RunLadder
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.log_table import LOG_COLUMNS, LogTable, read_line
from kit.dashboard.widgets.parts import PHASE_MARKS, bar
from kit.dashboard.widgets.plot import COLOURS, CurveView, Line, Points
from kit.dashboard.widgets.run_header import phase_strip, run_header
from kit.dashboard.widgets.search_panel import search_panel
from kit.dashboard.widgets.step_panel import step_panel
from kit.dashboard.widgets.table import Cell, Column, Rows, VirtualTable
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.watch.log_reader import Reading
from kit.watch.run_curves import KINDS, Kind, axis_title, phase_curves
from kit.watch.run_files import read_settings
from kit.watch.run_state import EvaluationState, PhaseState, RunState
from kit.watch.search_view import SearchView, read_search
from kit.watch.text import clean, number, percent

BAR = 10
PHASE_COLUMNS = (
    Column("phase", 11),
    Column("", BAR, key="bar"),
    Column("done", 5, right=True),
    Column("loss", 7, right=True),
)
STYLES = {"done": "good", "reused": "good", "running": "accent", "waiting": "muted", "failed": "bad"}
REDRAW = 3.0
"""Seconds between two drawings of a growing curve: nobody sees one point in a thousand, but the battery does."""

PhaseRow = PhaseState | EvaluationState | None
"""A row of the table of phases: a phase, the scoring, or (None) all phases together."""


class RunScreen(RunLadder):
    """Pipeline, curves, the last step, the log; what has no room is one key away."""

    NAME = "run"
    FILTER_HELP = "search the log, or the rows of a ladder"
    AUTO_FOCUS = "#run-log"
    PANELS: ClassVar = {"log": "#run-log", "step": "#run-step"}
    log_table = getters.query_one("#run-log", LogTable)

    def __init__(self) -> None:
        super().__init__()
        self.kind: Kind = "loss"
        self.scope: str | None = None
        self.log_scale = False
        self._settings_of: RunDirectory | None = None
        self._batch_size: int | None = None
        self._found: tuple[RunDirectory, SearchView | None] | None = None
        self._search_news: tuple[RunDirectory | None, int] | None = None
        self._drawn: tuple[object, ...] = ()
        self._drawn_at = 0.0

    def compose_body(self) -> Iterable[Widget]:
        yield Static("", id="run-empty", classes="empty", markup=False)
        with Vertical(id="run-body"):
            yield FittedPane(id="run-header", can_focus=False)
            yield FittedPane(id="run-strip", can_focus=False)
            yield from self.compose_ladder()
            with Horizontal(id="run-middle"):
                yield VirtualTable(PHASE_COLUMNS, id="run-phases", empty="no phase has begun yet")
                with Vertical(id="run-centre", classes="column panel"):
                    yield Static("", id="run-curve-title", markup=False)
                    yield CurveView(id="run-curve", empty="no curve yet")
                    yield LogTable(LOG_COLUMNS, id="run-log", empty="no events yet")
                yield FittedPane(id="run-step", classes="column panel", fills=False)

    def refresh_content(self, reading: Reading) -> None:
        app = self.app
        run = app.run_directory
        self.query_one("#run-body").display = run is not None
        empty = self.query_one("#run-empty", Static)
        empty.display = run is None
        if run is None:
            empty.update("no run to show: press 1 for the list of runs, s there starts one")
            return
        if self._settings_of is None or self._settings_of.path != run.path:
            self._settings_of, self._batch_size, self.scope = run, None, None
            self.in_thread(partial(batch_size, run), partial(self._take_batch_size, run), "settings")
        self.show_ladder(run, reading)
        state, images = reading.state, self._batch_size
        if state.kind == "search" and self.kind == "loss":  # which it has none of
            self.kind = "accuracy"
        self.query_one("#run-header", FittedPane).show(lambda width, _: run_header(reading, width, images))
        self.query_one("#run-strip", FittedPane).show(lambda width, _: phase_strip(state, width))
        self._show_step(reading)
        self._show_phases(state)
        self._show_curve(state)
        if reading.lines is not self.log_table.lines:
            self.log_table.show(reading.lines)

    def _show_step(self, reading: Reading) -> None:
        pane, state = self.query_one("#run-step", FittedPane), reading.state
        if state.kind != "search":
            pane.show(lambda width, _: step_panel(reading, width))
            return
        run = self.app.run_directory
        news = (run, state.passes_done)
        if run is not None and news != self._search_news:
            self._search_news = news
            self.in_thread(partial(read_found, run), partial(self._take_found, run), "search")
        found = self._found if self._found is not None and self._found[0] == run else None
        pane.show(lambda width, _: search_panel(state, found and found[1], width))

    def _take_found(self, run: RunDirectory, view: SearchView | None) -> None:
        self._found = (run, view)
        if run == self.app.run_directory:
            self._show_step(self.app.reading)

    def _take_batch_size(self, run: RunDirectory, size: int | None) -> None:
        """Images a second can be told now."""
        if run == self._settings_of:
            self._batch_size = size
            self.refresh_content(self.app.reading)

    # Phases

    def _show_phases(self, state: RunState) -> None:
        rows: list[PhaseRow] = [None, *state.phases] if state.phases else []
        rows += [state.evaluation] if rows and state.evaluation is not None else []
        names = [None, *(phase.name for phase in state.phases)]
        cursor = names.index(self.scope) if self.scope in names else 0
        self.query_one("#run-phases", VirtualTable).set_rows(rows, partial(_row_cells, state), cursor=cursor)

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """The phase under the cursor is the one that is drawn."""
        if message.table.id != "run-phases" or not message.table.has_focus:
            return
        row: PhaseRow = message.table.items[message.row]
        if isinstance(row, EvaluationState):
            self.kind, self.scope = "accuracy", None
        else:
            scope = None if row is None else row.name
            if scope == self.scope and self.kind != "accuracy":
                return
            self.kind, self.scope = "loss" if self.kind == "accuracy" else self.kind, scope
        self._show_curve(self.app.reading.state)

    # Curves

    def _show_curve(self, state: RunState) -> None:
        what = (self.app.run_directory, self.kind, self.scope, self.log_scale, state.complete, state.outcome)
        now = time.monotonic()
        if what == self._drawn and now - self._drawn_at < REDRAW:
            return
        self._drawn, self._drawn_at = what, now
        curves = phase_curves(state, self.kind, self.scope)
        named = len(curves) > 1 and self.kind in ("held-out loss", "accuracy")
        colours = len(COLOURS) if named else 2
        lines: list[Line | Points] = [
            Line(part.name if named else "", part.curve, COLOURS[index % colours]) for index, part in enumerate(curves)
        ]
        if self.kind == "accuracy" and state.evaluation is not None:
            lines = [Points("", part.curve, marker="•") for part in curves]
        self.query_one("#run-curve", CurveView).show(lines, log=self.log_scale)
        of_all = self.kind in ("accuracy", "held-out loss")
        scope = f" of {clean(self.scope)}" if self.scope is not None and not of_all else ""
        scale = ", logarithmic" if self.log_scale else ""
        over = f" over {axis_title(self.kind, self.scope)}"
        self.query_one("#run-curve-title", Static).update(clean(f"{self.kind}{scope}{over}{scale}"), layout=False)

    def action_next_curve(self) -> None:
        """Loss, learning rate, held-out loss, accuracy."""
        self.kind = following(KINDS, self.kind)
        self._show_curve(self.app.reading.state)

    def action_log_scale(self) -> None:
        self.log_scale = not self.log_scale
        self._show_curve(self.app.reading.state)

    def action_next_phase(self) -> None:
        """Draw the next phase that has a curve, after the last all of them."""
        state = self.app.reading.state
        names = [None, *(phase.name for phase in state.phases if len(phase.losses))]
        self.scope = following(names, self.scope if self.scope in names else None)
        if self.kind == "accuracy":
            self.kind = "loss"
        self._show_phases(state)
        self._show_curve(state)

    # Log

    def apply_filter(self, text: str) -> None:
        self.log_table.show(self.app.reading.lines, text)
        self.words = text.lower().split()
        self.panel_of_ladder.filter(self.has_words)

    def action_follow(self) -> None:
        self.log_table.follows = True
        self.log_table.show(self.app.reading.lines)

    def copy_text(self) -> str | None:
        """The line of the log under the cursor, the row of a ladder, or the codes of the last step."""
        if self.log_table.has_focus:
            line = self.log_table.current
            return None if line is None else line.decode("utf-8", "replace")
        return self.ladder_text() if self.is_ladder else "\n".join(self.app.reading.state.codes) or None

    def export_rows(self) -> Rows | None:
        """The curve that is drawn, the rows of a ladder; of the log while it has the keyboard and a search."""
        log = self.log_table
        if log.has_focus and log.query_text:
            return ("time", "event"), [read_line(line)[:2] for line in log.items]
        if self.is_ladder:
            return self.ladder_rows()
        curves = phase_curves(self.app.reading.state, self.kind, self.scope)
        x, y = axis_title(self.kind, self.scope), self.kind
        rows = [(part.name, a, b) for part in curves for a, b in zip(part.curve.x, part.curve.y, strict=True)]
        return ("phase", x, y), rows

    # The run

    def commanded(self) -> tuple[RunDirectory, str, int | None] | None:
        run, reading = self.app.run_directory, self.app.reading
        return None if run is None else (run, reading.status, reading.state.pid)


def _row_cells(state: RunState, row: PhaseRow) -> list[Cell]:
    if row is None:
        return _phase_cells("all phases", "strong", "good", state.fraction, number(state.loss))
    if isinstance(row, EvaluationState):
        best = number(row.best[1], 4) if row.best is not None else "-"
        mark, style = ("✓", "good") if row.finished else ("▶", "accent")
        return _phase_cells(f"{mark} scoring", style, style, row.fraction, best)
    style = STYLES[row.status]
    last = row.loss if row.loss is not None else row.losses.y[-1] if len(row.losses) else None
    return _phase_cells(f"{PHASE_MARKS[row.status]} {row.name}", style, style, row.fraction, number(last))


def _phase_cells(name: str, name_style: str, style: str, fraction: float | None, figure: str) -> list[Cell]:
    return [(name, name_style), ("".join(bar(fraction, BAR)), style), percent(fraction), figure]


def read_found(run: RunDirectory) -> SearchView | None:
    """What a search found so far; None where its files do not tell."""
    try:
        return read_search(run)
    except KitError:
        return None


def batch_size(run: RunDirectory) -> int | None:
    """Images of a step; None when the run's settings do not tell."""
    try:
        return read_settings(run).profile.training.batch_size
    except KitError:
        return None
