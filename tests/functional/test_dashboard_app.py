"""The dashboard as a whole: every screen, action and key, at any size, on any input."""

import json
import os
import random
import time
from pathlib import Path

import pytest
from dashboard_tools import FASHION, SIZES, check_snapshot, copy_runs, hides, open_app, shows, text_of, wait_for
from textual.widgets import Input

from kit.dashboard.bindings import SCREENS, TITLES, actions, ids
from kit.dashboard.screens.base import KitScreen
from kit.dashboard.screens.help import HelpScreen
from kit.dashboard.settings import THEMES, Settings, load_settings
from kit.dashboard.widgets.bars import FilterBar
from kit.dashboard.widgets.dialogs import Ask
from kit.dashboard.widgets.table import VirtualTable
from kit.events import EventLog, Note, RunStarted, to_line

NASTY = "[red]evil[/red] [link=x]\x1b[31m"


pytestmark = pytest.mark.usefixtures("settled_world")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return copy_runs(tmp_path)


def write_run(folder: Path, name: str, *lines: str, resolved: object = None) -> Path:
    """A run directory by hand."""
    path = folder / name
    path.mkdir(parents=True)
    content = resolved or {"kind": "recipe", "recipe": {"name": name}, "profile": {"name": "tiny"}, "seed": 0}
    (path / "resolved.json").write_text(json.dumps(content))
    if lines:
        (path / "events.jsonl").write_text("\n".join(lines) + "\n")
    return path


def begun(name: str) -> str:
    return to_line(
        RunStarted(
            time=1e9, run=name, recipe=name, profile="tiny", seed=0, pid=1, phases=(name,), passes=10, continued=False
        )
    )


class TestKeys:
    async def test_number_keys_work_on_arrival_on_every_screen(self, runs: Path) -> None:
        async with open_app(runs) as (app, pilot):
            for first in SCREENS:
                for digit, name in enumerate(SCREENS, 1):
                    app.show(first)
                    await pilot.pause()
                    await pilot.press(str(digit))
                    await pilot.pause()
                    assert app.current_mode == name, f"{digit} pressed on {first}"
                    screen = app.screen
                    assert isinstance(screen, KitScreen)
                    assert name == screen.NAME

    async def test_help_names_every_key_and_lets_one_leave(self, runs: Path) -> None:
        async with open_app(runs) as (app, pilot):
            await pilot.press("question_mark")
            await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
            text = app.screen._text().plain
            for name in ids():
                assert name in text
            await pilot.press("escape")
            await wait_for(pilot, lambda: not isinstance(app.screen, HelpScreen))
            await pilot.press("question_mark")
            await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("7")
            await wait_for(pilot, lambda: app.current_mode == "system" and not isinstance(app.screen, HelpScreen))

    async def test_escape_goes_back_through_the_screens(self, runs: Path) -> None:
        async with open_app(runs) as (app, pilot):
            for key in "267":
                await pilot.press(key)
                await pilot.pause()
            for name in ("recipes", "run", "runs", "runs"):
                await pilot.press("escape")
                await pilot.pause()
                assert app.current_mode == name

    @pytest.mark.parametrize("screen", SCREENS)
    async def test_q_quits_with_exit_code_0_from_every_screen(self, runs: Path, screen: str) -> None:
        async with open_app(runs, screen=screen) as (app, pilot):
            await pilot.press("q")
            await wait_for(pilot, lambda: not app.is_running)
        assert app.return_code == 0

    async def test_the_palette_holds_every_action_and_does_it(self, runs: Path) -> None:
        async with open_app(runs) as (app, pilot):
            titles = [command.title for command in app.get_system_commands(app.screen)]
            for action in actions():
                where = TITLES.get(action.scope)
                assert (f"{where}: {action.text}" if where else action.text) in titles
            await pilot.press("ctrl+p")
            await pilot.press(*"Run: Log scale")
            await pilot.pause(0.4)
            await pilot.press("enter")
            await wait_for(pilot, lambda: app.current_mode == "run" and getattr(app.screen, "log_scale", False))

    async def test_keys_can_be_changed_in_a_file(self, runs: Path, tmp_path: Path) -> None:
        path = tmp_path / "keys.toml"
        path.write_text('theme = "kit-light"\n[keys]\n"app.run" = "f2"\n"app.quit" = "ctrl+x"\n')
        settings = load_settings(path)
        assert settings.problems == ()
        async with open_app(runs, settings=settings) as (app, pilot):
            assert app.theme == "kit-light"
            await pilot.press("2", "q")
            assert app.current_mode == "runs"
            await pilot.press("f2")
            await pilot.pause()
            assert app.current_mode == "run"
            await pilot.press("question_mark")
            await pilot.pause()
            assert "ctrl+x" in app.screen._text().plain  # type: ignore[attr-defined]
            await pilot.press("ctrl+x")
            await wait_for(pilot, lambda: not app.is_running)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("theme = 3", "there is no theme 3"),
            ('theme = "pink"', "kit-contrast"),
            ('[keys]\n"app.quti" = "x"', "did you mean 'app.quit'"),
            ('[keys]\n"app.quit" = 5', "expected a key"),
            ("keys = 1", "must be a table"),
            ("colour = 1", "unknown key 'colour'"),
            ("[keys", "not valid TOML"),
        ],
    )
    async def test_a_bad_file_is_told_and_does_no_harm(self, runs: Path, tmp_path: Path, text: str, problem: str) -> None:
        path = tmp_path / "keys.toml"
        path.write_text(text)
        settings = load_settings(path)
        assert any(problem in found for found in settings.problems)
        async with open_app(runs, settings=settings) as (app, pilot):
            await pilot.press("2")
            await pilot.pause()
            assert app.current_mode == "run"
            assert app.theme == THEMES[0]

    async def test_themes_change(self, runs: Path) -> None:
        async with open_app(runs, screen="run", run=FASHION) as (app, pilot):
            seen = [app.theme]
            for _ in THEMES:
                await pilot.press("t")
                await pilot.pause()
                seen.append(app.theme)
            assert seen == [*THEMES, THEMES[0]]

    async def test_a_screen_that_was_hidden_takes_the_new_theme(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION) as (app, pilot):
            colours = []
            await pilot.press("2", "1", "t", "2")
            await pilot.pause()
            for name in ("run", "runs"):
                app.show(name)
                await pilot.pause()
                table = app.screen.query(VirtualTable).first()
                colours.append((app.screen.styles.background.hex, table.styles.background.hex))
            expected = app.theme_variables["background"]
            assert app.theme == THEMES[1]
            assert colours == [(expected, expected)] * 2


