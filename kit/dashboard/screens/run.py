"""Screen 2: one run as it goes on."""

import time
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.screens.base import KitScreen, Rows
from kit.dashboard.screens.runs import ask_to_stop, bar
from kit.dashboard.widgets.log_table import LogTable, read_line
from kit.dashboard.widgets.plot import CurveView, Line, Points
from kit.dashboard.widgets.run_details import PHASE_MARKS
from kit.dashboard.widgets.run_header import phase_strip, run_header
from kit.dashboard.widgets.step_panel import step_panel
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.errors import KitError
from kit.files import read_json
from kit.run_dir import RunDirectory
from kit.watch.log_reader import Reading
from kit.watch.run_actions import continue_arguments, stop_run
from kit.watch.run_curves import KINDS, Kind, axis_title, phase_curves
from kit.watch.run_state import PhaseState, RunState
from kit.watch.text import clean, number, percent

PHASE_COLUMNS = (
    Column("phase", 11),
    Column("", 10, key="bar"),
    Column("done", 5, right=True),
    Column("loss", 7, right=True),
)
STYLES = {"done": "good", "reused": "good", "running": "accent", "waiting": "muted"}
PANELS = ("log", "step")
REDRAW = 3.0
"""Seconds between two drawings of a growing curve: nobody sees one point in a thousand, but the battery does."""


