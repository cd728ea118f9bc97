"""Events, records and atomic files: what a killed or hindered process leaves is whole, absent, or noticed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import StorageError
from kit.events import EventLog, Note, RunFinished, StepDone, UnknownEvent, from_line, read_events, to_line
from kit.files import exclusive_lock, parse_json, read_json, write_atomically, write_json
from kit.records import appending, read_records

STEP = StepDone(
    phase="D1", step=3, epoch=0, learning_rate=0.1, seconds=1.5, data_seconds=0.1, losses=(0.1, 2.5), codes=("1", "2")
)


@given(st.floats(0, 1e9), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3), st.text(max_size=20))
def test_an_event_reads_back_equal(moment, losses, phase):
    event = StepDone(**{**vars(STEP), "time": moment, "losses": tuple(losses), "phase": phase})
    assert from_line(to_line(event)) == event and "\n" not in to_line(event)


def test_a_torn_line_is_skipped_and_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(to_line(STEP).encode() + b"\n" + to_line(STEP).encode()[:40])
    assert list(read_events(path)) == [STEP]
    with EventLog(path) as log:
        log.append(RunFinished(time=1.0, run="r"))
    assert list(read_events(path)) == [STEP, RunFinished(time=1.0, run="r")]


def test_events_of_a_newer_version_are_kept_as_they_are():
    event = from_line('{"kind":"Teleported","time":2.0,"where":"Mars"}')
    assert isinstance(event, UnknownEvent) and event.content["where"] == "Mars"
    assert isinstance(from_line(json.dumps({"kind": "Note", "time": 1, "message": "m", "new": 1})), UnknownEvent)
    assert from_line('{"kind":"Note","time":1,"message":"m"}') == Note(time=1, message="m")


@given(st.integers(0, 2000), st.booleans())
def test_damaged_records_are_left_out_and_the_others_kept(tmp_path_factory, at, cut):
    path = tmp_path_factory.mktemp("records") / "file"
    written = [{"code": str(number), "correct": number} for number in range(5)]
    with appending(path) as writer:
        for record in written:
            writer.append(record)
    data = bytearray(path.read_bytes())
    at %= len(data)
    if cut:
        del data[at:]
    else:
        data[at] ^= 1
    path.write_bytes(data)
    with appending(path) as writer:
        writer.append({"code": "last"})
    found = list(read_records(path))
    assert found[-1] == {"code": "last"}
    assert all(record in written for record in found[:-1])
    hit = bytes(data[:at]).count(b"\n")
    # A damaged line break joins two lines, so at most two records are lost.
    assert found[:hit] == written[:hit] and (cut or len(found) - 1 >= 3)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left") as refusal:
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    assert "free some space" in refusal.value.hint


@pytest.mark.parametrize("text", [b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[Infinity]", b"{", b"\xff", b"[" * 100_000])
def test_json_outside_the_standard_is_refused(text):
    with pytest.raises(StorageError, match="thing is not valid JSON"):
        parse_json(text, source="thing")


def test_floats_keep_their_last_digit(tmp_path):
    value = {"acc": 0.1 + 0.2, "tiny": 5e-324}
    write_json(tmp_path / "file", value)
    assert read_json(tmp_path / "file") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"acc": float("nan")})
    assert read_json(tmp_path / "file") == value


def test_one_holder_at_a_time(tmp_path):
    path = tmp_path / "lock"
    with exclusive_lock(path, holder="the run"):
        with (
            pytest.raises(StorageError, match=r"the run is in use by another process \(pid \d+\)"),
            exclusive_lock(path, holder="the run"),
        ):
            raise AssertionError("two holders")
    with exclusive_lock(path, holder="the run"):
        assert path.read_text().strip().isdigit()
