"""What screens about a pool share: a thread reads it, at once when another is wanted, now and then while a run scores."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.timer import Timer

from kit.dashboard.screens.base import KitScreen
from kit.run_dir import RunDirectory
from kit.watch.pool_rows import Progress
from kit.watch.run_files import PoolReader, PoolView

PAUSE = 5.0
"""Seconds between two looks at a run that is scoring, or ten times what a look takes."""
TELL = 0.1


@dataclass(frozen=True)
class Request:
    """What to load: a run's pool or another file, and the truth to compare with (empty: the shipped one)."""

    run: RunDirectory | None = None
    pool: Path | None = None
    truth: str = ""


class PoolScreen(KitScreen):
    """Override `take_pool` and `show_progress`; call `want`."""

    def __init__(self) -> None:
        super().__init__()
        self.request: Request | None = None
        self._reader = PoolReader(None)
        self.progress = ""
        """What is being done before something can be shown."""
        self._wanted: object = None
        self._read_for: object = None
        self._rest: Timer | None = None

    def take_pool(self, view: PoolView) -> None:
        """Show what was read."""
        raise NotImplementedError

    def show_progress(self) -> None:
        """Say what is being done."""
        raise NotImplementedError

    def want(self, request: Request, news: object = None) -> None:
        """Show this; whenever `news` is another value the files may have changed."""
        self._wanted, is_other = news, request != self.request
        if is_other:
            self.request = request
            self._reader = PoolReader(request.run, pool=request.pool, truth=request.truth)
        if is_other or (news != self._read_for and self._rest is None and not self.at_work["pool"]):
            self._read(request)

    def _read(self, request: Request) -> None:
        self._read_for = self._wanted
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        self.in_thread(partial(self._load, self._reader), partial(self._take, request), "pool")

    def _load(self, reader: PoolReader) -> tuple[PoolView, float]:
        begin = time.monotonic()
        return reader.read(self._teller()), begin

    def _teller(self) -> Progress:
        last = 0.0

        def tell(text: str, fraction: float) -> None:
            nonlocal last
            if time.monotonic() - last > TELL:
                last = time.monotonic()
                self.call_later(show, f"{text} {fraction:.0%}" if fraction else text)

        def show(text: str) -> None:
            if self.at_work["pool"]:
                self.progress = text
                self.show_progress()

        return tell

    def _take(self, request: Request, read: tuple[PoolView, float]) -> None:
        view, begin = read
        if request == self.request:
            self._rest = self.set_timer(max(PAUSE, 10 * (time.monotonic() - begin)), self._rested)
            self.progress = ""
            self.take_pool(view)
            self.call_after_refresh(self.app.spare_collector)

    def _rested(self) -> None:
        self._rest = None
        if self.request is not None and self._wanted != self._read_for:
            self._read(self.request)
