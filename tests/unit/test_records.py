"""Records with checksums: a killed or damaged write loses the record it hit and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.records import appending, read_records

record_lists = st.lists(
    st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
)


@pytest.fixture
def three(tmp_path):
    path = tmp_path / "records"
    with appending(path) as writer:
        for number in range(3):
            writer.append({"number": number}, durable=number == 1)
    return path


def numbers(path):
    return [record["number"] for record in read_records(path)]


@given(st.lists(record_lists, max_size=3))
def test_what_several_writers_append_is_read_in_order(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("records") / "file"
    for batch in batches:
        with appending(path) as writer:
            for record in batch:
                writer.append(record)
    assert list(read_records(path)) == [record for batch in batches for record in batch]


def test_a_missing_file_has_no_records(tmp_path):
    assert list(read_records(tmp_path / "none")) == []


def test_a_cut_at_any_byte_loses_only_what_it_cut(three):
    whole = three.read_bytes()
    for cut in range(len(whole)):
        three.write_bytes(whole[:cut])
        kept = numbers(three)
        assert kept == list(range(len(kept)))
        with appending(three) as writer:
            writer.append({"number": 9})
        *before, last = numbers(three)
        # A record that lacks nothing but its line break is whole once the next writer has ended the line.
        complete = [*kept, len(kept)] if whole[cut : cut + 1] == b"\n" else kept
        assert (before, last) == (complete, 9)


def test_a_flipped_bit_anywhere_is_noticed(three):
    whole = three.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        three.write_bytes(damaged)
        kept = numbers(three)
        assert set(kept) < {0, 1, 2} or (set(kept) == {0, 1, 2} and whole[position : position + 1] == b"\n")
