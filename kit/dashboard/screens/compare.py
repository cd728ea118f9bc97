"""Two or more runs side by side: what was set differently, and what came of it."""

import threading
from collections.abc import Iterable
from typing import Any

from textual.containers import Vertical
from textual.widget import Widget

from kit.dashboard.screens.base import KitScreen
from kit.dashboard.widgets.plot import COLOURS, CurveView, Line
from kit.dashboard.widgets.table import REST, Cell, Column, Rows, VirtualTable
from kit.errors import StorageError
from kit.files import read_json
from kit.rank_report import Interval, Metric, read_figures
from kit.ranking.opponents import label_of
from kit.recipe.origins import leaves
from kit.run_dir import RunDirectory
from kit.watch.log_reader import LogReader
from kit.watch.rank_data import METRIC_TITLES, RANKED_BY
from kit.watch.run_curves import joined, phase_curves
from kit.watch.run_state import RunState
from kit.watch.text import count, duration, number

IGNORED = frozenset({"kit", "inputs", "description", "title", "paper"})


class CompareScreen(KitScreen):
    """Differences first; equal settings are left out."""

    NAME = "compare"
    AUTO_FOCUS = "VirtualTable"

    def __init__(self, runs: list[RunDirectory]) -> None:
        super().__init__()
        self.runs = runs
        self.rows: list[list[Cell]] = []
        self._leaving = threading.Event()

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="compare"):
            yield CurveView(id="compare-curves", empty="reading the runs", labelled=True)
            named = (Column(run.id, REST, least=12, key=str(run.path)) for run in self.runs)
            yield VirtualTable((Column("", 28), *named), id="compare-table", empty="reading the runs")

    def on_mount(self) -> None:
        self.in_thread(self._read, self._take, "compare")

    def on_unmount(self) -> None:
        """Nobody waits for the rest."""
        self._leaving.set()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to filter."""
        return action != "filter"

    def _read(self) -> tuple[list[RunState], list[dict[str, Any]]]:
        states: list[RunState] = []
        settings: list[dict[str, Any]] = []
        for run in self.runs:
            reader = LogReader(run.events)
            reader.catch_up(self._leaving)
            states.append(reader.fold.state())
            try:
                settings.append(read_json(run.resolved))
            except StorageError:
                settings.append({})
        return states, settings

    def _take(self, read: tuple[list[RunState], list[dict[str, Any]]]) -> None:
        states, settings = read
        lines = [
            Line(run.id, joined(phase_curves(state, "loss", None)), COLOURS[index % len(COLOURS)])
            for index, (run, state) in enumerate(zip(self.runs, states, strict=True))
        ]
        self.query_one(CurveView).show(lines, x="passes", y="loss")
        self.rows = comparison(states, settings)
        self.query_one(VirtualTable).set_rows(self.rows, list)

    async def action_back(self) -> None:
        self.dismiss()

    def copy_text(self) -> str:
        return "\n".join("\t".join(map(str, row)) for row in self.export_rows()[1])

    def export_rows(self) -> Rows:
        plain = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in self.rows]
        return ["", *(run.id for run in self.runs)], plain


def comparison(states: list[RunState], settings: list[dict[str, Any]]) -> list[list[Cell]]:
    """Rows of results, then of every setting that is not the same in all runs."""
    rows: list[list[Cell]] = []

    def add(name: str, values: list[str]) -> None:
        style = "accent" if len(set(values)) > 1 else ""
        rows.append([(name, "muted"), *((value, style) for value in values)])

    add("state", [state.outcome for state in states])
    for metric in RANKED_BY:
        own, counted = ([_figure(state, metric, *keys) for state in states] for keys in ((), ("baselines", "macs")))
        add(METRIC_TITLES[metric], [_interval(figure) for figure in own])
        add(f"  {label_of('macs')} alone", [number(figure.value if figure else None) for figure in counted])
    add("last loss", [number(state.loss, 4) for state in states])
    add("passes", [count(state.passes_done) for state in states])
    add("worked", [duration(state.elapsed) for state in states])
    names = dict.fromkeys(phase.name for state in states for phase in state.phases)
    for name in names:
        found = [next((phase for phase in state.phases if phase.name == name), None) for state in states]
        add(f"loss of {name}", [number(phase.loss, 4) if phase is not None else "-" for phase in found])
    flat = [{key: value for key, value in leaves(setting) if IGNORED.isdisjoint(key.split("."))} for setting in settings]
    for key in dict.fromkeys(key for setting in flat for key in setting):
        values = [str(setting.get(key, "-")) for setting in flat]
        if len(set(values)) > 1:
            add(key, values)
    return rows


def _figure(state: RunState, metric: Metric, *keys: str) -> Interval | None:
    return read_figures(state.rank and state.rank.report, *keys).get(metric)


def _interval(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"
