"""Plays a finished run again, as it came, some times faster."""

import threading
import time
from collections.abc import Callable

from kit.events import from_line
from kit.run_dir import RunDirectory
from kit.watch.log_reader import INTERVAL, LogReader, Reading

LONGEST_GAP = 60.0
"""A longer silence in the log is played as one of this many seconds: nobody replays a night's break."""


def replay(run: RunDirectory, post: Callable[[Reading], None], stop: threading.Event, *, speed: float) -> None:
    """Post readings as `follow` would have done while the run was going on, `speed` times as fast."""
    reader = LogReader(run.events)
    try:
        file = run.events.open("rb")
    except OSError as error:
        post(Reading(problem=f"cannot read {run.events}: {error.strerror}"))
        return
    with file:
        before: float | None = None
        waited, started, posted = 0.0, time.monotonic(), 0.0
        for line in file:
            event = from_line(line)
            if event is not None:
                gap = 0.0 if before is None else min(max(0.0, event.time - before), LONGEST_GAP)
                before, waited = event.time, waited + gap / speed
            while not stop.is_set() and (rest := started + waited - time.monotonic()) > 0:
                if reader.events and time.monotonic() - posted >= INTERVAL:
                    posted = time.monotonic()
                    post(reader.reading(reader.fold.outcome))
                stop.wait(min(rest, INTERVAL))
            if stop.is_set():
                return
            reader.feed(line if line.endswith(b"\n") else line + b"\n")
    post(reader.reading(reader.fold.outcome))
