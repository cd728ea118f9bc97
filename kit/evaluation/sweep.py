"""Working through units, alone or as one of many processes that take the next unit each whenever they are free."""

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from torch._C._distributed_c10d import Store

from kit.errors import CommunicationError
from kit.evaluation.prefix_tree import Tick
from kit.evaluation.units import Unit
from kit.process_group import ProcessGroup, lost_processes
from kit.results import ResultsFile, Score

LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class UnitDone:
    """A unit whose results are on disk. `correct` is in the order of its architectures."""

    unit: Unit
    correct: list[int]
    images: int
    seconds: float
    notes: list[str] = field(default_factory=list)


ScoreUnit = Callable[[Unit, Tick, Callable[[str], None]], list[Score]]


def sweep(
    units: Sequence[Unit], score: ScoreUnit, results: ResultsFile, group: ProcessGroup, should_stop: Callable[[], bool]
) -> Generator[UnitDone, None, None]:
    """Score all `units` and append their results. The first process hears of every unit, the others of none.

    On a stop the unit at work is given up: a unit's results are written whole or not at all. Closing the first process's
    iterator ends the work of all. Raises `CommunicationError` when another process is lost, or has not moved for
    `group.timeout_seconds`.
    """
    board = _Board(units, group) if group.size > 1 else None
    order = iter(range(len(units))) if board is None else board.tickets()

    def tick() -> None:
        if should_stop() or (board is not None and board.is_called_off()):
            raise _GivenUpError

    with results.appending(group.rank) as writer:
        for ticket in order:
            started, notes = time.perf_counter(), list[str]()
            try:
                scores = score(units[ticket], tick, notes.append)
            except _GivenUpError:
                return
            writer.append(scores)
            done = UnitDone(
                unit=units[ticket],
                correct=[score.correct for score in scores],
                images=scores[0].images,
                seconds=time.perf_counter() - started,
                notes=notes,
            )
            if board is None:
                yield done
            else:
                board.finish(ticket, done)
                yield from _until_called_off(board, board.news())
            if should_stop():
                return
    if board is not None:
        yield from _until_called_off(board, board.wait_for_others(should_stop))


def _until_called_off(board: "_Board", news: Iterator[UnitDone]) -> Iterator[UnitDone]:
    """The news; a first process that wants no more of them ends the work of all."""
    try:
        yield from news
    except GeneratorExit:
        board.call_off()
        raise


class _GivenUpError(Exception):
    """A stop was asked for in the middle of a unit."""


class _Board:
    """Who does what, in the store that all processes share. Everything on it is for one sweep."""

    def __init__(self, units: Sequence[Unit], group: ProcessGroup) -> None:
        assert group.store is not None
        self.units = units
        self.group = group
        self.store: Store = group.store
        # Several sweeps may follow each other on one store: each has a number, the same in every process.
        with lost_processes():
            self.number = self.store.add(f"sweeps of {group.rank}", 1)
        self._finished = 0
        self._told = 0
        self._seen: dict[int, int] = {}
        self._looked_at = 0.0
        self._called_off = False

    def tickets(self) -> Iterator[int]:
        """Units for this process: whichever nobody has taken yet."""
        while (ticket := self._count("taken", 1) - 1) < len(self.units):
            yield ticket

    def is_called_off(self) -> bool:
        """Whether nobody needs to work any more. Asking also shows the others that this process moves."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._count(f"life {self.group.rank}", 1)
            self._called_off = self._count("called off", 0) > 0
            self._looked_at = time.monotonic()
        return self._called_off

    def call_off(self) -> None:
        """Let everybody stop after what is finished now."""
        self._count("called off", 1)

    def finish(self, ticket: int, done: UnitDone) -> None:
        """Tell the first process about a finished unit."""
        message = {"ticket": ticket, "correct": done.correct, "images": done.images, "seconds": done.seconds}
        with lost_processes():
            # First the message, then the count: whoever sees the count finds the message.
            self._finished += 1
            key = self._key(f"by {self.group.rank} {self._finished}")
            self.store.set(key, json.dumps({**message, "notes": done.notes}))
        self._count(f"by {self.group.rank}", 1)
        self._count("finished", 1)

    def news(self) -> Iterator[UnitDone]:
        """What was finished since the last call, by anybody. Only the first process asks the store."""
        if not self.group.is_first or self._count("finished", 0) == self._told:
            return
        for rank in range(self.group.size):
            yield from self._news_of(rank)

    def wait_for_others(self, should_stop: Callable[[], bool]) -> Iterator[UnitDone]:
        """Until every unit is finished; raises `CommunicationError` when a process has stopped moving."""
        timeout = self.group.timeout_seconds
        moved: dict[int, tuple[int, float]] = {}
        while not should_stop() and not self.is_called_off():
            yield from self.news()
            if self._count("finished", 0) == len(self.units):
                yield from self.news()
                return
            for rank in range(self.group.size):
                life, now = self._count(f"life {rank}", 0), time.monotonic()
                last, moved_at = moved.get(rank, (-1, now))
                if last != life:
                    moved[rank] = life, now
                elif now - moved_at > timeout:
                    raise CommunicationError(
                        f"process {rank} of this run has not moved for {timeout:.0f} s",
                        hint="finished units are kept: run the same command again to continue",
                    )
            time.sleep(LOOK_SECONDS)

    def _news_of(self, rank: int) -> Iterator[UnitDone]:
        seen = self._seen.get(rank, 0)
        for position in range(seen + 1, self._count(f"by {rank}", 0) + 1):
            with lost_processes():
                key = self._key(f"by {rank} {position}")
                message = json.loads(self.store.get(key))
            self._seen[rank] = position
            self._told += 1
            yield UnitDone(unit=self.units[message.pop("ticket")], **message)

    def _count(self, name: str, more: int) -> int:
        with lost_processes():
            count: int = self.store.add(self._key(name), more)
        return count

    def _key(self, name: str) -> str:
        return f"sweep {self.number} {name}"
