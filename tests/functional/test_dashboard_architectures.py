"""Screen 4: the table of a pool, its filter, the drawing, the code editor, exports, and pools that are no good."""

import json
import shutil
from pathlib import Path

import pytest
from dashboard_tools import FASHION, SIZES, check_snapshot, copy_runs, hides, open_app, shows, text_of, wait_for
from textual.pilot import Pilot
from textual.widgets import Input

from kit.dashboard.app import DashboardApp
from kit.dashboard.screens.architectures import ArchitecturesScreen
from kit.dashboard.screens.code_editor import CodeEditor
from kit.dashboard.widgets.dialogs import Ask
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.pool import draw_pool, load_pool, write_predictions
from kit.search_space import PUBLISHED, RESNET48
from kit.watch.filter_language import FilterError

NASTY = "[red]evil[/red] [link=x]\x1b[31m"


pytestmark = pytest.mark.usefixtures("settled_world")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return copy_runs(tmp_path)


def screen_of(app: DashboardApp) -> ArchitecturesScreen:
    screen = app.screen
    assert isinstance(screen, ArchitecturesScreen)
    return screen


def shown_codes(app: DashboardApp) -> list[str]:
    """The codes in the table, from top to bottom, as the export writes them."""
    exported = screen_of(app).export_rows()
    assert exported is not None
    return [str(row[1]) for row in exported[1]]


async def type_filter(pilot: Pilot[None], text: str) -> None:
    if not isinstance(pilot.app.focused, Input):
        await pilot.press("slash")
    for char in text:
        await pilot.press("space" if char == " " else char)
    await pilot.pause()


