"""The event log: what is written is read back, and damage costs the damaged line only."""

import dataclasses
import json

import pytest
from event_logs import read_events
from hypothesis import given
from hypothesis import strategies as st

from kit.events import (
    KINDS,
    CheckpointSaved,
    EventLog,
    Note,
    RankMeasured,
    RunStarted,
    StepDone,
    UnknownEvent,
    from_line,
    to_line,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
times, counts = st.floats(0, 4e9), st.integers(0, 2**53)
events = st.one_of(
    st.builds(Note, time=times, message=st.text()),
    st.builds(
        StepDone,
        time=times,
        phase=st.text(),
        step=counts,
        epoch=counts,
        learning_rate=numbers,
        seconds=numbers,
        data_seconds=numbers,
        losses=st.lists(numbers).map(tuple),
        codes=st.lists(st.text()).map(tuple),
    ),
    st.builds(RankMeasured, time=times, truth=st.text(), report=st.dictionaries(st.text(), st.lists(numbers))),
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=8
)


@given(events)
def test_an_event_is_one_line_and_comes_back(event):
    line = to_line(event)
    assert len(line.encode().splitlines()) == 1
    assert from_line(line) == event


@given(
    st.text()
    | json_values.map(json.dumps)
    | st.dictionaries(st.sampled_from(["kind", "time", "x"]), json_values).map(json.dumps)
)
def test_nothing_in_a_log_makes_reading_fail(line):
    event = from_line(line)
    assert event is None or dataclasses.is_dataclass(event)


def test_unknown_fields_are_skipped_and_unknown_kinds_kept():
    line = {"kind": "Note", "time": 1.0, "message": "m", "colour": "red"}
    assert from_line(json.dumps(line)) == Note(time=1.0, message="m")
    later = from_line('{"kind": "Later", "time": 2, "x": [1]}')
    assert later == UnknownEvent(time=2, kind="Later", content={"time": 2, "x": [1]})


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_but_kind_and_time_may_be_missing(kind):
    event = from_line(json.dumps({"kind": kind, "time": 1.5}))
    assert type(event).__name__ == kind and event.time == 1.5
    json.dumps(dataclasses.asdict(event))


@given(events, st.data())
def test_fields_that_stand_are_read_whatever_else_is_missing(event, data):
    content = json.loads(to_line(event))
    names = sorted(content.keys() - {"kind", "time"})
    kept = data.draw(st.sets(st.sampled_from(names))) if names else set()
    read = from_line(json.dumps({name: content[name] for name in ("kind", "time", *kept)}))
    assert {name: getattr(read, name) for name in kept} == {name: getattr(event, name) for name in kept}


@given(events, st.data())
def test_a_value_of_a_wrong_type_makes_the_line_unusable(event, data):
    content = json.loads(to_line(event))
    name = data.draw(st.sampled_from(sorted(content)))
    wrong = None if isinstance(content[name], list | dict) else [content[name]]
    assert from_line(json.dumps({**content, name: wrong})) is None


def test_a_log_of_the_first_version_is_read_whole(checkout):
    """Recorded by version 0.1.0: kinds and fields keep their names and their meaning."""
    lines = (checkout / "tests" / "data" / "runs" / "full-fashion-s0" / "events.jsonl").read_bytes().splitlines()
    for line in lines:
        event, content = from_line(line), json.loads(line)
        assert type(event).__name__ == content.pop("kind")
        written = json.loads(to_line(event))
        assert {name: written[name] for name in content} == content


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as writer:
        for step in range(3):
            writer.append(CheckpointSaved(phase="D", step=step), durable=step == 2)
    return path


def steps(path):
    return [event.step for event in read_events(path)]


def test_reopening_appends(log):
    with EventLog(log) as writer:
        writer.append(CheckpointSaved(phase="D", step=3))
    assert steps(log) == [0, 1, 2, 3]


def test_a_line_torn_at_any_byte_costs_that_line_only(log):
    whole = log.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        log.write_bytes(whole[:cut])
        with EventLog(log) as writer:
            writer.append(CheckpointSaved(phase="D", step=7))
        assert steps(log) == [0, 1, 7]


def test_a_damaged_line_in_the_middle_is_skipped(log):
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + b"\xff\x00 no json\n" + lines[2])
    assert steps(log) == [0, 2]


def test_values_that_json_lacks_are_programmer_errors():
    event = RunStarted(run="r", recipe="r", profile="p", seed=0, pid=1, phases=(), passes=1, continued=False)
    with pytest.raises(ValueError):
        to_line(dataclasses.replace(event, time=float("nan")))
