"""Screen 1: all runs of a folder; start, stop, continue, compare, remove."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.host import NotYetError
from kit.dashboard.screens.run_commands import RunCommands
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.parts import STATUS_MARKS, bar
from kit.dashboard.widgets.run_details import run_details
from kit.dashboard.widgets.table import Cell, Column, Rows, VirtualTable
from kit.run_dir import RunDirectory, remove_run
from kit.watch.event_text import clock
from kit.watch.log_reader import Reading
from kit.watch.run_summary import RunSummary
from kit.watch.text import duration, number, percent, shown_path

STYLES = {"running": "good", "stopped": "warn", "crashed": "bad", "damaged": "bad", "queued": "muted"}
BAR = 8
COLUMNS = (
    Column("state", 10),
    Column("recipe", 14, rank=5),
    Column("profile", 9, rank=5),
    Column("phase", 8),
    Column("", BAR, key="bar", rank=3),
    Column("done", 5, right=True),
    Column("left", 10, right=True, rank=1),
    Column("loss", 6, right=True),
    Column("rank τ", 6, right=True, key="kendall"),
    Column("rank r", 6, right=True, key="pearson", rank=4),
    Column("started", 16, rank=6),
)
SELECT_DELAY = 0.15
"""Seconds that the cursor rests on a run before its log is read: scrolling through a thousand runs reads none."""


class RunsScreen(RunCommands):
    """The cursor is the selection: the run under it is the one that screens 2 to 5 show."""

    NAME = "runs"
    FILTER_HELP = "words of id, recipe, profile, state or phase"
    AUTO_FOCUS = "VirtualTable"
    NEWS = ("run_directory", "runs", "runs_complete", "runs_problem")

    def __init__(self) -> None:
        super().__init__()
        self._marked: set[Path] = set()
        self._highlighted: Path | None = None
        self._followed: Path | None = None
        self._rest_timer: Timer | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="runs-body"):
            yield VirtualTable(id="runs-table")
            yield FittedPane(id="runs-details", can_focus=False, fills=False)
        yield Static("", id="runs-line", markup=False)

    @property
    def table(self) -> VirtualTable[RunSummary]:
        return self.query_one("#runs-table", VirtualTable)

    @property
    def current(self) -> RunSummary | None:
        """The run under the cursor."""
        return self.table.current

    def refresh_content(self, reading: Reading) -> None:
        app = self.app
        here = None if self.current is None else self.current.run.path
        shown = self._arranged(app.runs)
        table = self.table
        longest = max((len(summary.id) for summary in shown), default=0) + 2 * bool(self._marked)
        table.set_columns((Column("run", min(44, max(8, longest)), least=min(28, max(8, longest))), *COLUMNS))
        table.is_marked = lambda summary: summary.run.path in self._marked
        table.empty = self._nothing()
        rows = {summary.run.path: index for index, summary in enumerate(shown)}
        chosen = None if app.run_directory is None else app.run_directory.path
        if chosen in rows and chosen != self._followed:
            # Chosen elsewhere: the cursor goes there.
            here = self._followed = chosen
        cursor = None if here is None else rows.get(here)
        table.set_rows(shown, self._cells, cursor=cursor)
        # Only what the user does to the cursor chooses a run.
        self._highlighted = None if self.current is None else self.current.run.path
        self.query_one("#runs-line", Static).update(self._line(), layout=False)
        self._show_details()

    # Rows

    def _arranged(self, runs: Iterable[RunSummary]) -> list[RunSummary]:
        kept = [summary for summary in runs if self.has_words(_words(summary))]
        if self.table.sorted_by is not None:
            key, down = self.table.sorted_by
            measure = MEASURES[key]
            # Runs without a value come last, whichever way the others are sorted.
            known = [summary for summary in kept if measure(summary) is not None]
            rest = [summary for summary in kept if measure(summary) is None]
            kept = sorted(known, key=lambda summary: measure(summary) or 0, reverse=down) + rest
        return kept

    def _cells(self, summary: RunSummary) -> list[Cell]:
        mark = "● " if summary.run.path in self._marked else ""
        return [(mark + summary.id, "strong"), *_cells(summary)]

    def _nothing(self) -> str:
        app = self.app
        if app.runs_problem:
            return app.runs_problem
        if self.words and app.runs:
            return "no run matches the filter; Escape drops it"
        return f"no runs in {shown_path(app.runs_folder)}: press s to start one" if app.runs_complete else "looking for runs"

    def _line(self) -> Content:
        app = self.app
        states: dict[str, int] = {}
        for summary in app.runs:
            states[summary.status or "unread"] = states.get(summary.status or "unread", 0) + 1
        parts = [f"{number:,} {name}" for name, number in sorted(states.items(), key=lambda item: -item[1])]
        shown = f"{self.table.count:,} of {len(app.runs):,} runs" if self.words else f"{len(app.runs):,} runs"
        marked = f", {len(self._marked)} marked" if self._marked else ""
        problem = f"  {app.runs_problem}" if app.runs_problem else ""
        text = f" {shown}{marked}: {', '.join(parts)}" if parts else f" {shown}"
        return Content.assemble((text, "$text-muted"), (problem, "$text-error"))

    def _show_details(self) -> None:
        summary = self.current
        content = Content("") if summary is None else run_details(summary)
        self.query_one("#runs-details", FittedPane).show(lambda *_: content)

    # The cursor

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """Select the run under the cursor once it rests there."""
        summary = self.current
        if summary is None or summary.run.path == self._highlighted:
            return
        self._highlighted = summary.run.path
        self._show_details()
        if self._rest_timer is not None:
            self._rest_timer.stop()
        self._rest_timer = self.set_timer(SELECT_DELAY, partial(self.app.select_run, summary.run))

    def on_virtual_table_selected(self) -> None:
        self.action_open()

    def on_virtual_table_header_selected(self, message: VirtualTable.HeaderSelected) -> None:
        name = message.column.name
        self._sort_by(name if name in MEASURES else None, down=self.table.sorted_by == (name, False))

    def _sort_by(self, name: str | None, *, down: bool = False) -> None:
        self.table.sorted_by = None if name is None else (name, down)
        self.refresh_content(self.app.reading)

    # Hooks

    def copy_text(self) -> str | None:
        return None if self.current is None else str(self.current.run.path)

    def export_rows(self) -> Rows | None:
        titles = ("run", "state", "recipe", "profile", "phase", "done", "loss", "kendall", "pearson", "started")
        rows = [(*(MEASURES[title](summary) for title in titles), str(summary.run.path)) for summary in self.table.items]
        return (*titles, "path"), rows

    # Actions

    def action_open(self) -> None:
        if self.current is not None:
            self.app.select_run(self.current.run)
            self.app.show("run")

    def action_start(self) -> None:
        """Choose a recipe, see what it will cost, run it."""
        from kit.dashboard.screens.start import StartScreen

        self.app.push_screen(StartScreen())

    def commanded(self) -> tuple[RunDirectory, str, int | None] | None:
        summary = self.current
        return None if summary is None else (summary.run, summary.status, summary.state.pid)

    def action_mark(self) -> None:
        if self.current is not None:
            self._marked ^= {self.current.run.path}
            self.table.action_cursor("down")
            self.refresh_content(self.app.reading)

    def action_compare(self) -> None:
        from kit.dashboard.screens.compare import CompareScreen

        chosen = [summary.run for summary in self.app.runs if summary.run.path in self._marked]
        if len(chosen) < 2:
            raise NotYetError("mark two or more runs with the space bar first")
        self.app.push_screen(CompareScreen(chosen))

    def action_remove(self) -> None:
        summary = self.current
        if summary is None:
            return
        if summary.status == "running":
            raise NotYetError(f"run {summary.id} is running: stop it first")
        app = self.app
        delete = partial(
            self.in_thread, partial(remove_run, summary.run), lambda _: app.say(f"removed {summary.id}"), "action"
        )
        detail = f"{summary.run.path} is deleted with its weights and scores. Phases are shared between runs and stay."
        app.confirm(f"Remove run {summary.id}?", delete, detail=detail, yes="Remove")

    def action_sort(self) -> None:
        self._sort_by(self.table.next_sort(MEASURES))


MEASURES: dict[str, Callable[[RunSummary], str | float | None]] = {
    "run": lambda summary: summary.id,
    "state": lambda summary: summary.status,
    "recipe": lambda summary: summary.recipe,
    "profile": lambda summary: summary.profile,
    "phase": lambda summary: summary.state.phase,
    "done": lambda summary: summary.state.fraction,
    "left": lambda summary: summary.state.seconds_left,
    "loss": lambda summary: summary.state.loss,
    "kendall": lambda summary: summary.kendall,
    "pearson": lambda summary: summary.pearson,
    "started": lambda summary: summary.state.started,
}


def _words(summary: RunSummary) -> str:
    parts = (summary.id, summary.recipe, summary.profile, summary.status, summary.state.phase or "")
    return " ".join(parts)


def _cells(summary: RunSummary) -> list[Cell]:
    state = summary.state
    status = summary.status or "…"
    scoring = state.evaluation if state.outcome == "running" else None
    scoring = None if scoring is None or scoring.finished else scoring
    fraction = state.fraction if scoring is None else scoring.fraction
    return [
        (f"{STATUS_MARKS.get(status, '')} {status}", STYLES.get(status, "")),
        summary.recipe or "-",
        summary.profile or "-",
        state.phase or "-" if scoring is None else "scoring",
        ("".join(bar(fraction, BAR)), "good" if status == "running" else "muted"),
        percent(fraction),
        duration(state.seconds_left) if status == "running" else "-",
        number(state.loss),
        number(summary.kendall, sign=True),
        number(summary.pearson, sign=True),
        clock(state.started, date=True),
    ]
