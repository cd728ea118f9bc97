"""What worker threads and widgets tell the app. Handlers own all state; whoever posts forgets."""

from pathlib import Path

from textual.message import Message

from kit.watch.log_reader import Reading
from kit.watch.run_summary import RunSummary


class RunRead(Message):
    """The followed run's log was read (further)."""

    def __init__(self, run: Path, reading: Reading) -> None:
        super().__init__()
        self.run = run
        self.reading = reading


class RunsRead(Message):
    """The list of runs changed; `complete` once every run was looked at."""

    def __init__(self, runs: tuple[RunSummary, ...], *, complete: bool, problem: str = "") -> None:
        super().__init__()
        self.runs = runs
        self.complete = complete
        self.problem = problem


class ProcessEnded(Message):
    """A process that this dashboard started has ended; `last_words` is the end of its log."""

    def __init__(self, label: str, code: int, last_words: str, log: Path) -> None:
        super().__init__()
        self.label = label
        self.code = code
        self.last_words = last_words
        self.log = log
