"""Loads the pool of a screen in a worker thread: at once when another one is wanted, now and then while a run scores."""

import time
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

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


class PoolRead(Message):
    """A pool was read."""

    def __init__(self, request: Request, view: PoolView) -> None:
        super().__init__()
        self.request = request
        self.view = view


class PoolProgress(Message):
    """A pool is being read: what is done right now, and the done part of it."""

    def __init__(self, text: str, fraction: float) -> None:
        super().__init__()
        self.text = text
        self.fraction = fraction


class PoolLoader:
    """One per screen. All methods but the worker's are called by the app's thread."""

    def __init__(self, screen: Screen[None]) -> None:
        self.screen = screen
        self.request: Request | None = None
        self._reader = PoolReader(None)
        self.is_busy = False
        self._news: object = None
        self._wanted: object = None
        self._finished = 0.0
        self._pause = PAUSE
        self._is_waiting = False

    def want(self, request: Request, news: object = None) -> None:
        """Show this; whenever `news` is another value the files may have changed."""
        if request != self.request:
            self.request, self._wanted = request, news
            self._reader = PoolReader(request.run, pool=request.pool, truth=request.truth)
            self._start()
        elif news != self._wanted:
            self._wanted = news
            self._look_again()

    def done(self, request: Request) -> bool:
        """Whether what was read is still wanted."""
        if request != self.request:
            return False
        self.is_busy, self._finished = False, time.monotonic()
        if self._news != self._wanted:
            self._look_again()
        return True

    def _look_again(self) -> None:
        if self.is_busy or self._is_waiting:
            return
        left = self._finished + self._pause - time.monotonic()
        if left <= 0:
            self._start()
        else:
            self._is_waiting = True
            self.screen.set_timer(left, self._waited)

    def _waited(self) -> None:
        self._is_waiting = False
        if not self.is_busy and self._news != self._wanted:
            self._start()

    def _start(self) -> None:
        assert self.request is not None
        request, reader = self.request, self._reader
        self.is_busy, self._news = True, self._wanted
        self.screen.run_worker(lambda: self._read(request, reader), thread=True, exclusive=True, group="pool")

    def _read(self, request: Request, reader: PoolReader) -> None:
        begin = time.monotonic()
        worker = get_current_worker()
        view = reader.read(self._teller())
        if not worker.is_cancelled:
            self._pause = max(PAUSE, 10 * (time.monotonic() - begin))
            self.screen.post_message(PoolRead(request, view))

    def _teller(self) -> Progress:
        last = 0.0

        def tell(text: str, fraction: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > TELL:
                last = now
                self.screen.post_message(PoolProgress(text, fraction))

        return tell
