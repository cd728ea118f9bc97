"""The end of a run's log, a line per event, with search; follows what is written until somebody scrolls up."""

from collections.abc import Sequence
from functools import lru_cache

from kit.dashboard.widgets.table import REST, Cell, Column, VirtualTable
from kit.events import (
    CandidateReplaced,
    CheckpointSaved,
    EvaluationFinished,
    EvaluationStarted,
    Note,
    PhaseFinished,
    PhaseReused,
    PhaseStarted,
    RankMeasured,
    RunFinished,
    RunStarted,
    RunStopped,
    UnknownEvent,
    from_line,
)
from kit.watch.event_text import clock, describe

STYLES = {
    **dict.fromkeys((PhaseStarted, PhaseFinished, PhaseReused, EvaluationStarted, EvaluationFinished), "accent"),
    **dict.fromkeys((RunStarted, RunFinished, RankMeasured), "good"),
    **dict.fromkeys((CandidateReplaced, CheckpointSaved), "muted"),
    **dict.fromkeys((Note, RunStopped, UnknownEvent), "warn"),
}
SHOWN = 1000
"""Characters of a line: notes may be long, terminals are not."""


class LogTable(VirtualTable):
    """Rows are the raw lines that a reading keeps; they are parsed when they are painted."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__((Column("time", 8), Column("log", REST, least=10)), id=id, empty="no events yet")
        self.lines: Sequence[bytes] = ()
        self.matching: list[bytes] = []
        self.query_text = ""
        self.follows = True

    def show(self, lines: Sequence[bytes], query: str | None = None) -> None:
        """Show these lines, those that hold `query` if there is one."""
        if query is not None:
            self.query_text = query.lower()
            self.follows = True
        self.lines = lines
        text = self.query_text
        self.matching = [line for line in lines if not text or text in read_line(line)[1].lower()]
        self.empty = "no event matches; Escape drops the search" if text and lines else "no events yet"
        last = max(0, len(self.matching) - 1)
        self.set_rows(len(self.matching), self._cells, cursor=last if self.follows else None)

    def action_cursor(self, where: str) -> None:
        """Move; at the last line the log is followed again."""
        super().action_cursor(where)
        self.follows = self.cursor >= len(self.matching) - 1

    @property
    def current(self) -> str | None:
        """The line under the cursor, as it is in the log."""
        if self.cursor >= len(self.matching):
            return None
        return self.matching[self.cursor].decode("utf-8", "replace")

    def _cells(self, index: int) -> list[Cell]:
        moment, text, style = read_line(self.matching[index])
        return [(moment, "muted"), (text, style) if style else text]


@lru_cache(4096)
def read_line(line: bytes) -> tuple[str, str, str]:
    """Time, text and style of a raw line of a log."""
    event = from_line(line)
    if event is None:
        return "", "unreadable: " + line[:SHOWN].decode("utf-8", "replace"), "bad"
    return clock(event.time), describe(event)[:SHOWN], STYLES.get(type(event), "")
