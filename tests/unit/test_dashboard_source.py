"""Reading logs: as they grow, torn, damaged, enormous, unreadable; and who works on a run."""

import itertools
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import StorageError
from kit.events import EventLog, Note, RankMeasured, RunFinished, RunStarted, StepDone, from_line, to_line
from kit.run_dir import RunDirectory
from kit.watch.event_text import clock, describe, report_value
from kit.watch.liveness import Liveness, check_may_signal, holder
from kit.watch.log_reader import FULL, KEPT_BYTES, MAX_LINE, LogReader, Reading, first_look, follow, is_sampled
from kit.watch.replay import replay
from kit.watch.run_list import follow_runs
from kit.watch.run_state import RunState
from kit.watch.run_summary import RunSummary, describe_run

DATA = Path(__file__).resolve().parent.parent / "data" / "runs"
FASHION = RunDirectory(DATA / "full-fashion-s0")


def read_all(path: Path, **options: bool) -> LogReader:
    reader = LogReader(path, **options)
    reader.poll()
    while reader.behind:
        reader.poll()
    return reader


def step(number: int, *, phase: str = "A", loss: float = 1.0) -> StepDone:
    return StepDone(
        time=1000.0 + number,
        phase=phase,
        step=number,
        epoch=0,
        learning_rate=0.1,
        seconds=0.5,
        data_seconds=0.0,
        losses=(loss,),
        codes=("1",),
    )


def start(**values: object) -> RunStarted:
    settings = {"run": "r", "recipe": "x", "profile": "y", "seed": 0, "pid": os.getpid(), "phases": ("A",), "passes": 10}
    return RunStarted(**{"time": 999.0, "continued": False, **settings, **values})  # type: ignore[arg-type]


