"""What screens about a pool share: a thread reads it, at once when another is wanted, now and then while a run scores."""

import time
from functools import partial

from textual.timer import Timer

from kit.dashboard.screens.base import KitScreen
from kit.watch.filter_language import HELP, Filter, FilterError, parse_filter
from kit.watch.run_files import PoolReader, PoolView

PAUSE = 5.0
"""Seconds between two looks at a run that is scoring, or ten times what a look takes."""
TELL = 0.1


class PoolScreen(KitScreen):
    """Override `take_pool`, `take_filter` and `show_progress`; call `want`."""

    FILTER_HELP = HELP

    def __init__(self) -> None:
        super().__init__()
        self.reader: PoolReader | None = None
        self.progress = ""
        """What is being done before something can be shown."""
        self.filter_error: FilterError | None = None
        self._wanted: object = None
        self._read_for: object = None
        self._rest: Timer | None = None
        self._told_at = 0.0

    def take_pool(self, view: PoolView) -> None:
        """Show what was read."""
        raise NotImplementedError

    def take_filter(self, parsed: Filter | None) -> None:
        """Show the rows that match."""
        raise NotImplementedError

    def show_progress(self) -> None:
        """Say what is being done."""
        raise NotImplementedError

    def apply_filter(self, text: str) -> None:
        try:
            parsed, self.filter_error = parse_filter(text), None
        except FilterError as error:
            # Half a filter is the usual case while typing: rows stay as they are, a line says what is missing.
            self.filter_error = error
            self.show_progress()
        else:
            self.take_filter(parsed)

    def want(self, reader: PoolReader, news: object = None) -> None:
        """Show what this one reads; whenever `news` is another value the files may have changed."""
        self._wanted, is_other = news, reader != self.reader
        if is_other:
            self.reader = reader
        if is_other or (news != self._read_for and self._rest is None and not self.at_work["pool"]):
            self._read()

    def _read(self) -> None:
        assert self.reader is not None
        self._read_for = self._wanted
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        take = partial(self._take, self.reader, time.monotonic())
        self.in_thread(partial(self.reader.read, self._tell), take, "pool")

    def _tell(self, text: str, fraction: float) -> None:
        """What the thread does that reads: shown now and then."""
        if time.monotonic() - self._told_at > TELL:
            self._told_at = time.monotonic()
            self.call_later(self._show_told, f"{text} {fraction:.0%}" if fraction else text)

    def _show_told(self, text: str) -> None:
        if self.at_work["pool"]:
            self.progress = text
            self.show_progress()

    def _take(self, reader: PoolReader, begin: float, view: PoolView) -> None:
        if reader is self.reader:
            self._rest = self.set_timer(max(PAUSE, 10 * (time.monotonic() - begin)), self._rested)
            self.progress = ""
            self.take_pool(view)
            self.call_after_refresh(self.app.spare_collector)

    def _rested(self) -> None:
        self._rest = None
        if self._wanted != self._read_for:
            self._read()
