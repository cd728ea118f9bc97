"""Reads an event log as it grows, in bounded memory: its end at once, the rest in the background.

Every line of a kind that a run writes few of is folded. Of steps and scores all are up to the first 65,536, then every
second, fourth, ... by their number in the log, so that a curve is the same whenever and wherever a dashboard was opened; the
newest is always folded, so that progress is exact.
"""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kit.events import PhaseStarted, RunStarted, from_line
from kit.files import GrowingFile
from kit.run_dir import RunDirectory
from kit.watch.liveness import Liveness
from kit.watch.run_fold import RunFold
from kit.watch.run_state import RunState

CHUNK = 1 << 18
EDGE = 1 << 17
"""Bytes of a log's beginning and end that the first look takes."""
LONG = 8 << 20
"""Bytes from which on a log is long: it is read through when the screen has been painted."""
MAX_LINE = 8 << 20
KEPT_LINES = 1000
KEPT_BYTES = 1 << 16
"""Of a line: more than the report of a rank with many opponents takes."""
INTERVAL = 1.0
HEAD_START = 1.0
"""Seconds that the screen gets to paint itself before a long log is read through."""
BREATH = 0.004
"""Seconds between two chunks: parsing would otherwise keep the interpreter from the thread that paints."""
FULL = 1 << 16
BULK = frozenset((b"StepDone", b"SubnetEvaluated", b"CandidateReplaced", b"CheckpointSaved", b"TrainingDone"))
_PREFIX = b'{"kind":"'

NOTHING = RunState()


@dataclass(frozen=True)
class Reading:
    """A run's state with what is known about its log."""

    state: RunState = NOTHING
    status: str = "queued"
    """`queued`, `running`, `finished`, `stopped` or `crashed`."""
    lines: tuple[bytes, ...] = ()
    """The last lines of the log, each cut after some thousand bytes."""
    events: int = 0
    damaged: int = 0
    problem: str = ""
    """Why the log cannot be read, for people."""


