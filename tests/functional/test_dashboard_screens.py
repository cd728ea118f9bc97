"""Screens 1, 2 and 7: every action, driven by its key, on the recorded run and on runs made for the purpose."""

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from dashboard_tools import FASHION, copy_runs, hides, open_app, shows, text_of, wait_for
from textual.pilot import Pilot

from kit.dashboard.screens.compare import CompareScreen
from kit.dashboard.screens.run import RunScreen
from kit.dashboard.screens.runs import RunsScreen
from kit.dashboard.screens.system import SystemScreen
from kit.dashboard.widgets.dialogs import Confirm
from kit.dashboard.widgets.log_table import LogTable
from kit.dashboard.widgets.plot import CurveView
from kit.dashboard.widgets.table import VirtualTable
from kit.events import EventLog, Note
from kit.run_dir import RunDirectory
from kit.watch.replay import replay
from kit.watch.system_probe import Probe, is_kit, parse_gpu


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("KIT_DASHBOARD", str(tmp_path / "none.toml"))
    yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return copy_runs(tmp_path)


def second_run(runs: Path, name: str = "other", *, seed: int = 1, lines: int | None = None) -> RunDirectory:
    """The recorded run once more, with another seed, cut after some lines."""
    path = runs / name
    shutil.copytree(runs / FASHION, path)
    settings = json.loads((path / "resolved.json").read_text()) | {"seed": seed}
    (path / "resolved.json").write_text(json.dumps(settings))
    kept = (path / "events.jsonl").read_text().splitlines(keepends=True)[:lines]
    (path / "events.jsonl").write_text("".join(kept))
    os.utime(path / "resolved.json", (1, 1))
    return RunDirectory(path)


async def settle(pilot: Pilot[None]) -> None:
    await pilot.pause(0.1)
    await pilot.pause()


class TestRuns:
    async def test_states_of_runs(self, runs: Path) -> None:
        crashed, running = second_run(runs, "crashed", lines=300), second_run(runs, "running", lines=300)
        stopped = second_run(runs, "stopped", lines=300)
        with EventLog(stopped.events) as log:
            from kit.events import RunStopped

            log.append(RunStopped(run="stopped", reason="a signal", exit_code=143))
        assert not crashed.is_locked
        with running.locked():
            async with open_app(runs) as (app, pilot):
                states = {summary.id: summary.status for summary in app.runs}
                assert states == {FASHION: "finished", "crashed": "crashed", "running": "running", "stopped": "stopped"}
                # A dashboard without a choice opens what is going on.
                assert app.run_directory is not None
                assert app.run_directory.id == "running"
                for status in ("▶ running", "✗ crashed", "■ stopped", "✓ finished"):
                    await shows(pilot, status)

    async def test_the_run_under_the_cursor_is_the_one_the_other_screens_show(self, runs: Path) -> None:
        second_run(runs, lines=300)
        async with open_app(runs) as (app, pilot):
            assert app.run_directory is not None
            assert app.run_directory.id == FASHION
            await pilot.press("down")
            await wait_for(pilot, lambda: app.run_directory is not None and app.run_directory.id == "other")
            await pilot.press("up", "enter")
            await wait_for(pilot, lambda: app.current_mode == "run" and app.run_directory.id == FASHION)  # type: ignore[union-attr]

    async def test_sorting_by_every_column_and_back(self, runs: Path) -> None:
        second_run(runs, "aaa", lines=300)
        async with open_app(runs, size=(160, 30)) as (app, pilot):
            screen = app.screen
            assert isinstance(screen, RunsScreen)
            table = screen.table
            order = [table.row_cells(index)[0] for index in range(2)]
            keys = []
            await pilot.press("o")
            while table.sorted_by is not None:
                keys.append(table.sorted_by[0])
                await pilot.press("o")
            assert keys[0] == "run"
            assert {"state", "phase", "done", "loss", "kendall"} <= set(keys)
            assert [table.row_cells(index)[0] for index in range(2)] == order
            await pilot.press("o")
            assert table.row_cells(0)[0] == "aaa"
            await pilot.click("#runs-table", offset=(3, 0))
            await settle(pilot)
            assert table.row_cells(0)[0] == FASHION

    async def test_two_marked_runs_are_compared(self, runs: Path) -> None:
        second_run(runs, lines=400)
        async with open_app(runs, size=(160, 60)) as (app, pilot):
            await pilot.press("v")
            await pilot.pause()
            assert isinstance(app.screen, RunsScreen), "nothing is marked"
            await pilot.press("space", "space", "v")
            await wait_for(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.rows)
            await settle(pilot)
            text = text_of(pilot)
            rows = {line[:28].strip(): line[28:].split() for line in text.splitlines()}
            assert rows["seed"] == ["0", "1"]
            assert rows["state"] == ["finished", "running"]
            assert rows["Kendall τ"][0] == "0.480"
            assert "resolution" not in rows, "equal settings are left out"
            await pilot.press("escape")
            await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))

    async def test_removing_asks_first(self, runs: Path) -> None:
        second_run(runs)
        async with open_app(runs) as (app, pilot):
            await pilot.press("down")
            await settle(pilot)
            for key in ("n", "escape", "enter"):
                await pilot.press("d")
                await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
                await pilot.press(key)
                await wait_for(pilot, lambda: isinstance(app.screen, RunsScreen))
                assert (runs / "other").exists()
            await pilot.press("d")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await wait_for(pilot, lambda: len(app.runs) == 1)
            assert not (runs / "other").exists()
            assert (runs / FASHION).exists()

    async def test_a_running_run_is_not_removed(self, runs: Path) -> None:
        run = second_run(runs, lines=300)
        with run.locked():
            async with open_app(runs, run="other") as (app, pilot):
                await settle(pilot)
                await pilot.press("d")
                await settle(pilot)
                assert isinstance(app.screen, RunsScreen)
        assert run.path.exists()

    async def test_stopping_what_does_not_run_is_refused(self, runs: Path) -> None:
        async with open_app(runs, size=(120, 40)) as (app, pilot):
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await shows(pilot, "no process works on run")

    async def test_a_stranger_with_the_same_number_is_not_signalled(self, runs: Path) -> None:
        run = second_run(runs, lines=300)
        # Its log names a process of the past; this test holds the lock.
        with run.locked():
            async with open_app(runs, run="other", screen="run", size=(120, 40)) as (app, pilot):
                await pilot.press("x")
                await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
                await pilot.press("y")
                await wait_for(pilot, lambda: any("its log names" in note.message for note in app._notifications))