class TestReading:
    def test_the_recorded_run_is_read_to_its_end(self) -> None:
        state = read_all(FASHION.events).fold.state()
        known = describe_run(FASHION).to_json()
        assert state.outcome == "finished"
        assert state.passes_done == known["passes_done"] == state.passes
        assert state.loss == pytest.approx(known["loss"])
        assert [phase.status for phase in state.phases] == ["done"] * 12
        assert state.rank_figures is not None
        assert state.rank_figures.kendall is not None
        assert state.rank_figures.kendall.value == known["kendall"]

    @settings(max_examples=25)
    @given(cuts=st.lists(st.integers(0, 200_000), max_size=12))
    def test_however_the_bytes_arrive_the_state_is_the_same(self, cuts: list[int]) -> None:
        data = FASHION.events.read_bytes()
        whole, parts = LogReader(FASHION.events), LogReader(FASHION.events)
        whole.feed(data)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for begin, end in itertools.pairwise(edges):
            parts.feed(data[begin:end])
        assert parts.fold.state() == whole.fold.state()
        assert parts.counts == whole.counts

    def test_a_list_of_runs_sees_the_same_progress_without_reading_every_step(self) -> None:
        full, light = read_all(FASHION.events), read_all(FASHION.events, curves=False)
        assert light.fold.state().passes_done == full.fold.state().passes_done
        assert light.fold.state().loss == full.fold.state().loss
        assert light.fold.state().rank == full.fold.state().rank
        assert light.fold.state().elapsed == pytest.approx(full.fold.state().elapsed)
        assert light.counts == full.counts

    def test_a_log_that_grows_is_read_on(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        reader = LogReader(path)
        assert not reader.poll()
        with EventLog(path) as log:
            log.append(start())
            assert reader.poll()
            assert reader.fold.outcome == "running"
            assert not reader.poll()
            log.append(step(4))
            assert reader.poll()
        assert reader.fold.state().phases[0].step == 5

    def test_a_torn_last_line_waits_for_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        line = to_line(step(4)) + "\n"
        path.write_text(to_line(start()) + "\n" + line[:40])
        reader = read_all(path)
        assert (reader.fold.state().loss, reader.damaged) == (None, 0)
        with path.open("a") as file:
            file.write(line[40:])
        reader.poll()
        assert (reader.fold.state().loss, reader.damaged) == (1.0, 0)

    def test_a_log_that_was_replaced_or_cut_is_read_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_text("".join(to_line(event) + "\n" for event in (start(), step(1), step(2))))
        reader = read_all(path)
        path.write_text(to_line(start(recipe="other")) + "\n")
        reader.poll()
        assert reader.fold.state().recipe == "other"
        assert reader.fold.state().loss is None
        path.unlink()
        reader.poll()
        assert reader.fold.state().outcome == "queued"

    def test_nothing_is_ever_written(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "r")
        run.path.mkdir()
        run.events.write_text(to_line(start()) + "\n" + '{"kind":"StepDone","ti')
        before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
        stop = threading.Event()
        readings: list[Reading] = []

        def post(reading: Reading) -> None:
            readings.append(reading)
            if len(readings) >= 2:
                stop.set()

        follow(run, post, stop, interval=0.01)
        assert {
            path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()
        } == before


class TestBadInput:
    def test_a_missing_log_is_no_problem(self, tmp_path: Path) -> None:
        reader = read_all(tmp_path / "events.jsonl")
        assert reader.reading("queued").problem == ""
        assert first_look(tmp_path / "events.jsonl") == Reading()

    def test_an_unreadable_log_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.mkdir()
        reader = LogReader(path)
        assert reader.poll()
        assert str(path) in reader.problem
        assert not reader.poll()

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "null",
            "[]",
            "[" * 5000,
            '{"kind":"StepDone"}',
            '{"kind":"RunFinished","time":NaN,"run":"r"}',
            '{"kind":"RunFinished","time":1e300,"run":"r"}',
            '{"kind":"RunFinished","time":-5,"run":"r"}',
            '{"kind":"RunFinished","time":"1","run":"r"}',
            '{"kind":"RunFinished","time":1,"run":7}',
            to_line(step(1)).replace('"losses":[1.0]', '"losses":["1"]'),
            to_line(step(1)).replace('"losses":[1.0]', '"losses":1'),
            to_line(step(1)).replace('"step":1', '"step":' + "9" * 400),
            to_line(step(1)).replace('"step":1', '"step":true'),
            to_line(step(1)).replace('"codes":["1"]', '"codes":[1]'),
            "\x00\x01\x02",
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ],
    )
    def test_damaged_lines_are_counted_and_passed_over(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "events.jsonl"
        path.write_text(to_line(start()) + "\n" + line + "\n" + to_line(step(3)) + "\n")
        reader = read_all(path)
        assert reader.fold.state().phases[0].step == 4
        assert reader.damaged == (1 if line else 0)

    @given(st.binary(max_size=300))
    def test_no_bytes_stop_the_reader(self, data: bytes) -> None:
        reader = LogReader(Path("nowhere"))
        reader.feed((to_line(start()) + "\n").encode() + data + b"\n" + (to_line(step(3)) + "\n").encode())
        state = reader.fold.state()
        assert state.phases[0].step == 4

    @given(
        st.dictionaries(
            st.sampled_from(list(json.loads(to_line(step(1))))), st.none() | st.integers() | st.floats() | st.text()
        )
    )
    def test_no_wrong_values_stop_the_reader(self, changes: dict[str, object]) -> None:
        line = json.dumps({**json.loads(to_line(step(1))), **changes})
        reader = LogReader(Path("nowhere"))
        reader.feed(f"{to_line(start())}\n{line}\n{to_line(RunFinished(time=2000.0, run='r'))}\n".encode())
        assert reader.fold.state().outcome == "finished"

    def test_events_of_a_newer_version_are_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        newer = to_line(step(5)).replace('"step":5', '"step":5,"shiny":true')
        path.write_text(f'{to_line(start())}\n{newer}\n{{"kind":"Teleported","time":1.0}}\n')
        reader = read_all(path)
        assert reader.fold.state().unknown == 1
        assert reader.fold.state().phases[0].step == 6
        assert reader.damaged == 0

    def test_empty_losses_and_infinite_ones(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        empty = to_line(step(5)).replace('"losses":[1.0],"codes":["1"]', '"losses":[],"codes":[]')
        infinite = to_line(step(6)).replace("[1.0]", "[Infinity]")
        path.write_text(f"{to_line(start())}\n{empty}\n{infinite}\n")
        state = read_all(path).fold.state()
        assert state.loss is None
        assert state.phases[0].step == 7
        assert describe(from_line(empty.encode()) or Note(message=""))

    def test_a_line_of_100_kb_is_read_and_kept_short(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_text(to_line(start()) + "\n" + to_line(Note(time=1000.0, message="[bold]" + "x" * 100_000)) + "\n")
        reader = read_all(path)
        assert reader.events == 2
        assert max(map(len, reader.lines)) <= KEPT_BYTES

    def test_a_line_without_end_takes_no_memory(self) -> None:
        reader = LogReader(Path("nowhere"))
        reader.feed((to_line(start()) + "\n").encode())
        for _ in range(3 * MAX_LINE // (1 << 20)):
            reader.feed(b"x" * (1 << 20))
        assert len(reader._rest) <= MAX_LINE
        reader.feed(b"x\n" + (to_line(step(3)) + "\n").encode())
        assert reader.fold.state().phases[0].step == 4


class TestLongLogs:
    def test_curves_take_ever_fewer_points_and_the_newest_step_always_counts(self) -> None:
        reader = LogReader(Path("nowhere"))
        count = 2 * FULL
        reader.feed((to_line(start(passes=count)) + "\n").encode())
        head, tail = to_line(step(0)).split('"step":0', 1)
        for begin in range(0, count, FULL // 4):
            lines = (f'{head}"step":{number}{tail}\n' for number in range(begin, begin + FULL // 4))
            reader.feed("".join(lines).encode())
            assert reader.fold.state().phases[0].step == begin + FULL // 4
        assert reader.counts[b"StepDone"] == count
        assert len(reader.fold.state().phases[0].losses) <= 2048
        assert reader.fold.state().fraction == 1.0

    def test_which_steps_leave_a_point_depends_on_their_number_only(self) -> None:
        assert all(map(is_sampled, range(FULL)))
        for octave in range(4):
            numbers = range(FULL << octave, FULL << (octave + 1))
            assert sum(map(is_sampled, numbers)) == FULL // 2

    def test_the_first_look_takes_milliseconds_and_tells_where_a_run_is(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        head, tail = to_line(step(0)).split('"step":0', 1)
        with path.open("w") as file:
            file.write(to_line(start(passes=200_000)) + "\n")
            file.writelines(f'{head}"step":{number}{tail}\n' for number in range(100_000))
        begin = time.process_time()
        look = first_look(path)
        assert time.process_time() - begin < 0.25
        assert not look.state.complete
        assert look.state.recipe == "x"
        assert look.state.phases[0].step == 100_000
        assert look.state.fraction == pytest.approx(0.5)

    def test_the_first_look_at_a_short_log_is_all_of_it(self) -> None:
        look = first_look(FASHION.events)
        assert look.state == read_all(FASHION.events).fold.state()


class TestStatus:
    @pytest.fixture
    def run(self, tmp_path: Path) -> RunDirectory:
        run = RunDirectory(tmp_path / "runs" / "r")
        run.path.mkdir(parents=True)
        run.resolved.write_text(json.dumps({"kind": "recipe", "recipe": {"name": "x"}, "profile": {"name": "y"}}))
        return run

    def test_running_while_the_lock_is_held_crashed_afterwards(self, run: RunDirectory) -> None:
        liveness = Liveness(run)
        with run.locked():
            assert liveness.status("running") == "running"
        assert liveness.status("running") == "crashed"
        assert liveness.status("finished") == "finished"

    def test_a_crashed_run_that_is_taken_up_again_is_running(self, run: RunDirectory) -> None:
        liveness = Liveness(run)
        assert liveness.status("running") == "crashed"
        with run.locked():
            assert liveness.status("running") == "running"

    def test_a_crashed_run_is_not_asked_for_its_lock_again(self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
        run.lock.write_text("1\n")
        liveness = Liveness(run)
        assert liveness.status("running") == "crashed"

        def asked(_: RunDirectory) -> bool:
            raise AssertionError("a process that starts now would find the lock taken")

        monkeypatch.setattr(RunDirectory, "is_locked", property(asked))
        assert liveness.status("running") == "crashed"

    def test_only_the_process_that_holds_the_lock_may_be_signalled(self, run: RunDirectory) -> None:
        with pytest.raises(StorageError, match="no process works on"):
            check_may_signal(run, os.getpid())
        with run.locked():
            assert holder(run) == os.getpid()
            assert check_may_signal(run, os.getpid()) == os.getpid()
            with pytest.raises(StorageError, match="its log names 1"):
                check_may_signal(run, 1)
            with pytest.raises(StorageError, match="its log names None"):
                check_may_signal(run, None)

    def test_runs_are_listed_with_what_kit_runs_says_of_them(self, run: RunDirectory) -> None:
        run.events.write_text("".join(to_line(event) + "\n" for event in (start(), step(3))))
        listed = listed_runs(run.path.parent)
        assert [(item.id, item.status, item.recipe) for item in listed] == [("r", describe_run(run).status, "x")]
        assert listed[0].state.passes_done == describe_run(run).state.passes_done

    def test_a_damaged_run_is_listed_as_damaged(self, run: RunDirectory) -> None:
        run.resolved.write_text("{")
        (listed,) = listed_runs(run.path.parent)
        assert listed.status == "damaged"
        assert str(run.resolved) in listed.problem

    @pytest.mark.parametrize("exists", [True, False])
    def test_an_empty_or_missing_folder_has_no_runs(self, tmp_path: Path, exists: bool) -> None:
        folder = tmp_path / "none"
        if exists:
            folder.mkdir()
        assert listed_runs(folder) == ()

    def test_a_folder_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.touch()
        problems: list[str] = []
        stop = threading.Event()

        def post(runs: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
            problems.append(problem)
            stop.set()

        follow_runs(path, post, stop, 0.01)
        assert str(path) in problems[-1]


def listed_runs(folder: Path) -> tuple[RunSummary, ...]:
    """The list once every run was looked at."""
    stop = threading.Event()
    found: list[tuple[RunSummary, ...]] = []

    def post(runs: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
        assert not problem
        if complete:
            found.append(runs)
            stop.set()

    follow_runs(folder, post, stop, 0.01)
    return found[-1]


class TestReplay:
    def test_a_replay_ends_where_the_run_ended_and_takes_its_time(self) -> None:
        readings: list[Reading] = []
        whole = read_all(FASHION.events).fold.state()
        speed = whole.elapsed / 1.5
        begin = time.monotonic()
        replay(FASHION, readings.append, threading.Event(), speed=speed)
        assert time.monotonic() - begin > 0.7
        assert readings[-1].state == whole
        fractions = [reading.state.passes_done for reading in readings]
        assert fractions == sorted(fractions)

    def test_a_replay_can_be_left(self) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=replay, args=(FASHION, lambda _: None, stop), kwargs={"speed": 1.0})
        thread.start()
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


@given(st.none() | st.floats())
def test_any_time_can_be_shown(moment: float | None) -> None:
    assert isinstance(clock(moment), str)
    assert isinstance(clock(moment, date=True), str)


@pytest.mark.parametrize(
    "report", [{}, {"pearson": None}, {"pearson": {"value": True}}, {"pearson": {"value": float("nan")}}]
)
def test_reports_without_a_number_have_none(report: dict) -> None:
    assert report_value(report, "pearson", "value") is None


def test_states_compare_by_value() -> None:
    assert RunState() == RunState()


def test_the_longest_event_that_is_written_is_kept_whole(tmp_path: Path) -> None:
    """A rank with many opponents: cut lines could not be read again by who shows them."""
    report = {f"opponent {number}": {"value": 0.123456789012345, "low": -0.5, "high": 0.5} for number in range(200)}
    event = RankMeasured(truth="nano.json", report=report)
    with EventLog(tmp_path / "events.jsonl") as log:
        log.append(event)
    reader = LogReader(tmp_path / "events.jsonl")
    reader.catch_up()
    [line] = reader.lines
    assert len(line) > 10_000 and from_line(line) == event