class LogReader:
    """Folds one log, chunk by chunk. `curves=False` folds only what a list of runs needs."""

    def __init__(self, path: Path, *, curves: bool = True) -> None:
        self.path = path
        self.curves = curves
        self._start()

    def _start(self) -> None:
        self.fold = RunFold()
        self.lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._file = GrowingFile(self.path)
        self.damaged = 0
        self.problem = ""
        self.counts: Counter[bytes] = Counter()
        self._rest = b""
        self._skipping = False
        self._latest: dict[bytes, bytes] = {}

    @property
    def events(self) -> int:
        return sum(self.counts.values())

    @property
    def complaint(self) -> str:
        """Why nothing is known of the log; empty where something is, or where there is none."""
        return self.problem or (f"no line of {self.path} can be read" if 0 < self.events <= self.damaged else "")

    @property
    def behind(self) -> bool:
        """Whether bytes are left that were there at the last look."""
        return self._file.offset < self._file.size

    def poll(self) -> bool:
        """Read the next chunk; whether anything changed. A log that was cut or replaced is read from its beginning."""
        file, had_problem = self._file, bool(self.problem)
        was_known = file.is_known
        try:
            data, is_another = file.read(CHUNK)
        except FileNotFoundError:
            self._start()
            return was_known
        except OSError as error:
            problem = f"cannot read {self.path}: {error.strerror}"
            changed, self.problem = problem != self.problem, problem
            file.size = file.offset
            return changed
        if is_another:
            self._start()
            self._file = file
        self.problem = ""
        self.feed(data)
        return bool(data) or is_another or had_problem or not was_known

    def catch_up(self, stop: threading.Event | None = None) -> bool:
        """Read to the end, or until `stop` is set; whether anything changed."""
        changed = self.poll()
        while self.behind and not (stop is not None and stop.wait(BREATH)):
            changed |= self.poll()
        return changed

    def feed(self, data: bytes) -> None:
        """Fold the lines in `data`; a last line without its break waits for the next call."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._skipping and lines:
            lines, self._skipping = lines[1:], False
        if len(self._rest) > MAX_LINE:
            self._rest, self._skipping = b"", True
            self.damaged += 1
        for line in lines:
            self._take(line)
        self._fold_latest()
        self.fold.count_replacements(self.counts[b"CandidateReplaced"])

    def reading(self, status: str) -> Reading:
        """What was read so far."""
        return Reading(
            state=self.fold.state(complete=not self.behind),
            status=status,
            lines=tuple(self.lines) if self.curves else (),
            events=self.events,
            damaged=self.damaged,
            problem=self.problem,
        )

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        kind = line[len(_PREFIX) : line.find(b'"', len(_PREFIX))] if line.startswith(_PREFIX) else b""
        number = self.counts[kind]
        self.counts[kind] = number + 1
        self.lines.append(line[:KEPT_BYTES])
        if kind not in BULK or (self.curves and is_sampled(number)):
            self._fold_latest()
            self._fold(line, sampled=True)
        else:
            # At the end, so that the newest of all kinds are folded in the order of the log.
            self._latest.pop(kind, None)
            self._latest[kind] = line

    def _fold_latest(self) -> None:
        for line in self._latest.values():
            self._fold(line, sampled=False)
        self._latest.clear()

    def _fold(self, line: bytes, *, sampled: bool) -> None:
        event = from_line(line)
        if event is None:
            self.damaged += 1
        else:
            self.fold.fold(event, sampled=sampled)


def is_sampled(number: int) -> bool:
    """Whether the `number`-th event of a kind leaves a point in a curve; ever fewer do, by a rule that knows no clock."""
    return number < FULL or not number & ((1 << (number.bit_length() - FULL.bit_length() + 1)) - 1)


def first_look(path: Path) -> Reading:
    """A provisional reading from a log's two ends: where a run is, in milliseconds, however long the log is."""
    reader = LogReader(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(EDGE)
            if size > 2 * EDGE:
                file.seek(size - EDGE)
                tail = file.read(EDGE)
            else:
                tail = b""
                head += file.read(EDGE)
    except OSError:
        return Reading()
    if tail:
        # Of the beginning only what describes the run as a whole: its steps are long past.
        for line in head.split(b"\n")[:-1]:
            event = None if line.startswith(b'{"kind":"StepDone"') else from_line(line)
            if isinstance(event, RunStarted | PhaseStarted):
                reader.fold.fold(event)
        reader.feed(tail[tail.find(b"\n") + 1 :])
    else:
        reader.feed(head)
    reading = reader.reading("")
    return Reading(state=reader.fold.state(complete=not tail), lines=reading.lines, events=reading.events)


def is_long(path: Path) -> bool:
    """Whether reading all of a log takes long enough to be noticed."""
    try:
        return path.stat().st_size > LONG
    except OSError:
        return False


def follow(run: RunDirectory, post: Callable[[Reading], None], stop: threading.Event, interval: float = INTERVAL) -> None:
    """Post readings of a run until `stop` is set: a first look, then as the log is read, then whenever it changes."""
    liveness = Liveness(run)
    looked = first_look(run.events)
    post(replace(looked, status=liveness.status(looked.state.outcome)))
    reader = LogReader(run.events)
    status = ""
    if is_long(run.events):
        stop.wait(HEAD_START)
    for changed in _polls(reader, stop, interval):
        now = liveness.status(reader.fold.outcome)
        if changed or now != status:
            status = now
            post(reader.reading(status))


def _polls(reader: LogReader, stop: threading.Event, interval: float) -> Iterator[bool]:
    """Poll; yield whether something changed, at most once in `interval` while much is to be read."""
    while not stop.is_set():
        changed = reader.poll()
        chunks = 1
        while reader.behind and not stop.is_set():
            stop.wait(BREATH)
            changed |= reader.poll()
            chunks += 1
            if chunks % 128 == 0:
                yield changed
        yield changed
        stop.wait(interval)