class TestRun:
    async def test_curves_phases_and_scale(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(120, 40)) as (app, pilot):
            screen = app.screen
            assert isinstance(screen, RunScreen)
            for title in (
                "learning rate over passes",
                "held-out loss over passes",
                "accuracy over sub-networks scored",
                "loss over passes",
            ):
                await pilot.press("m")
                await settle(pilot)
                await shows(pilot, title)
            await pilot.press("l")
            await settle(pilot)
            await shows(pilot, "logarithmic")
            await pilot.press("p")
            await settle(pilot)
            await shows(pilot, "loss of pretrain over steps of pretrain")
            for _ in range(11):
                await pilot.press("p")
            await settle(pilot)
            await shows(pilot, "loss of SSE-3")
            await pilot.press("p")
            await settle(pilot)
            assert screen.scope is None

    async def test_a_phase_is_chosen_with_the_cursor(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(120, 40)) as (app, pilot):
            app.screen.query_one("#run-phases", VirtualTable).focus()
            await pilot.press("down", "down")
            await settle(pilot)
            await shows(pilot, "loss of D1")
            await pilot.press("end")
            await settle(pilot)
            await shows(pilot, "accuracy over sub-networks")

    async def test_zoom_move_and_everything_again(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(120, 40)) as (app, pilot):
            view = app.screen.query_one(CurveView)
            await wait_for(pilot, lambda: view.plot is not None)
            plot = view.plot
            assert plot is not None
            plot.focus()
            await wait_for(pilot, lambda: plot._x_max > 1000)
            whole = (plot._x_min, plot._x_max)
            await pilot.press("plus", "plus")
            await settle(pilot)
            assert plot.window is not None
            low, high = plot.window
            assert whole[0] < low < high < whole[1]
            await pilot.press("right")
            await settle(pilot)
            assert plot.window[0] > low
            await pilot.press("0")
            await settle(pilot)
            assert plot.window is None
            assert (plot._x_min, plot._x_max) == pytest.approx(whole)

    async def test_the_log_is_searched_and_followed(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(120, 40)) as (app, pilot):
            log = app.screen.query_one(LogTable)
            total = log.count
            assert log.cursor == total - 1
            await pilot.press("slash", *"candidate")
            await wait_for(pilot, lambda: 0 < log.count < total)
            assert all("candidate" in log.row_cells(index)[1] for index in range(log.count))
            await pilot.press("enter", "home")
            assert not log.follows
            await pilot.press("f")
            assert log.follows
            await pilot.press("escape", "slash", "escape")
            await wait_for(pilot, lambda: log.count == total)
            await pilot.press("c")
            await pilot.pause()
            assert '"RunFinished"' in app.clipboard

    async def test_a_reader_who_scrolled_up_is_left_where_he_is(self, runs: Path) -> None:
        run = second_run(runs, lines=300)
        async with open_app(runs, run="other", screen="run", size=(120, 40)) as (app, pilot):
            log = app.screen.query_one(LogTable)
            await pilot.press("home")
            with EventLog(run.events) as writer:
                writer.append(Note(message="something new"))
            await wait_for(pilot, lambda: log.count == 301)
            assert log.cursor == 0
            await pilot.press("end")
            await settle(pilot)
            await shows(pilot, "something new")

    async def test_the_last_step_and_the_candidates_are_one_key_away(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(80, 40)) as (app, pilot):
            await hides(pilot, "Candidates")
            await pilot.press("v")
            await settle(pilot)
            text = text_of(pilot)
            state = app.reading.state
            assert f"{len(state.candidates)} in the group, {state.replaced} replaced so far" in text
            for code in state.codes:
                assert code in text
            assert "stage 3 ■■□□□□□·" in text, "SSE-3 draws depths 2 to 7 of 8 in stage 3"
            await pilot.press("v")
            await settle(pilot)
            await shows(pilot, "run finished")

    async def test_figures_of_the_header(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run", size=(200, 50)) as (_, pilot):
            await hides(pilot, "images/s -")
            text = text_of(pilot)
            assert "23,500 of 23,500 passes" in text
            assert "Kendall τ +0.480 [0.223, 0.703]" in text
            assert "best accuracy 0.8835" in text

    async def test_a_replay_moves_to_the_end(self, runs: Path) -> None:
        follow = partial(replay, speed=500.0)
        async with open_app(runs, run=FASHION, screen="run", size=(120, 40), follow=follow) as (app, pilot):
            seen = []
            await wait_for(pilot, lambda: seen.append(app.reading.state.passes_done) or app.reading.status == "finished", 60)
            assert seen == sorted(seen)
            assert len(set(seen)) > 2
            assert app.reading.state.phases[-1].status == "done"


class TestSystem:
    async def test_figures_and_processes(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="system", size=(120, 40)) as (app, pilot):
            screen = app.screen
            assert isinstance(screen, SystemScreen)
            await wait_for(pilot, lambda: screen.samples)
            await settle(pilot)
            text = text_of(pilot)
            for name in ("CPU", "memory", "disk", "GPU", "data waiting"):
                assert name in text
            assert screen.samples[-1].memory_total > 0
            await pilot.press("slash", *"no such process")
            await wait_for(pilot, lambda: screen.query_one(VirtualTable).count == 0)

    async def test_nothing_is_sampled_while_nobody_looks(self, runs: Path) -> None:
        async with open_app(runs, screen="system", size=(120, 40)) as (app, pilot):
            screen = app.screen
            assert isinstance(screen, SystemScreen)
            await wait_for(pilot, lambda: screen.samples)
            await pilot.press("1")
            await settle(pilot)
            count = len(screen.samples)
            await pilot.pause(3)
            assert len(screen.samples) <= count + 1

    def test_a_missing_folder_has_its_parents_disk(self, tmp_path: Path) -> None:
        assert Probe(tmp_path / "not" / "there").sample().disk_total == Probe(tmp_path).sample().disk_total

    @pytest.mark.parametrize(
        ("line", "load", "total"),
        [
            ("0, NVIDIA H100 80GB HBM3, 35, 1024, 81559, 41, 118.32", 0.35, 81559 * 2**20),
            ("1, Quadro [N/A], [N/A], [Not Supported], [N/A], [N/A], [N/A]", None, None),
        ],
    )
    def test_graphics_cards(self, line: str, load: float | None, total: float | None) -> None:
        gpu = parse_gpu(line)
        assert gpu.load == (None if load is None else pytest.approx(load))
        assert gpu.memory_total == total

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["/usr/bin/python3", "/venv/bin/kit", "run", "recipe", "full"], True),
            (["python", "-c", "from kit.cli.main import main; main()", "run"], True),
            (["vim", "notes", "kit"], False),
            ([], False),
        ],
    )
    def test_whose_process_it_is(self, words: list[str], expected: bool) -> None:
        assert is_kit(words) is expected
