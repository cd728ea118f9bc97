"""Screen 3: predicted against true accuracy, with intervals, opponents, cells and outliers, now and as it came about."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual import getters
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.host import Host, NotYetError
from kit.dashboard.screens.base import check_file, following
from kit.dashboard.screens.pool_screen import PoolScreen
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.outlier_table import EXPORTED, OutlierTable, exported
from kit.dashboard.widgets.parts import muted
from kit.dashboard.widgets.plot import CurveView
from kit.dashboard.widgets.rank_panel import nothing_to_rank, rank_figures, rank_line
from kit.dashboard.widgets.rank_plots import history, scatter
from kit.dashboard.widgets.table import Rows, VirtualTable
from kit.errors import KitError
from kit.files import user_path
from kit.rank_report import Metric
from kit.ranking.opponent_files import OpponentFile, parse_opponent
from kit.ranking.truth_file import shipped_truths
from kit.watch.filter_language import Filter
from kit.watch.log_reader import Reading
from kit.watch.rank_data import METRIC_TITLES, METRICS, Comparison, Moment, compare, outliers
from kit.watch.run_files import PoolReader, PoolView
from kit.watch.text import clean

Compared = tuple[Comparison | None, KitError | None]
BEAT = 0.6
"""Seconds between two moments while they are played."""


class RankScreen(PoolScreen):
    """The comparison is measured in a thread; stepping and filtering only choose what of it is shown."""

    NAME = "rank"
    AUTO_FOCUS = "#rank-outliers"
    table = getters.query_one("#rank-outliers", OutlierTable)

    PANELS: ClassVar = {
        "scatter": "#rank-scatter",
        "figures": "#rank-figures",
        "outliers": "#rank-outliers",
        "history": "#rank-history",
    }

    def __init__(self) -> None:
        super().__init__()
        self._truth = ""
        self._opponents: dict[str, OpponentFile] = {}
        self._view = PoolView()
        self._comparison: Comparison | None = None
        self._error: KitError | None = None
        self.metric: Metric = METRICS[0]
        self.by_cell = False
        self.moment: int | None = None
        """Number of the moment that is shown; None follows the newest."""
        self._player: Timer | None = None
        self._filter: Filter | None = None

    def compose_body(self) -> Iterable[Widget]:
        self._opponents = {file.name: file for file in self.app.options.opponents}
        yield Static("", id="rank-line", markup=False)
        yield Static("", id="rank-empty", classes="empty", markup=False)
        with Horizontal(id="rank-body"):
            with Vertical(id="rank-left", classes="column"):
                with Vertical(classes="panel stacked -current"):
                    yield Static("", id="rank-scatter-title", markup=False)
                    yield CurveView(id="rank-scatter", empty="no points to draw", legend="TOPLEFT")
                with Vertical(id="rank-moments", classes="panel stacked"):
                    yield Static("", id="rank-history-title", markup=False)
                    yield CurveView(id="rank-history", empty="no earlier moments")
            with Vertical(id="rank-right", classes="column"):
                yield FittedPane(id="rank-figures", classes="panel side", can_focus=False, fills=False)
                yield OutlierTable(id="rank-outliers", classes="panel side", empty="no architecture to show")

    # Reading

    def refresh_content(self, reading: Reading) -> None:
        state = reading.state
        scoring = state.evaluation
        news = (
            (len(state.ranks_so_far), len(state.ranks), scoring and (scoring.done, scoring.finished))
            if state.complete
            else None
        )
        reader = PoolReader(self.app.run_directory, truth=self._truth, opponents=tuple(self._opponents.values()))
        if reader.run is None:
            self._show()
            return
        if reader != self.reader:
            self._view, self._comparison, self._error, self.moment = PoolView(), None, None, None
            self.progress = "reading"
            self._stop_playing()
            self._show()
        self.want(reader, news)
        if self._comparison is None and not self.progress:
            self._show()

    def take_pool(self, view: PoolView) -> None:
        """Measure what was read, in a thread again."""
        reader = self.reader
        if view.rows is None or view.truth is None or not view.scores.accuracies:
            self._take_comparison(reader, view, (None, None))
            return
        self.progress = "measuring ranks"
        self.show_progress()
        ranks_so_far = self.app.reading.state.ranks_so_far

        def measure() -> Compared:
            try:
                return compare(view, ranks_so_far), None
            except KitError as error:
                return None, error

        self.in_thread(measure, partial(self._take_comparison, reader, view), "rank")

    def _take_comparison(self, reader: PoolReader | None, view: PoolView, compared: Compared) -> None:
        if reader is not self.reader:
            return
        self._view, self.progress = view, ""
        comparison, self._error = compared
        self._comparison = comparison
        if comparison is not None and self.moment is not None and self.moment >= len(comparison.moments) - 1:
            self.moment = None
        self._show()

    # What is shown

    @property
    def shown_moment(self) -> Moment | None:
        """The moment that is shown."""
        moments = () if self._comparison is None else self._comparison.moments
        return moments[-1 if self.moment is None else self.moment] if moments else None

    def _members(self, comparison: Comparison) -> NDArray[np.int64]:
        members = comparison.at(self.shown_moment)
        return members if self._filter is None else members[self._filter.mask(comparison.rows)[members]]

    def _show(self) -> None:
        comparison, moment = self._comparison, self.shown_moment
        empty = self.query_one("#rank-empty", Static)
        there = comparison is not None and moment is not None
        empty.display = not there and not self.progress
        self.query_one("#rank-body").display = there
        self.show_progress()
        if comparison is None or moment is None:
            if empty.display:
                has_run = self.app.run_directory is not None
                empty.update(nothing_to_rank(self._view, self.app.reading, has_run, self._error))
            return
        self.table.show(comparison.rows, *outliers(comparison.rows, self._members(comparison)))
        self._show_figures(comparison, moment)
        self._show_scatter(comparison)
        self._show_history(comparison, moment)

    def show_progress(self) -> None:
        """Say above what is shown, or what is being done."""
        line = self.query_one("#rank-line", Static)
        comparison, moment = self._comparison, self.shown_moment
        if self.filter_error is not None:
            content = Content.styled(f" {clean(str(self.filter_error))}", "$text-error")
        elif comparison is not None and moment is not None:
            content = rank_line(comparison, self.metric, moment, len(self._members(comparison)), now=self.moment is None)
        else:
            scored = len(self._view.scores.accuracies)
            told = [f"{scored:,} scored"] if scored else []
            told += [f"{clean(self.progress)}…"] if self.progress else []
            content = muted(" " + "  ".join(told))
        line.update(content, layout=False)

    def _show_figures(self, comparison: Comparison, moment: Moment) -> None:
        metric, now = self.metric, self.moment is None
        self.query_one("#rank-figures", FittedPane).show(
            lambda width, _: rank_figures(comparison, metric, moment, width, now=now)
        )

    def _show_scatter(self, comparison: Comparison) -> None:
        table = self.table
        drawn = scatter(comparison, table.order, table.current, by_cell=self.by_cell)
        self.query_one("#rank-scatter", CurveView).show(drawn)
        name = [] if table.current is None else [("   ◉ ", "$text-warning"), (self._title_of(table.current), "$text-muted")]
        title = Content.assemble((" predicted over true accuracy", "bold $text-primary"), *name)
        self.query_one("#rank-scatter-title", Static).update(title, layout=False)

    def _title_of(self, row: int) -> str:
        return "" if self._comparison is None else clean(self._comparison.rows.names[row])

    def _show_history(self, comparison: Comparison, moment: Moment) -> None:
        count = len(comparison.moments)
        at = count if self.moment is None else self.moment + 1
        title = Content.assemble(
            (f" {METRIC_TITLES[self.metric]} as more is scored", "bold $text-primary"),
            (f"  moment {at} of {count}", "$text-muted"),
        )
        self.query_one("#rank-history-title", Static).update(title, layout=False)
        self.query_one("#rank-history", CurveView).show(history(comparison, self.metric, moment))

    # Outliers

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """Show the architecture under the cursor among the points."""
        if self._comparison is not None:
            self._show_scatter(self._comparison)

    async def on_virtual_table_selected(self) -> None:
        await self.run_action("open")

    def action_open(self) -> None:
        """Show the outlier under the cursor on the screen of architectures."""
        comparison, row = self._comparison, self.table.current
        if comparison is None or row is None:
            raise NotYetError("there is no architecture to open yet")
        self.app.show("architectures")
        self.app.call_later(_go_to, self.app, comparison.rows.codes[row])

    # Choices

    def take_filter(self, parsed: Filter | None) -> None:
        self._filter = parsed
        self._show()

    def action_next_metric(self) -> None:
        """Kendall, Pearson, Spearman."""
        self.metric = following(METRICS, self.metric)
        self._show()

    def action_by_cell(self) -> None:
        if self._comparison is not None and not self._comparison.cells:
            raise NotYetError("this run's recipe has no partition")
        self.by_cell = not self.by_cell
        self._show()

    @property
    def _last(self) -> int:
        """Number of the newest moment."""
        return 0 if self._comparison is None else len(self._comparison.moments) - 1

    def _check_moments(self) -> None:
        if self._last < 1:
            raise NotYetError("there is only one moment: nothing was kept of how it came about")

    def action_step(self, by: int) -> None:
        self._stop_playing()
        self._check_moments()
        self._step(by)

    def _step(self, by: int) -> None:
        at = max(0, min((self._last if self.moment is None else self.moment) + by, self._last))
        self.moment = None if at == self._last else at
        self._show()

    def action_play(self) -> None:
        """Let the moments pass, from the first one when the last is shown; again: hold."""
        if self._player is not None:
            self._stop_playing()
            return
        self._check_moments()
        if self.moment is None:
            self._step(-self._last)
        self._player = self.set_interval(BEAT, self._beat)

    def _beat(self) -> None:
        self._step(1)
        if self.moment is None:
            self._stop_playing()

    def _stop_playing(self) -> None:
        if self._player is not None:
            self._player.stop()
            self._player = None

    def action_truth(self) -> None:
        names = ", ".join(shipped_truths())
        self.app.ask(
            "Compare with",
            self._choose_truth,
            value=self._truth,
            detail=f"a truth file, a challenge JSON with accuracies, or a profile whose truth is shipped ({names})",
            check=lambda text: _check_truth(text.strip()),
        )

    def _choose_truth(self, answer: str) -> None:
        path = user_path(answer)
        self._truth = str(path.absolute()) if path.is_file() else answer
        self.refresh_content(self.app.reading)

    def action_opponent(self) -> None:
        """A file of the user's beside what is counted; in the place of one of that name, `NAME=` takes it away."""
        there = f"; now there: {', '.join(self._opponents)} (NAME= takes one away)" if self._opponents else ""
        self.app.ask(
            "Compare also with",
            self._choose_opponent,
            detail=f"NAME=FILE or FILE: a challenge JSON, such as kit score writes{there}",
            check=self._check_opponent,
        )

    def _check_opponent(self, text: str) -> str:
        if text.strip().removesuffix("=") in self._opponents:
            return ""
        try:
            return check_file(str(_opponent(text).path))
        except KitError as error:
            return str(error)

    def _choose_opponent(self, answer: str) -> None:
        name = answer.strip().removesuffix("=")
        if name in self._opponents:
            del self._opponents[name]
        else:
            file = _opponent(answer)
            self._opponents[file.name] = file
        self.refresh_content(self.app.reading)

    # Copy and export

    def copy_text(self) -> str | None:
        comparison, row = self._comparison, self.table.current
        return None if comparison is None or row is None else comparison.rows.codes[row]

    def export_rows(self) -> Rows | None:
        comparison = self._comparison
        if comparison is None:
            return None
        return EXPORTED, exported(comparison.rows, self.table.order, self.table.errors)


def _go_to(app: Host, code: str) -> None:
    from kit.dashboard.screens.architectures import ArchitecturesScreen

    if isinstance(app.screen, ArchitecturesScreen):
        app.screen.await_code(code)


def _opponent(text: str) -> OpponentFile:
    """What an answer names; a file alone is called as it is, without its ending. Raises `InputError`."""
    text = text.strip()
    file = parse_opponent(text if "=" in text else f"{Path(text).stem}={text}")
    return OpponentFile(file.name, user_path(str(file.path)).absolute())


def _check_truth(text: str) -> str:
    return "" if text in shipped_truths() or not check_file(text) else "there is no such file, and no such shipped truth"
