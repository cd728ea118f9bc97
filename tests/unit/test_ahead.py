"""Batches that are made one ahead: in order, while the last one is used, and nothing is lost or left behind."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from kit.data import Batch
from kit.errors import StorageError
from kit.evaluation import ahead
from kit.evaluation.ahead import Ahead

PATIENCE = 60.0


def batch(number: int) -> Batch:
    return Batch(torch.full((1,), number), torch.zeros(1))


class Numbered:
    """Batches 0, 1, ..., each of which says when it is made; the one numbered `broken` cannot be."""

    def __init__(self, count: int, broken: int = -1) -> None:
        self.made = [threading.Event() for _ in range(count)]
        self.broken = broken

    def __iter__(self) -> Iterator[Batch]:
        for number, made in enumerate(self.made):
            if number == self.broken:
                raise StorageError("cannot be decoded")
            made.set()
            yield batch(number)


def numbers(batches: Iterator[Batch]) -> list[int]:
    return [int(each.images) for each in batches]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_all_come_in_order_as_often_as_asked(count: int) -> None:
    batches = Ahead(Numbered(count))
    assert numbers(iter(batches)) == numbers(iter(batches)) == list(range(count))


def test_the_next_one_is_made_while_the_last_is_used() -> None:
    source = Numbered(4)
    for number, _ in enumerate(Ahead(source)):
        if number < 3:
            assert source.made[number + 1].wait(PATIENCE), "it waits to be asked for"


def test_an_error_comes_in_its_place() -> None:
    batches = iter(Ahead(Numbered(4, broken=2)))
    assert [int(next(batches).images) for _ in range(2)] == [0, 1]
    with pytest.raises(StorageError, match="cannot be decoded"):
        next(batches)


def test_who_leaves_early_leaves_no_thread() -> None:
    batches = iter(Ahead(Numbered(9)))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("next-batch")]


class Clock:
    """Stands still but for what a test adds; says how often it was read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.readings = 0
        self.read = threading.Condition()

    def __call__(self) -> float:
        with self.read:
            self.readings += 1
            self.read.notify_all()
            return self.now

    def wait_for(self, readings: int) -> None:
        with self.read:
            assert self.read.wait_for(lambda: self.readings >= readings, PATIENCE)


def test_it_counts_the_waiting_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(ahead, "time", SimpleNamespace(perf_counter=clock))

    def slow() -> Iterator[Batch]:
        for number in range(3):
            clock.wait_for(2 * number + 1)  # It is read before and after each batch: this one is being waited for.
            clock.now += 5
            yield batch(number)

    waiting = Ahead(slow())
    assert numbers(iter(waiting)) == [0, 1, 2] and waiting.waited == 15
    source = Numbered(3)
    using = Ahead(source)
    for number, _ in enumerate(using):
        if number < 2:
            assert source.made[number + 1].wait(PATIENCE)
        clock.now += 7
    assert using.waited == 0 and clock.now == 36
