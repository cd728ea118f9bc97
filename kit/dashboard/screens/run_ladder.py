"""The run screen while the run is a ladder: one thread reads its directory, another measures its rows, once a change."""

from collections.abc import Iterable
from functools import partial

from textual.widget import Widget

from kit.dashboard.screens.run_commands import RunCommands
from kit.dashboard.widgets.ladder_panel import LadderPanel
from kit.dashboard.widgets.table import Rows
from kit.run_dir import RunDirectory
from kit.watch.ladder_lines import export
from kit.watch.ladder_view import LadderFigures, LadderReader, LadderView
from kit.watch.log_reader import Reading

POLL = 2.0
"""Seconds between two looks at the run that trains a row: the ladder's own log is silent meanwhile."""
OF_CURVES = ("next_curve", "log_scale", "next_phase")


class RunLadder(RunCommands):
    """Call `show_ladder` with every reading."""

    def __init__(self) -> None:
        super().__init__()
        self._ladder: LadderReader | None = None
        self._measured_by: tuple[object, ...] | None = None
        self._figures = LadderFigures()
        self._is_behind = False

    def compose_ladder(self) -> Iterable[Widget]:
        """Beside what is shown of other runs, which a stylesheet hides."""
        yield LadderPanel(id="run-ladder")

    def on_mount(self) -> None:
        """Look also while the ladder's log is silent."""
        self.set_interval(POLL, self._poll)

    @property
    def is_ladder(self) -> bool:
        """Whether the run that is shown is one."""
        return self._ladder is not None

    @property
    def panel_of_ladder(self) -> LadderPanel:
        return self.query_one("#run-ladder", LadderPanel)

    def show_ladder(self, run: RunDirectory, reading: Reading) -> None:
        """Show the run, if it is a ladder; else what is shown of other runs."""
        if reading.state.kind != "ladder":
            if self._ladder is not None:
                self.remove_class("-ladder", "-with-log")
                self._ladder = None
                self.refresh_bindings()
            return
        if self._ladder is None or self._ladder.run != run:
            self._ladder, self._measured_by, self._figures = LadderReader(run), None, LadderFigures()
            self.panel_of_ladder.show(LadderView(), LadderFigures(), running=False, measuring=False)
            self.add_class("-ladder")
            self.refresh_bindings()
            self.call_after_refresh(self.focus_body)
        self._look()

    def _poll(self) -> None:
        if self.is_ladder and self.is_shown and self.app.reading.status == "running":
            self._look()

    def _look(self) -> None:
        if self.at_work["ladder"]:
            self._is_behind = True
        elif self._ladder is not None:
            self._is_behind = False
            reader = self._ladder
            self.in_thread(partial(reader.look, self.app.reading.state), partial(self._take_view, reader), "ladder")

    def _take_view(self, reader: LadderReader, view: LadderView) -> None:
        if self._is_behind or reader is not self._ladder:
            self._look()
        if reader is not self._ladder:
            return
        if view.measured_by != self._measured_by and not self.at_work["ladder ranks"]:
            self._measured_by = view.measured_by
            self.in_thread(partial(reader.measure, view), partial(self._take_figures, reader), "ladder ranks")
        self._show(view)

    def _take_figures(self, reader: LadderReader, figures: LadderFigures) -> None:
        if reader is self._ladder:
            self._figures = figures
            self._show(self.panel_of_ladder.view)
        # What came meanwhile has not been measured yet.
        self._look()

    def _show(self, view: LadderView) -> None:
        is_running, is_measuring = self.app.reading.status == "running", bool(self.at_work["ladder ranks"])
        self.panel_of_ladder.show(view, self._figures, running=is_running, measuring=is_measuring)

    # Keys, panels, copy and export

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A ladder draws no curves."""
        return not (self.is_ladder and action in OF_CURVES)

    def focus_body(self) -> None:
        if self.is_ladder and not self.has_class("-with-log"):
            self.set_focus(self.panel_of_ladder.table)
        else:
            super().focus_body()

    def action_next_panel(self) -> None:
        """Of a ladder: its rows or its log."""
        if self.is_ladder:
            self.toggle_class("-with-log")
            self.call_after_refresh(self.focus_body)
        else:
            super().action_next_panel()

    def ladder_text(self) -> str | None:
        """The row under the cursor."""
        line = self.panel_of_ladder.table.current
        if line is None:
            return None
        titles, [row] = export([line])
        return "\n".join(f"{title}\t{value}" for title, value in zip(titles, row, strict=True) if value not in (None, ""))

    def ladder_rows(self) -> Rows:
        """What is in the table."""
        return export(self.panel_of_ladder.table.items)
