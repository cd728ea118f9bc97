"""Results on disk: readers that know no key, that watch files grow, and that meet other layouts and other processes."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import records
from kit.errors import StorageError
from kit.records import appending
from kit.results import ResultsFile, ResultsReader, Score, dump_pool_scores, parse_pool_scores
from kit.search_space import RESNET48

DRAW = random.Random(0)
ARCHITECTURES = [RESNET48.sample(DRAW) for _ in range(24)]
units = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 11), min_size=1, max_size=4)), max_size=12)


def score(number: int, correct: int = 3) -> Score:
    return Score(ARCHITECTURES[number], correct, 10)


def codes(*numbers: int) -> dict[str, tuple[int, int]]:
    return {ARCHITECTURES[number].code: (3, 10) for number in numbers}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evaluations.jsonl"


@given(units, st.data())
def test_a_reader_that_looks_in_between_knows_what_a_late_one_knows(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, list[int]]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("results") / "evaluations.jsonl"
    results, early = ResultsFile(path, "a"), ResultsReader(path)
    written = [(rank, [12 + at, *numbers]) for at, (rank, numbers) in enumerate(written)]  # no unit is done twice
    for rank, numbers in written:
        with results.appending(rank) as writer:
            writer.append([score(number) for number in numbers])
        if data.draw(st.booleans()):
            early.look()
        if data.draw(st.booleans()):
            results.merge()
    early.look()
    assert early.newest == early.of("a") == results.read() == codes(*(n for _, numbers in written for n in numbers))


def test_every_record_is_parsed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    parse = records._record
    monkeypatch.setattr(records, "_record", lambda line: parsed.append(line) or parse(line))
    reader = ResultsReader(path)
    with ResultsFile(path, "a").appending() as writer:
        for number in range(6):
            writer.append([score(number)])
            reader.look()
            reader.look()
            assert list(reader.newest) == [each.code for each in ARCHITECTURES[: number + 1]]
    assert len([line for line in parsed if line]) == 6


def test_half_a_record_is_taken_once_it_is_whole(path: Path) -> None:
    with ResultsFile(path, "a").appending() as writer:
        writer.append([score(0)])
        writer.append([score(1)])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        reader = ResultsReader(path)
        reader.look()
        with path.open("ab") as file:
            file.write(whole[cut:])
        reader.look()
        assert reader.newest == codes(0, 1)


def test_the_newest_key_is_that_of_the_last_record(path: Path) -> None:
    reader = ResultsReader(path)
    reader.look()
    assert reader.newest == {}
    for key, number in (("a", 0), ("b", 1), ("a", 2)):
        with ResultsFile(path, key).appending() as writer:
            writer.append([score(number)])
        reader.look()
        assert reader.newest == reader.of(key)
    assert reader.newest == codes(0, 2)
    with ResultsFile(path, "c").appending(rank=1) as writer:
        writer.append([score(3)])
    reader.look()
    assert reader.newest == codes(3)


@pytest.mark.parametrize("other", ["removed", "cut", "replaced"])
def test_files_that_begin_anew_are_read_anew(path: Path, other: str) -> None:
    results, reader = ResultsFile(path, "a"), ResultsReader(path)
    with results.appending() as writer:
        writer.append([score(0), score(1)])
        writer.append([score(2)])
    reader.look()
    if other == "removed":
        results.clear()
        reader.look()
        assert reader.newest == {}
    elif other == "cut":
        path.write_bytes(path.read_bytes()[:40])
    else:
        fresh = ResultsFile(path.with_name("fresh"), "a")
        with fresh.appending() as writer:
            writer.append([score(number) for number in range(4, 12)])
        fresh.path.replace(path)
    with results.appending() as writer:
        writer.append([score(3)])
    reader.look()
    assert reader.newest == results.read() == (codes(3, *range(4, 12)) if other == "replaced" else codes(3))


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"key": 3, "images": 10, "correct": {}},
        {"key": "b", "code": ARCHITECTURES[0].code, "correct": 3, "images": 10},  # one record per code: the first layout
        {"key": "b", "images": 10, "correct": {"x": 11}},
        {"key": "b", "images": 10, "correct": {"x": -1}},
        {"key": "b", "images": 10, "correct": {"x": True}},
        {"key": "b", "images": 10, "correct": {"x": "1"}},
        {"key": "b", "images": 0, "correct": {"x": 0}},
        {"key": "b", "images": None, "correct": {"x": 0}},
    ],
)
def test_records_of_another_layout_are_passed_over(path: Path, record: dict[str, object]) -> None:
    with ResultsFile(path, "a").appending() as writer:
        writer.append([score(0)])
    with appending(path) as raw:
        raw.append(record)
    reader = ResultsReader(path)
    reader.look()
    assert reader.newest == codes(0)
    assert ResultsFile(path, "b").read() == {}


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 9), st.integers(10, 20)), max_size=5))
def test_an_archives_scores_come_back_with_their_weights_only(rows: list[tuple[str, str, int, int]]) -> None:
    data = dump_pool_scores(rows, "a" * 64)
    assert data.count(b"\n") == len(rows)
    assert parse_pool_scores(data, "a" * 64, source="x") == rows
    for damaged in (b"{}\n", b"[]\n", b"1\n", b"{", b"null\n", dump_pool_scores([("n", "c", 1, 2)], "b" * 64)):
        with pytest.raises(StorageError):
            parse_pool_scores(data + damaged, "a" * 64, source="x")


def test_a_part_that_took_the_place_of_a_merged_one_is_read_from_its_start(path: Path) -> None:
    results, reader = ResultsFile(path, "a"), ResultsReader(path)
    for number in range(12):
        with results.appending(rank=1) as writer:
            writer.append([score(number)])
        reader.look()
        results.merge()  # frees the number of the part's file for the next one
    reader.look()
    assert reader.newest == codes(*range(12))
