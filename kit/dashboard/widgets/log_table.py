"""The end of a run's log, a line per event, with search; follows what is written until somebody scrolls up."""

from collections.abc import Sequence
from functools import lru_cache

from kit import events
from kit.dashboard.widgets.table import REST, Cell, Column, VirtualTable
from kit.events import from_line
from kit.watch.event_text import clock, describe

STYLES = {
    events.PhaseFailed: "bad",
    **dict.fromkeys((events.PhaseStarted, events.PhaseFinished, events.PhaseReused), "accent"),
    **dict.fromkeys((events.EvaluationStarted, events.EvaluationFinished), "accent"),
    **dict.fromkeys((events.RunStarted, events.RunFinished, events.RankMeasured), "good"),
    **dict.fromkeys((events.CandidateReplaced, events.CheckpointSaved), "muted"),
    **dict.fromkeys((events.Note, events.RunStopped, events.UnknownEvent), "warn"),
}
LOG_COLUMNS = (Column("time", 8), Column("log", REST, least=10))
SHOWN = 1000
"""Characters of a line: notes may be long, terminals are not."""


class LogTable(VirtualTable[bytes]):
    """Rows are the raw lines that a reading keeps; they are parsed when they are painted."""

    lines: Sequence[bytes] = ()
    query_text = ""
    follows = True

    def show(self, lines: Sequence[bytes], query: str | None = None) -> None:
        """Show these lines, those that hold `query` if there is one."""
        if query is not None:
            self.query_text = query.lower()
            self.follows = True
        self.lines = lines
        text = self.query_text
        matching = [line for line in lines if not text or text in read_line(line)[1].lower()]
        self.empty = "no event matches; Escape drops the search" if text and lines else "no events yet"
        self.set_rows(matching, _cells, cursor=len(matching) - 1 if self.follows else None)

    def action_cursor(self, where: str) -> None:
        """Move; at the last line the log is followed again."""
        super().action_cursor(where)
        self.follows = self.cursor >= self.count - 1


def _cells(line: bytes) -> list[Cell]:
    moment, text, style = read_line(line)
    return [(moment, "muted"), (text, style) if style else text]


@lru_cache(4096)
def read_line(line: bytes) -> tuple[str, str, str]:
    """Time, text and style of a raw line of a log."""
    event = from_line(line)
    if event is None:
        return "", "unreadable: " + line[:SHOWN].decode("utf-8", "replace"), "bad"
    return clock(event.time), describe(event)[:SHOWN], STYLES.get(type(event), "")