class RunScreen(KitScreen):
    """Pipeline, curves, the last step, the log; what has no room is one key away."""

    NAME = "run"
    FILTER_HELP = "search the log"
    AUTO_FOCUS = "#run-log"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]

    class SettingsRead(Message):
        """The run's batch size is known."""

        def __init__(self, run: RunDirectory, batch_size: int | None) -> None:
            super().__init__()
            self.run = run
            self.batch_size = batch_size

    def __init__(self) -> None:
        super().__init__()
        self.kind: Kind = "loss"
        self.scope: str | None = None
        self.log_scale = False
        self.panel = "log"
        self._settings_of: RunDirectory | None = None
        self._batch_size: int | None = None
        self._step_height = -1
        self._drawn: tuple[object, ...] = ()
        self._drawn_at = 0.0
        self._phase_rows: list[PhaseState] = []

    def compose_body(self) -> Iterable[Widget]:
        yield Static("", id="run-empty", classes="empty", markup=False)
        with Vertical(id="run-body", classes="-panel-log"):
            yield Static("", id="run-header", markup=False)
            yield Static("", id="run-strip", markup=False)
            with Horizontal(id="run-middle"):
                yield VirtualTable(PHASE_COLUMNS, id="run-phases", empty="no phase has begun yet")
                with Vertical(id="run-centre"):
                    yield Static("", id="run-curve-title", markup=False)
                    yield CurveView(id="run-curve", empty="no curve yet")
                    yield LogTable(id="run-log")
                with VerticalScroll(id="run-step"):
                    yield Static("", markup=False)

    def refresh_content(self, reading: Reading) -> None:
        app = self.dashboard
        run = app.run_directory
        self.query_one("#run-body").display = run is not None
        empty = self.query_one("#run-empty", Static)
        empty.display = run is None
        if run is None:
            empty.update("no run to show: press 1 for the list of runs, s there starts one")
            return
        if self._settings_of is None or self._settings_of.path != run.path:
            self._settings_of, self._batch_size, self.scope = run, None, None
            self.run_worker(partial(self._read_settings, run), thread=True, group="settings")
        state = reading.state
        width = max(10, self.size.width - 2)
        self.query_one("#run-header", Static).update(run_header(reading, width, self._batch_size), layout=False)
        self.query_one("#run-strip", Static).update(phase_strip(state, width), layout=False)
        self._show_phases(state)
        self._show_curve(state)
        step = self.query_one("#run-step")
        if step.display:
            content = step_panel(reading, max(20, step.size.width - 1))
            height = content.plain.count("\n")
            # A new layout of the whole screen is only needed when the panel has more or fewer lines.
            self.query_one("#run-step Static", Static).update(content, layout=height != self._step_height)
            self._step_height = height
        log = self.query_one("#run-log", LogTable)
        if reading.lines is not log.lines:
            log.show(reading.lines)

    def on_resize(self) -> None:
        """The header fits its parts to the width."""
        self.call_after_refresh(self._refresh)

    def _refresh(self) -> None:
        if self.is_mounted:
            self.refresh_content(self.dashboard.reading)

    # Settings

    def _read_settings(self, run: RunDirectory) -> None:
        try:
            training = read_json(run.resolved, profile=dict)["profile"].get("training")
        except KitError:
            training = None
        size = training.get("batch_size") if isinstance(training, dict) else None
        self.post_message(self.SettingsRead(run, size if isinstance(size, int) and size > 0 else None))

    def on_run_screen_settings_read(self, message: SettingsRead) -> None:
        """Images a second can be told now."""
        if message.run == self._settings_of:
            self._batch_size = message.batch_size
            self._refresh()

    # Phases

    def _show_phases(self, state: RunState) -> None:
        table = self.query_one("#run-phases", VirtualTable)
        self._phase_rows = list(state.phases)
        has_scores = state.evaluation is not None
        names = [None, *(phase.name for phase in self._phase_rows)]
        cursor = names.index(self.scope) if self.scope in names else 0
        rows = len(self._phase_rows) + 1 + has_scores if self._phase_rows else 0
        table.set_rows(rows, partial(self._phase_cells, state), cursor=cursor)

    def _phase_cells(self, state: RunState, index: int) -> list[Cell]:
        if index == 0:
            return [("all phases", "strong"), (bar(state.fraction, 10), "good"), percent(state.fraction), number(state.loss)]
        if index > len(state.phases):
            scoring = state.evaluation
            assert scoring is not None
            best = number(scoring.best[1], 4) if scoring.best is not None else "-"
            mark, style = ("✓", "good") if scoring.finished else ("▶", "accent")
            return [(f"{mark} scoring", style), (bar(scoring.fraction, 10), style), percent(scoring.fraction), best]
        phase = state.phases[index - 1]
        style = STYLES[phase.status]
        last = phase.loss if phase.loss is not None else phase.losses.y[-1] if len(phase.losses) else None
        name = f"{PHASE_MARKS[phase.status]} {phase.name}"
        return [(name, style), (bar(phase.fraction, 10), style), percent(phase.fraction), number(last)]

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """The phase under the cursor is the one that is drawn."""
        if message.table.id != "run-phases" or not message.table.has_focus:
            return
        row = message.row
        if row > len(self._phase_rows):
            self.kind, self.scope = "accuracy", None
        else:
            scope = None if row == 0 else self._phase_rows[row - 1].name
            if scope == self.scope and self.kind != "accuracy":
                return
            self.kind, self.scope = "loss" if self.kind == "accuracy" else self.kind, scope
        self._show_curve(self.dashboard.reading.state)

    # Curves

    def _show_curve(self, state: RunState) -> None:
        what = (self.dashboard.run_directory, self.kind, self.scope, self.log_scale, state.complete, state.outcome)
        now = time.monotonic()
        if what == self._drawn and now - self._drawn_at < REDRAW:
            return
        self._drawn, self._drawn_at = what, now
        curves = phase_curves(state, self.kind, self.scope)
        lines: list[Line | Points] = []
        for index, part in enumerate(curves):
            colour = ("primary", "accent")[index % 2]
            if self.kind == "accuracy":
                lines.append(Points("", part.curve, "primary", marker="•"))
            else:
                lines.append(Line("", part.curve, colour))
        view = self.query_one("#run-curve", CurveView)
        view.show(lines, log=self.log_scale)
        scope = f" of {clean(self.scope)}" if self.scope is not None and self.kind != "accuracy" else ""
        scale = ", logarithmic" if self.log_scale else ""
        over = f" over {axis_title(self.kind, self.scope)}"
        self.query_one("#run-curve-title", Static).update(clean(f"{self.kind}{scope}{over}{scale}"), layout=False)

    def action_next_curve(self) -> None:
        """Loss, learning rate, accuracy."""
        self.kind = KINDS[(KINDS.index(self.kind) + 1) % len(KINDS)]
        self._show_curve(self.dashboard.reading.state)

    def action_log_scale(self) -> None:
        """Logarithmic or linear."""
        self.log_scale = not self.log_scale
        self._show_curve(self.dashboard.reading.state)

    def action_next_phase(self) -> None:
        """Draw the next phase that has a curve, after the last all of them."""
        state = self.dashboard.reading.state
        names = [None, *(phase.name for phase in state.phases if len(phase.losses))]
        at = names.index(self.scope) if self.scope in names else 0
        self.scope = names[(at + 1) % len(names)]
        if self.kind == "accuracy":
            self.kind = "loss"
        self._show_phases(state)
        self._show_curve(state)

    def action_next_panel(self) -> None:
        """The log or the last step, where there is room for one of them."""
        self.panel = PANELS[(PANELS.index(self.panel) + 1) % len(PANELS)]
        body = self.query_one("#run-body")
        for name in PANELS:
            body.set_class(name == self.panel, f"-panel-{name}")
        self.set_focus(self.query_one("#run-log" if self.panel == "log" else "#run-step"))
        self.call_after_refresh(self._refresh)

    # Log

    def apply_filter(self, text: str) -> None:
        log = self.query_one("#run-log", LogTable)
        log.show(self.dashboard.reading.lines, text)

    def action_follow(self) -> None:
        """Back to the end of the log."""
        log = self.query_one("#run-log", LogTable)
        log.follows = True
        log.show(self.dashboard.reading.lines)

    def copy_text(self) -> str | None:
        """The line of the log under the cursor, or the codes of the last step."""
        if self.query_one("#run-log").has_focus:
            return self.query_one("#run-log", LogTable).current
        return "\n".join(self.dashboard.reading.state.codes) or None

    def export_rows(self) -> Rows | None:
        """The curve that is drawn; of the log while it has the keyboard and a search."""
        log = self.query_one("#run-log", LogTable)
        if log.has_focus and log.query_text:
            return ("time", "event"), [read_line(line)[:2] for line in log.matching]
        curves = phase_curves(self.dashboard.reading.state, self.kind, self.scope)
        x, y = axis_title(self.kind, self.scope), self.kind
        rows = [(part.name, a, b) for part in curves for a, b in zip(part.curve.x, part.curve.y, strict=True)]
        return ("phase", x, y), rows

    # The run

    def action_stop(self) -> None:
        """Ask, then stop the run."""
        run = self.dashboard.run_directory
        if run is not None:
            ask_to_stop(self, run.id, partial(stop_run, run, self.dashboard.reading.state.pid))

    def action_continue(self) -> None:
        """Continue the run."""
        run = self.dashboard.run_directory
        if run is not None:
            self._continue(run, self.dashboard.reading.status)

    @work(thread=True, group="action")
    def _continue(self, run: RunDirectory, status: str) -> None:
        app = self.dashboard
        try:
            if status in ("running", "finished"):
                raise KitError(f"run {run.id} is {status}: there is nothing to continue")
            arguments = continue_arguments(run, app.runs_folder)
        except KitError as error:
            app.call_from_thread(app.report, error)
        else:
            app.call_from_thread(app.start_kit, f"continue {run.id}", *arguments)
