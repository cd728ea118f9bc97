"""Stopping in good order: a signal sets a flag, the work looks at the flag after each step."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kit.errors import ExitCode, StopRequestedError
from kit.launcher import place
from kit.process_group import ProcessGroup

_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    # A terminal that goes away, and what schedulers send some time before they take a machine.
    signal.SIGHUP: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.TERMINATED,
}


class StopFlag:
    """Calling it says whether a stop was asked for."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._launcher = os.getppid() if place().elastic else None

    def __call__(self) -> bool:
        if self._launcher is not None and os.getppid() != self._launcher:
            # Nobody would notice any more if another process of the run were lost.
            self.signal = self.signal or signal.SIGTERM
        return self.signal is not None

    @property
    def reason(self) -> str:
        return self.signal.name if self.signal is not None else ""

    def check(self, group: ProcessGroup | None = None) -> None:
        """Raise what ends the command in every process of a group, if one of them was told to stop."""
        if (group or ProcessGroup()).any(self()):
            raise self.error()

    def error(self) -> StopRequestedError:
        """What to raise once everything is saved."""
        number = self.signal or signal.SIGTERM  # another process of the run was told to stop
        return StopRequestedError(
            f"stopped by {number.name}; everything so far is saved",
            exit_code=_CODES[number],
            hint="run the same command again to continue",
        )


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn SIGINT, SIGTERM, SIGHUP and SIGUSR1 into a flag; a second SIGINT interrupts at once.

    What the parent chose to ignore (`nohup` and SIGHUP) stays ignored.
    """
    flag = StopFlag()

    def note(number: int, frame: FrameType | None) -> None:
        if flag.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.signal = signal.Signals(number)

    heard = [number for number in _CODES if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, note) for number in heard}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