class TestTable:
    async def test_it_opens_sorted_by_accuracy_with_every_row_of_the_pool(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, _):
            predictions = load_pool(runs / FASHION / "predictions.json")
            accuracy = dict(zip(predictions.codes, predictions.accuracies or (), strict=True))
            codes = shown_codes(app)
            assert sorted(codes) == sorted(accuracy)
            assert [accuracy[code] for code in codes] == sorted(accuracy.values(), reverse=True)

    async def test_o_sorts_by_the_next_column_and_r_turns_round(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            screen = screen_of(app)
            names = [column.name for _, column in screen.table.shown]
            seen = []
            for _ in names:
                await pilot.press("o")
                await pilot.pause()
                seen.append(screen.table.sorted_by)
            assert {name for name, _ in filter(None, seen)} == set(names) - {"acc"} | (
                {"acc"} if None not in seen else set()
            )
            await pilot.press("o")
            await pilot.pause()
            before, codes = screen.table.sorted_by, shown_codes(app)
            await pilot.press("r")
            await pilot.pause()
            assert before is not None
            assert screen.table.sorted_by == (before[0], not before[1])
            assert shown_codes(app) != codes

    async def test_a_click_on_a_title_sorts_and_the_cursor_stays_on_its_architecture(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            screen = screen_of(app)
            await pilot.press("down", "down")
            code = screen.copy_text()
            left = 1
            for _, column in screen.table.shown:
                if column.name == "macs":
                    break
                left += column.width + screen.table.GAP
            for down in (False, True):
                await pilot.click("#pool-table", offset=(left + 2, 0))
                await pilot.pause()
                assert screen.table.sorted_by == ("macs", down)
                assert screen.copy_text() == code
                titles, rows = screen.export_rows() or ((), [])
                macs = [row[list(titles).index("macs")] for row in rows]
                assert macs == sorted(macs, reverse=down)

    async def test_f_shows_the_pareto_front_only_and_all_again(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            everything = shown_codes(app)
            await pilot.press("f")
            await pilot.pause()
            titles, rows = screen_of(app).export_rows() or ((), [])
            assert 0 < len(rows) < len(everything)
            assert all(row[list(titles).index("front")] for row in rows)
            by_cost = sorted((row[list(titles).index("macs")], row[list(titles).index("acc")]) for row in rows)
            assert [accuracy for _, accuracy in by_cost] == sorted(accuracy for _, accuracy in by_cost)
            await shows(pilot, "only these")
            await pilot.press("f")
            await pilot.pause()
            assert shown_codes(app) == everything

    @pytest.mark.parametrize("size", SIZES)
    async def test_it_looks_as_recorded(self, runs: Path, size: str) -> None:
        async with open_app(runs, run=FASHION, screen="architectures", size=SIZES[size]) as (_, pilot):
            await pilot.press("down", "space")
            await pilot.pause(0.2)
            await check_snapshot(pilot, f"architectures-{size}")


class TestFilter:
    async def test_rows_follow_what_is_typed_and_escape_drops_it(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            everything = shown_codes(app)
            await type_filter(pilot, "depth > 18")
            some = shown_codes(app)
            assert 0 < len(some) < len(everything)
            assert all(sum(map(int, code[1:5])) > 18 for code in some)
            await type_filter(pilot, " and acc > .87")
            assert set(shown_codes(app)) < set(some)
            await pilot.press("enter")
            await pilot.pause()
            assert screen_of(app).table.has_focus
            assert set(shown_codes(app)) < set(some)
            await pilot.press("escape")
            await pilot.pause()
            assert shown_codes(app) == everything

    async def test_a_mistake_is_named_with_its_place_and_rows_stay(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            await type_filter(pilot, "depth > 18")
            some = shown_codes(app)
            await type_filter(pilot, " and speed")
            assert shown_codes(app) == some
            await shows(pilot, "at 16: expected one of acc")
            assert isinstance(screen_of(app).filter_error, FilterError)

    async def test_a_filter_without_a_match_says_so(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            await type_filter(pilot, "acc > 2")
            assert shown_codes(app) == []
            await shows(pilot, "no architecture matches")
            for key in ("c", "v", "x", "i"):  # typed into the filter, so nothing happens
                await pilot.press(key)
            assert len(app.screen_stack) == 1


class TestDrawing:
    async def test_v_shows_and_hides_it_where_room_is_short(self, runs: Path) -> None:
        for size in ("narrow", "wide"):
            async with open_app(runs, run=FASHION, screen="architectures", size=SIZES[size]) as (app, pilot):
                pane = app.screen.query_one(FittedPane)
                first = pane.display
                for expected in (not first, first):
                    await pilot.press("v")
                    await pilot.pause(0.2)
                    assert pane.display == expected
                    assert ("linear" in text_of(pilot)) == expected
                assert app.screen.focused is not None

    async def test_it_follows_the_cursor(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures", size=SIZES["wide"]) as (app, pilot):
            for _ in range(3):
                await pilot.press("down")
                await pilot.pause()
                code = screen_of(app).copy_text()
                assert code is not None
                await shows(pilot, code)

    async def test_enter_opens_it(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures", size=SIZES["narrow"]) as (_, pilot):
            await pilot.press("enter")
            await pilot.pause(0.2)
            await shows(pilot, "average pool, 10 classes")


class TestEditor:
    async def test_it_says_which_digit_is_wrong_while_one_types(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            await pilot.press("i")
            await wait_for(pilot, lambda: isinstance(app.screen, CodeEditor))
            editor = app.screen
            assert isinstance(editor, CodeEditor)
            await shows(pilot, "✓ a valid code")
            await shows(pilot, "in this pool: arch7")
            await pilot.press("9")  # over the first depth
            await pilot.pause()
            assert editor.position == 2
            await shows(pilot, "digit 2 is 9: stage 1 has depths 2..5")
            lines = text_of(pilot).split("\n")
            below = next(n for n, line in enumerate(lines) if "▲ 2" in line)
            assert lines[below].index("▲") == lines[below - 1].index("9")
            await pilot.press("home", "delete")
            await pilot.pause()
            await shows(pilot, "51")
            await pilot.press("escape")
            await wait_for(pilot, lambda: isinstance(app.screen, ArchitecturesScreen))

    async def test_enter_goes_to_the_wrong_digit(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            await pilot.press("i")
            await wait_for(pilot, lambda: isinstance(app.screen, CodeEditor))
            field = app.screen.query_one(Input)
            code = RESNET48.largest.code
            field.value = code[:30] + "7" + code[31:33] + "8" + code[34:]
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
            assert isinstance(app.screen, CodeEditor)
            assert field.cursor_position == 33

    async def test_a_code_of_the_pool_gets_the_cursor_even_where_a_filter_hides_it(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            code = shown_codes(app)[50]
            await type_filter(pilot, "acc > .8834")
            await pilot.press("enter", "i")
            await wait_for(pilot, lambda: isinstance(app.screen, CodeEditor))
            app.screen.query_one(Input).value = code
            await pilot.pause()
            await pilot.press("enter")
            await wait_for(pilot, lambda: isinstance(app.screen, ArchitecturesScreen))
            assert screen_of(app).copy_text() == code
            assert len(shown_codes(app)) == 200

    async def test_a_code_outside_the_pool_is_drawn_and_copied(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures", size=SIZES["wide"]) as (app, pilot):
            await pilot.press("i")
            await wait_for(pilot, lambda: isinstance(app.screen, CodeEditor))
            app.screen.query_one(Input).value = RESNET48.largest.code
            await pilot.pause()
            await shows(pilot, "not in this pool")
            await pilot.press("ctrl+y", "enter")
            await wait_for(pilot, lambda: isinstance(app.screen, ArchitecturesScreen))
            assert app.clipboard == RESNET48.largest.code
            assert screen_of(app).copy_text() == RESNET48.largest.code
            await shows(pilot, "from the code editor")
            await pilot.press("down")
            await pilot.pause()
            assert screen_of(app).copy_text() != RESNET48.largest.code

    async def test_it_looks_as_recorded(self, runs: Path) -> None:
        for size in SIZES:
            async with open_app(runs, run=FASHION, screen="architectures", size=SIZES[size]) as (_, pilot):
                await pilot.press("i", "right", "9")
                await pilot.pause(0.2)
                await check_snapshot(pilot, f"editor-{size}")


class TestCopyAndExport:
    async def test_marks_are_copied_in_the_pools_order_and_taken_off(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            top = shown_codes(app)[:3]
            await pilot.press("space", "space", "space", "space", "up", "space")
            await pilot.pause()
            pool = load_pool(runs / FASHION / "pool.json")
            await pilot.press("c")
            assert app.clipboard.split("\n") == [code for code in pool.codes if code in top]
            await shows(pilot, "3 marked")
            await pilot.press("u")
            await pilot.pause()
            assert "marked" not in text_of(pilot).split("\n")[-2]
            await pilot.press("g", "c")
            assert app.clipboard == top[0]

    async def test_what_is_shown_is_exported(self, runs: Path, tmp_path: Path) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            await type_filter(pilot, "front")
            await pilot.press("enter", "e")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "out.json"
            await pilot.pause()
            await pilot.press("enter")
            await wait_for(pilot, lambda: (tmp_path / "out.json").exists())
            rows = json.loads((tmp_path / "out.json").read_text())
            assert [row["code"] for row in rows] == shown_codes(app)
            assert all(isinstance(row["macs"], int) and 0 < row["acc"] < 1 for row in rows)
            assert {row["true"] for row in rows} > {None}

    async def test_x_starts_an_export_of_the_marked_ones(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            started: list[tuple[str, ...]] = []
            monkeypatch.setattr(app, "start_kit", lambda label, *arguments, **_: started.append((label, *arguments)))
            await pilot.press("x")
            await pilot.pause()
            assert not isinstance(app.screen, Ask)  # the recorded run has no weights
            assert any("no final weights yet" in note.message for note in app._notifications)
            (runs / FASHION / "weights.json").write_text("{}")
            codes = shown_codes(app)[:2]
            await pilot.press("space", "space", "x")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "somewhere/else"
            await pilot.press("enter")
            await wait_for(pilot, lambda: started)
            label, *arguments = started[0]
            assert "2" in label
            assert arguments[:3] == ["export", "onnx", str(runs / FASHION)]
            assert {arguments[n + 1] for n, part in enumerate(arguments) if part == "--code"} == set(codes)
            assert arguments[arguments.index("--out") + 1] == str(Path.cwd() / "somewhere" / "else")
            assert arguments[arguments.index("--runs") + 1] == str(runs)

    async def test_a_started_export_that_fails_is_told(self, runs: Path) -> None:
        """A real process: the recorded run has no weights to export."""
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            (runs / FASHION / "weights.json").write_text("{}")
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            await pilot.press("enter")
            await wait_for(pilot, lambda: any(note.severity == "error" for note in app._notifications), 60)
            assert any("ONNX export of 1" in note.message for note in app._notifications)

    @pytest.mark.slow
    async def test_an_architecture_becomes_onnx(self, finished_run: Path, tmp_path: Path) -> None:
        """A real run and a real process: what the cursor is on lies in the folder afterwards."""
        async with open_app(finished_run.parent, run=finished_run.name, screen="architectures") as (app, pilot):
            code = screen_of(app).copy_text()
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "exported"
            await pilot.press("enter")
            await wait_for(pilot, lambda: any(note.message.startswith("done: ONNX") for note in app._notifications), 120)
        index = json.loads((tmp_path / "exported" / "index.json").read_text())
        assert [model["code"] for model in index["models"]] == [code]
        assert (tmp_path / "exported" / index["models"][0]["file"]).stat().st_size > 1000


class TestPools:
    async def test_p_opens_another_pool_and_goes_back(self, runs: Path, tmp_path: Path) -> None:
        pool = draw_pool(PUBLISHED, 12, 3)
        write_predictions(tmp_path / "mine.json.gz", pool, [n / 20 for n in range(12)])
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            for answer, count in (("mine.json.gz", 12), ("run", 200)):
                await pilot.press("p")
                await wait_for(pilot, lambda: isinstance(app.screen, Ask))
                field = app.screen.query_one(Input)
                field.value = "nowhere.json"
                await pilot.press("enter")
                assert isinstance(app.screen, Ask)
                await shows(pilot, "no such file")
                field.value = answer
                await pilot.press("enter")
                await wait_for(pilot, lambda n=count: app.is_settled and len(shown_codes(app)) == n)  # type: ignore[misc]

    async def test_the_command_line_opens_a_pool_without_any_run(self, tmp_path: Path) -> None:
        write_predictions(tmp_path / "mine.json", draw_pool(PUBLISHED, 1, 3), [0.0])
        async with open_app(tmp_path / "none", screen="architectures", pool=tmp_path / "mine.json") as (app, pilot):
            await wait_for(pilot, lambda: shown_codes(app))
            await shows(pilot, "1 architecture  ·  no accuracies yet  ·  costs on imagenet, 224 x 224")
            for key in ("f", "o", "r", "space", "u", "c", "G", "v", "i", "escape", "x"):
                await pilot.press(key)
                await pilot.pause()
            assert app.is_running

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "not valid JSON"),
            (json.dumps({NASTY: {"arch": "123"}}), "a code has 52 digits"),
            (json.dumps({name: {"arch": RESNET48.largest.code} for name in "ab"}), "repeats the architecture"),
        ],
    )
    async def test_a_bad_pool_is_told(self, runs: Path, content: str, problem: str) -> None:
        (runs / FASHION / "pool.json").write_text(content)
        async with open_app(runs, run=FASHION, screen="architectures", size=(240, 24)) as (app, pilot):
            text = text_of(pilot)
            assert problem in text
            assert "\x1b[31m" not in text
            for key in ("f", "o", "r", "space", "c", "e", "i", "x", "v"):
                await pilot.press(key)
                await pilot.pause()
            assert app.is_running

    async def test_names_that_are_markup_are_shown_as_they_are(self, runs: Path) -> None:
        pool = load_pool(runs / FASHION / "pool.json")
        entries = {f"[b]{n}[/]" if n else NASTY: {"arch": code} for n, code in enumerate(pool.codes)}
        (runs / FASHION / "pool.json").write_text(json.dumps(entries))
        async with open_app(runs, run=FASHION, screen="architectures", size=SIZES["wide"]) as (_, pilot):
            await shows(pilot, "[b]6[/]")
            await type_filter(pilot, 'name = "[b]6[/]"')
            await shows(pilot, "1 of 200")
            await pilot.press("enter", "i")
            await pilot.pause()
            await shows(pilot, "in this pool: [b]6[/]")

    async def test_no_run_at_all(self, tmp_path: Path) -> None:
        async with open_app(tmp_path / "none", screen="architectures") as (app, pilot):
            await shows(pilot, "no run, no pool")
            for key in ("f", "o", "r", "space", "c", "e", "i", "x", "v"):
                await pilot.press(key)
                await pilot.pause()
            assert app.is_running

    async def test_another_run_is_another_pool(self, runs: Path) -> None:
        shutil.copytree(runs / FASHION, runs / "other")
        write_predictions(runs / "other" / "pool.json", draw_pool(PUBLISHED, 7, 1), [0.0] * 7)
        async with open_app(runs, run=FASHION, screen="architectures") as (app, pilot):
            other = next(summary.run for summary in app.runs if summary.id == "other")
            await pilot.press("space")
            app.select_run(other)
            await wait_for(pilot, lambda: app.is_settled and len(shown_codes(app)) == 7)
            await hides(pilot, "marked")

    @pytest.mark.slow
    async def test_the_public_pool_is_sorted_filtered_and_shown(self, tmp_path: Path, public_pool_path: Path) -> None:
        async with open_app(tmp_path / "none", screen="architectures", pool=public_pool_path) as (app, pilot):
            await wait_for(pilot, lambda: len(shown_codes(app)) == 45_000, 60)
            await type_filter(pilot, "macs < 2.5G and depths = 3 4 * 3")
            codes = shown_codes(app)
            assert 0 < len(codes) < 1000
            assert {code[1:3] + code[4] for code in codes} == {"343"}