class TestSizes:
    @pytest.mark.parametrize("screen", SCREENS)
    async def test_every_screen_lives_at_every_size(self, runs: Path, screen: str) -> None:
        async with open_app(runs, screen=screen, run=FASHION, size=(20, 5)) as (app, pilot):
            for size in ((20, 5), (1, 1), (5, 2), (79, 23), (250, 80)):
                await pilot.resize_terminal(*size)
                await pilot.press("question_mark", "escape", "down", "up", "end", "slash", "escape")
                await pilot.pause()
                assert app.current_mode == screen

    async def test_resized_all_the_time(self, runs: Path) -> None:
        rng = random.Random(0)
        async with open_app(runs, run=FASHION) as (_, pilot):
            for round_ in range(21):
                await pilot.resize_terminal(rng.randint(1, 220), rng.randint(1, 70))
                await pilot.press(str(round_ % 7 + 1), rng.choice(["down", "v", "m", "escape"]))
            await pilot.resize_terminal(120, 40)
            await pilot.press("escape", "escape", "1")
            await pilot.pause()
            await shows(pilot, FASHION)

    async def test_without_unicode_only_ascii_is_painted(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, size=(200, 60), ascii=True) as (app, pilot):
            for name in SCREENS:
                app.show(name)
                await pilot.pause(0.3)
                assert text_of(pilot).isascii(), name

    @pytest.mark.parametrize("screen", ["runs", "run"])
    async def test_without_colour_the_text_is_the_same(
        self, runs: Path, screen: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_app(runs, screen=screen, run=FASHION) as (_, pilot):
            coloured = text_of(pilot)
        monkeypatch.setenv("NO_COLOR", "1")
        async with open_app(runs, screen=screen, run=FASHION) as (app, pilot):
            assert app.no_color
            assert text_of(pilot) == coloured

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("screen", ["runs", "run"])
    async def test_looks_as_recorded(self, runs: Path, screen: str, size: str) -> None:
        async with open_app(runs, screen=screen, run=FASHION, size=SIZES[size]) as (_, pilot):
            await pilot.pause(0.3)
            await check_snapshot(pilot, f"{screen}-{size}")

    @pytest.mark.parametrize("size", ["narrow", "tiny"])
    async def test_help_looks_as_recorded(self, runs: Path, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KIT_DASHBOARD", "/keys.toml")  # it is named at the end, and a long name takes more lines
        async with open_app(runs, size=SIZES[size]) as (_, pilot):
            await pilot.press("question_mark")
            await pilot.pause(0.2)
            await check_snapshot(pilot, f"help-{size}")


class TestFilterCopyExport:
    async def test_every_screen_copies_and_exports_or_says_that_there_is_nothing(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION) as (app, pilot):
            for name in SCREENS:
                app.show(name)
                await pilot.pause(0.3)
                await pilot.press("c")
                await pilot.press("e")
                await pilot.pause()
                if isinstance(app.screen, Ask):
                    await pilot.press("escape")
                    await pilot.pause()
                assert isinstance(app.screen, KitScreen)
                assert name == app.screen.NAME

    async def test_filter_shows_what_matches_and_escape_drops_it(self, runs: Path) -> None:
        for name in ("alpha", "beta", "gamma"):
            write_run(runs, name, begun(name))
        async with open_app(runs) as (app, pilot):
            table = app.screen.query_one(VirtualTable)
            assert table.count == 4
            await pilot.press("slash", *"bet")
            await wait_for(pilot, lambda: table.count == 1)
            assert table.row_cells(0)[0] == "beta"
            await pilot.press("enter")
            assert table.has_focus
            assert table.count == 1
            await pilot.press("slash", *" zzz")
            await wait_for(pilot, lambda: table.count == 0)
            await shows(pilot, "no run matches")
            await pilot.press("escape")
            await wait_for(pilot, lambda: table.count == 4)
            assert not app.screen.query_one(FilterBar).is_open

    @pytest.mark.parametrize("ending", ["csv", "json"])
    async def test_export_writes_a_new_file_and_never_an_old_one(self, runs: Path, tmp_path: Path, ending: str) -> None:
        target = tmp_path / f"out.{ending}"
        async with open_app(runs) as (app, pilot):
            await pilot.press("e")
            await pilot.pause()
            app.screen.query_one(Input).value = str(target)
            await pilot.press("enter")
            await wait_for(pilot, target.exists)
            text = target.read_text()
            assert FASHION in text
            if ending == "json":
                assert json.loads(text)[0]["kendall"] == pytest.approx(0.48)
            await pilot.press("e")
            await pilot.pause()
            app.screen.query_one(Input).value = str(target)
            await pilot.press("enter")
            await pilot.pause()
            await shows(pilot, "exists already")
            await pilot.press("escape")
            assert target.read_text() == text

    async def test_copying_a_run_copies_its_path(self, runs: Path) -> None:
        async with open_app(runs) as (app, pilot):
            await pilot.press("c")
            await pilot.pause()
            assert app.clipboard == str(runs / FASHION)

    async def test_the_screen_can_be_saved_as_svg(self, runs: Path, tmp_path: Path) -> None:
        async with open_app(runs) as (app, pilot):
            await pilot.press("ctrl+s")
            await pilot.pause()
            app.screen.query_one(Input).value = str(tmp_path / "picture.svg")
            await pilot.press("enter")
            await wait_for(pilot, (tmp_path / "picture.svg").exists)
        assert (tmp_path / "picture.svg").read_text().startswith("<svg")


class TestPrompts:
    async def test_no_answer_ends_the_dashboard(self, runs: Path) -> None:
        prompts = {"runs": "e", "rank": "u", "architectures": "p", "submission": "o", "recipes": "n"}
        async with open_app(runs, run=FASHION) as (app, pilot):
            for screen, key in prompts.items():
                app.show(screen)
                await wait_for(pilot, lambda: app.is_settled)
                for answer in ("~nobody-has-this-name/x", "x" * 300, "~"):
                    await pilot.press(key)
                    await wait_for(pilot, lambda: isinstance(app.screen, Ask))
                    app.screen.query_one(Input).value = answer
                    await pilot.press("enter")
                    await wait_for(pilot, lambda: app.is_settled)
                    if isinstance(app.screen, Ask):
                        await pilot.press("escape")
                    await wait_for(pilot, lambda: not isinstance(app.screen, Ask))
                assert app.is_running, screen


class TestBadInput:
    @pytest.mark.parametrize("exists", [True, False])
    async def test_an_empty_or_missing_folder(self, tmp_path: Path, exists: bool) -> None:
        folder = tmp_path / "none"
        if exists:
            folder.mkdir()
        async with open_app(folder) as (app, pilot):
            for name in SCREENS:
                app.show(name)
                await pilot.press("down", "enter", "c", "e")
                await pilot.pause()
                await pilot.press("escape")
            assert app.is_running
        assert folder.exists() == exists
        assert not exists or not list(folder.iterdir())

    async def test_an_unreadable_folder_is_told(self, tmp_path: Path) -> None:
        folder = tmp_path / "file"
        folder.touch()
        async with open_app(folder, size=(150, 30)) as (_, pilot):
            await shows(pilot, "cannot read")

    async def test_an_unreadable_log_is_told(self, tmp_path: Path) -> None:
        path = write_run(tmp_path / "runs", "blocked")
        (path / "events.jsonl").mkdir()
        async with open_app(tmp_path / "runs", run="blocked", screen="run", size=(150, 30)) as (_, pilot):
            await shows(pilot, "cannot read")

    async def test_a_run_without_events_is_queued(self, tmp_path: Path) -> None:
        write_run(tmp_path / "runs", "waiting")
        async with open_app(tmp_path / "runs", run="waiting") as (_, pilot):
            await shows(pilot, "queued")
            await pilot.press("2")
            await pilot.pause()
            await shows(pilot, "no events yet")

    async def test_names_with_markup_and_control_characters_are_shown_as_they_are(self, tmp_path: Path) -> None:
        folder = tmp_path / "runs"
        resolved = {"kind": "recipe", "recipe": {"name": NASTY}, "profile": {"name": NASTY}, "seed": 0}
        name = "[bold]run[" + "/"[:0] + "b]"
        lines = [begun(NASTY), to_line(Note(time=1e9, message=NASTY + "x" * 100_000))]
        write_run(folder, name, *lines, resolved=resolved)
        async with open_app(folder, run=name, size=(200, 60)) as (app, pilot):
            for key in "1234567":
                await pilot.press(key)
                await pilot.pause(0.1)
                await hides(pilot, "\x1b[31m")
            await pilot.press("1")
            await pilot.pause()
            await shows(pilot, name)
            await shows(pilot, "[red]evil[/red]")
            await pilot.press("2")
            await pilot.pause()
            await shows(pilot, "[red]evil[/red] [link=x]·[31m")
            app.say(NASTY)
            await pilot.pause()

    async def test_a_run_being_written_moves_on_the_screen(self, tmp_path: Path) -> None:
        path = write_run(tmp_path / "runs", "live")
        async with open_app(tmp_path / "runs", run="live", screen="run", size=(150, 40)) as (_, pilot):
            with EventLog(path / "events.jsonl") as log:
                for number in range(3):
                    log.append(Note(message=f"message number {number}"))
                    await shows(pilot, f"message number {number}")

    async def test_a_run_that_is_deleted_while_it_is_watched(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="run") as (app, pilot):
            (runs / FASHION / "events.jsonl").unlink()
            await wait_for(pilot, lambda: app.reading.status == "queued")
            assert app.is_running

    async def test_two_dashboards_on_one_run_agree(self, runs: Path) -> None:
        frames = []
        for _ in range(2):
            async with open_app(runs, run=FASHION, screen="run") as (app, pilot):
                await pilot.pause(0.2)
                frames.append((app.reading, text_of(pilot)))
        assert frames[0] == frames[1]

    async def test_a_dashboard_writes_nothing(self, runs: Path) -> None:
        def world() -> dict[Path, tuple[int, int]]:
            return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in runs.rglob("*")}

        before = world()
        async with open_app(runs, run=FASHION) as (_, pilot):
            for key in "1234567":
                await pilot.press(key)
                await pilot.pause(0.1)
        assert world() == before

    @pytest.mark.slow
    async def test_ten_thousand_runs(self, tmp_path: Path) -> None:
        folder = tmp_path / "runs"
        for number in range(10_000):
            path = folder / f"run-{number:05}"
            path.mkdir(parents=True)
            (path / "resolved.json").write_text('{"kind": "recipe", "recipe": {"name": "x"}, "profile": {"name": "y"}}')
            (path / "events.jsonl").write_text(begun("x") + "\n")
            os.utime(path / "resolved.json", (number, number))
        async with open_app(folder) as (app, pilot):
            table = app.screen.query_one(VirtualTable)
            assert table.count == 10_000
            assert table.row_cells(0)[0] == "run-09999"
            begin = time.process_time()
            await pilot.press("end")
            await pilot.pause()
            assert time.process_time() - begin < 1
            await shows(pilot, "run-00000")
            await pilot.press("slash", *"04217")
            await wait_for(pilot, lambda: table.count == 1)


def test_settings_without_a_file_are_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml") == Settings()
