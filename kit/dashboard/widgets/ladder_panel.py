"""The rows of a ladder as a table, with as many intervals as there is room for, and all about the row of the cursor."""

from collections.abc import Callable, Iterable, Sequence

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.parts import PHASE_MARKS, PHASE_STYLES, STATUS_MARKS, STATUS_STYLES, Part
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.ladder_report import RowRank
from kit.rank_report import Interval
from kit.ranking.opponents import label_of
from kit.ranking.words import describe_ladder
from kit.watch.ladder_lines import FIGURES, Figure, LadderLine, ladder_lines
from kit.watch.ladder_view import LadderFigures, LadderView
from kit.watch.text import clean, duration, number, short_number

SHORT = ("r", "-above", "-MACs", "given", "τ")
RANKS = (0, 3, 2, 4, 1)
"""Of the figures, for terminals that have no room for all."""
VALUE, INTERVAL, NAME = 6, 23, 13
CELL_STYLES = {"done": "good", "reused": "good", "running": "accent", "waiting": "muted", "failed": "bad", "stopped": "warn"}
MARKS = {**PHASE_MARKS, "stopped": STATUS_MARKS["stopped"]}
STYLES = {**PHASE_STYLES, "stopped": STATUS_STYLES["stopped"]}
EXTRAS = {"passes": Column("passes", 7, right=True), "left": Column("left", 11, right=True)}
PAPER = Column("paper's r", 9, right=True, key="paper")


class LadderTable(VirtualTable[LadderLine]):
    """Chooses its columns by its width: which figures have their intervals, and what is shown beside them."""

    def _fit(self) -> None:
        longest = max((len(line.name) for line in self.items), default=NAME)
        self.columns = ladder_columns(self.size.width - 2, max(NAME, min(16, longest)))
        super()._fit()

    def show(self, lines: Sequence[LadderLine]) -> None:
        """Show these; the cursor stays on its row, also when rows before it come or go."""
        here = None if self.current is None else (self.current.name, self.current.recipe)
        places: dict[object, int] = {(line.name, line.recipe): place for place, line in enumerate(lines)}
        self.items = lines
        self._fit()
        self.set_rows(lines, lambda line: [_cell(line, column) for column in self.columns], cursor=places.get(here))


def ladder_columns(width: int, name: int) -> tuple[Column, ...]:
    """For `width` cells and names of `name` of them."""
    gap = VirtualTable.GAP
    spare = width - name - 14 - 5 - len(FIGURES) * VALUE - (3 + len(FIGURES)) * gap
    wide: set[int] = set()
    extras: list[str] = []
    for wish in (0, 4, "left", "passes", 1, 2, 3, "paper"):
        costs = INTERVAL - VALUE if isinstance(wish, int) else (EXTRAS.get(wish, PAPER).width + gap)
        if costs > spare:
            continue
        spare -= costs
        wide |= {wish} if isinstance(wish, int) else set()
        extras += [wish] if isinstance(wish, str) else []
    figures = [
        Column(FIGURES[at], INTERVAL, key=str(at)) if at in wide else Column(SHORT[at], VALUE, key=str(at), rank=RANKS[at])
        for at in range(len(FIGURES))
    ]
    told = [column for each, column in EXTRAS.items() if each in extras]
    return (
        Column("recipe", 24, least=min(name, NAME)),
        Column("state", 14, least=10),
        Column("done", 5, right=True, key="supernets", rank=5),
        *told,
        *figures,
        *([PAPER] if "paper" in extras else []),
    )


class LadderPanel(Vertical):
    """The table, and below it the row of the cursor; Enter shows the seeds of a recipe."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view, self.figures = LadderView(), LadderFigures()
        self.runs = self.measures = False
        self._opened: set[str] = set()
        self._matches: Callable[[str], bool] = lambda _: True

    def compose(self) -> Iterable[Widget]:
        yield LadderTable(id="ladder-table", empty="reading the ladder")
        yield FittedPane(id="ladder-row")

    @property
    def table(self) -> LadderTable:
        return self.query_one(LadderTable)

    def show(self, view: LadderView, figures: LadderFigures, *, running: bool, measuring: bool) -> None:
        """Show this state; `measuring` says that newer figures are on their way."""
        self.view, self.figures, self.runs, self.measures = view, figures, running, measuring
        self._refresh()

    def filter(self, matches: Callable[[str], bool]) -> None:
        """Show only rows whose name or state match."""
        self._matches = matches
        self._refresh()

    def _refresh(self) -> None:
        lines = ladder_lines(self.view, self.figures, self._opened, running=self.runs)
        self.table.show([line for line in lines if self._matches(f"{line.name} {line.recipe} {line.status} {line.doing}")])
        self._show_row()

    def _show_row(self) -> None:
        line, busy = self.table.current, self.measures
        self.query_one(FittedPane).show(lambda *_: ladder_row(line, self.figures, self.view.problem, busy=busy))

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        message.stop()
        self._show_row()

    def on_virtual_table_selected(self, message: VirtualTable.Selected) -> None:
        """Show or hide the seeds."""
        message.stop()
        line = self.table.current
        if line is not None and line.recipe:
            self._opened ^= {line.recipe}
            self._refresh()


def ladder_row(line: LadderLine | None, figures: LadderFigures, problem: str, *, busy: bool) -> Content:
    """Everything about one row, then what all figures rest on."""
    parts: list[Part] = [(f"{clean(text)}\n", "$text-warning") for text in (problem, figures.problem) if text]
    parts += [("measuring how the rows rank …\n", "$text-muted")] if busy else []
    if line is not None:
        parts += _about(line)
    if figures.report is not None:
        parts += ["\n", ("What the figures rest on\n", "bold $text-primary")]
        parts += [(f"{clean(text)}\n", "$text-muted") for text in describe_ladder(figures.report).split("\n")]
    return Content.assemble(*parts)


def _about(line: LadderLine) -> list[Part]:
    named = line.recipe if line.seed is None else f"{line.recipe}, seed {line.seed}"
    parts: list[Part] = [(clean(named or line.name), "bold $text-primary")]
    if line.status:
        parts += ["  ", (f"{MARKS[line.status]} {clean(line.doing)}", STYLES[line.status])]
    told = [f"{line.supernets} supernets"] if line.supernets else []
    told += [f"{line.passes:,.0f} passes"] if line.passes else []
    told += [f"took {duration(line.seconds)}"] if line.seconds is not None else []
    told += [f"{duration(line.seconds_left)} left"] if line.seconds_left is not None else []
    told += [f"paper's r {line.paper:.3f}"] if line.paper is not None else []
    parts += [("".join(f"  {text}" for text in told), "$text-muted"), "\n"]
    parts += [(f"{clean(why)}\n", "$text-error") for why in line.reasons]
    return parts + (_alone(line.figures) if line.rank is None else _ranked(line.rank))


def _alone(figures: Sequence[Figure]) -> list[Part]:
    named = {FIGURES[at]: figures[at] for at in (0, 4)}
    return [part for name, figure in named.items() if figure is not None for part in _line(name, _text(figure, wide=True))]


def _ranked(rank: RowRank) -> list[Part]:
    own, both = rank.predictions, []
    if rank.versus_previous is not None:
        both.append(("minus the row above", rank.versus_previous))
    both += [(f"minus {label_of(rival)}", versus) for rival, versus in rank.versus.items()]
    found: list[tuple[str, Interval, Interval]] = [("the row itself", own.pearson, own.kendall)]
    found += [(name, versus.pearson_difference, versus.kendall_difference) for name, versus in both]
    given = (("given counting", rank.partial), ("given all opponents", rank.partial_all))
    found += [(name, partial.pearson, partial.kendall) for name, partial in given if partial is not None]
    return [part for name, r, tau in found for part in _line(name, f"r {r:+.3f}  τ {tau:+.3f}")]


def _line(name: str, text: str) -> list[Part]:
    return [(f" {clean(name):<20} ", "$text-muted"), f"{text}\n"]


def _text(figure: Figure, *, wide: bool) -> str:
    if isinstance(figure, Interval):
        return f"{figure:+.3f}" if wide else number(figure.value, sign=True)
    return "" if figure is None else number(figure, sign=True)


def _cell(line: LadderLine, column: Column) -> Cell:
    match column.name:
        case "recipe":
            return (line.name, "muted" if line.seed is not None or not line.recipe else "strong")
        case "state":
            return (f"{MARKS[line.status]} {line.doing}", CELL_STYLES[line.status]) if line.status else ""
        case "supernets":
            return line.supernets
        case "left":
            return duration(line.seconds_left) if line.seconds_left is not None else ""
        case "passes":
            return "" if line.passes is None else f"{line.passes:,.0f}" if line.passes < 1e6 else short_number(line.passes)
        case "paper":
            return number(line.paper) if line.paper is not None else ""
    figure, is_own = line.figures[int(column.name)], int(column.name) in (0, 4)
    style = "" if is_own or not isinstance(figure, Interval) else {1: "good", -1: "bad", 0: "muted"}[figure.sign]
    return (_text(figure, wide=column.width == INTERVAL), style)
