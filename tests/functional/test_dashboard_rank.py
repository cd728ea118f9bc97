"""Screen 3: figures, points, cells, outliers and moments, and what is shown where nothing can be ranked."""

import json
from pathlib import Path

import pytest
from conftest import succeed
from dashboard_tools import FASHION, SIZES, check_snapshot, copy_runs, hides, open_app, shows, text_of, wait_for
from score_records import recorded_scores, write_scores
from textual.widgets import Input

from kit.dashboard.app import DashboardApp
from kit.dashboard.screens.architectures import ArchitecturesScreen
from kit.dashboard.screens.rank import RankScreen
from kit.dashboard.widgets.dialogs import Ask
from kit.dashboard.widgets.plot import CurveView, Points
from kit.events import EvaluationFinished, EventLog, RankSoFar
from kit.pool import load_pool
from kit.ranking.opponent_files import OpponentFile
from kit.ranking.truth_file import load_truth, shipped_truths
from kit.watch.rank_data import METRIC_TITLES, METRICS

NASTY = "[red]evil[/red] [link=x]\x1b[31m"


pytestmark = pytest.mark.usefixtures("settled_world")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The recorded run with the records of its scoring, in an order of their own."""
    folder = copy_runs(tmp_path)
    write_scores(folder / FASHION, recorded_scores(folder / FASHION))
    return folder


def screen_of(app: DashboardApp) -> RankScreen:
    screen = app.screen
    assert isinstance(screen, RankScreen)
    return screen


def points(app: DashboardApp) -> int:
    """How many architectures are drawn, without the one that stands out."""
    lines = app.screen.query_one("#rank-scatter", CurveView)._shown[0]
    return sum(len(line.curve) for line in lines if isinstance(line, Points) and line.marker != "◉")


class TestFigures:
    async def test_it_shows_what_the_run_measured(self, runs: Path) -> None:
        report = json.loads((runs / FASHION / "rank.json").read_text())
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            for metric in METRICS:
                figure = report[metric]
                text = text_of(pilot)
                assert (
                    f"{METRIC_TITLES[metric]} {figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]" in text
                )
                for opponent in report["baselines"].values():
                    assert f"{opponent[metric]['value']:+.3f}" in text
                assert f"ceiling {report['ceiling']:.3f}" in text
                await pilot.press("m")
                await pilot.pause()
            assert screen_of(app).metric == METRICS[0]
            assert points(app) == report["n"]

    async def test_b_tells_cells_apart(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            await pilot.press("b")
            await pilot.pause()
            shown = [line for line in app.screen.query_one("#rank-scatter", CurveView)._shown[0] if isinstance(line, Points)]
            named = [line for line in shown if line.label]
            assert [line.label for line in named] == ["cell 1", "cell 2", "cell 3", "cell 4"]
            assert len({line.marker for line in named}) == len({line.colour for line in named}) == 4
            assert points(app) == 24
            await pilot.press("b")
            await pilot.pause()
            assert not screen_of(app).by_cell

    async def test_without_a_partition_there_are_no_cells(self, runs: Path) -> None:
        path = runs / FASHION / "resolved.json"
        document = json.loads(path.read_text())
        del document["recipe"]["partition"]
        path.write_text(json.dumps(document))
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            await pilot.press("b")
            await pilot.pause()
            assert not screen_of(app).by_cell
            assert any("no partition" in note.message for note in app._notifications)
            await hides(pilot, "By cell of")

    async def test_files_of_the_user_are_opponents_and_bad_ones_are_told(self, runs: Path, tmp_path: Path) -> None:
        """What `kit score params` writes ranks as the column of parameters does."""
        report = json.loads((runs / FASHION / "rank.json").read_text())
        pool = str(runs / FASHION / "pool.json")
        succeed("score", "params", "--pool", pool, "--profile", "fashion", "--out", str(tmp_path / "mine.json"))
        entries = json.loads((tmp_path / "mine.json").read_text())
        (tmp_path / "few.json").write_text(json.dumps(dict(list(entries.items())[:5])))
        given = (OpponentFile("torn", tmp_path / "torn.json"),)
        (tmp_path / "torn.json").write_text('{"a": {"arch"')
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"], opponents=given) as (app, pilot):
            await shows(pilot, "left out: opponent torn:")

            async def answer(*texts: str) -> None:
                await pilot.press("a")
                await wait_for(pilot, lambda: isinstance(app.screen, Ask))
                for text in texts:
                    assert isinstance(app.screen, Ask), "what is no file was taken"
                    app.screen.query_one(Input).value = text
                    await pilot.press("enter")
                await wait_for(pilot, lambda: isinstance(app.screen, RankScreen) and app.is_settled)

            await answer("macs=mine.json", "mine=nowhere.json", "", "mine.json")
            own = report["baselines"]["params"]["kendall"]["value"]
            await shows(pilot, f"{'mine':<14} {own:+.3f}")
            await shows(pilot, "mine: ")
            await answer("some=few.json")
            await shows(pilot, "left out: opponent some: no value for")
            for name in ("some=", "torn="):
                await answer(name)
            await hides(pilot, "left out")
            assert f"{'mine':<14} {own:+.3f}" in text_of(pilot)

    @pytest.mark.parametrize("size", SIZES)
    async def test_it_looks_as_recorded(self, runs: Path, size: str) -> None:
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES[size]) as (_, pilot):
            await pilot.press("b")
            await pilot.pause(0.3)
            await check_snapshot(pilot, f"rank-{size}")

    async def test_every_panel_is_reached_in_a_small_terminal(self, runs: Path) -> None:
        wanted = {
            "figures": "multiply-adds",
            "outliers": "rank error",
            "history": "as more is scored",
            "scatter": "over true",
        }
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["narrow"]) as (_, pilot):
            for panel in (*list(RankScreen.PANELS)[1:], *list(RankScreen.PANELS)[:1]):
                await pilot.press("v")
                await pilot.pause(0.3)
                text = text_of(pilot)
                assert wanted[panel] in text
                assert sum(word in text for word in wanted.values()) == 1


class TestOutliers:
    async def test_the_cursor_marks_its_point_and_o_opens_it(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="rank") as (app, pilot):
            for key in ("o", "enter"):
                app.show("rank")
                await pilot.pause()
                await pilot.press("down")
                await pilot.pause()
                code = screen_of(app).copy_text()
                (marked,) = [
                    line
                    for line in app.screen.query_one("#rank-scatter", CurveView)._shown[0]
                    if getattr(line, "marker", "") == "◉"
                ]
                rows = load_pool(runs / FASHION / "predictions.json")
                accuracy = dict(zip(rows.codes, rows.accuracies or (), strict=True))
                assert marked.curve.y == (accuracy[code or ""],)
                await pilot.press("c")
                assert app.clipboard == code
                await pilot.press(key)
                await wait_for(pilot, lambda: isinstance(app.screen, ArchitecturesScreen) and app.is_settled)
                await wait_for(pilot, lambda c=code: app.screen.copy_text() == c)  # type: ignore[attr-defined,misc]

    async def test_a_filter_leaves_some_points_and_rows(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            await pilot.press("slash", *"cell", "space", "=", "space", "2")
            await pilot.pause()
            exported = screen_of(app).export_rows()
            assert exported is not None
            assert 0 < len(exported[1]) == points(app) < 24
            assert {row[exported[0].index("cell")] for row in exported[1]} == {2}
            await shows(pilot, f"{points(app)} shown")
            await pilot.press("space", "o", "r")
            await pilot.pause()
            await shows(pilot, "at 12: expected one of acc")
            await pilot.press("escape")
            await pilot.pause()
            assert points(app) == 24

    async def test_rows_are_exported(self, runs: Path, tmp_path: Path) -> None:
        async with open_app(runs, run=FASHION, screen="rank") as (app, pilot):
            await pilot.press("e")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "out.json"
            await pilot.press("enter")
            await wait_for(pilot, lambda: (tmp_path / "out.json").exists())
            rows = json.loads((tmp_path / "out.json").read_text())
            assert len(rows) == 24
            sizes = [abs(row["rank error"]) for row in rows]
            assert sizes == sorted(sizes, reverse=True)
            truth = load_truth(shipped_truths()["fashion"])
            assert {row["code"] for row in rows} == set(truth.codes)


class TestMoments:
    async def test_one_steps_back_and_forward(self, runs: Path) -> None:
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            counts = [points(app)]
            for _ in range(20):
                await pilot.press("p")
                await pilot.pause()
                counts.append(points(app))
            assert counts[:2] == [24, 23]
            assert counts == sorted(counts, reverse=True)
            assert counts[-1] == 3
            await shows(pilot, "supernet now")
            for _ in range(20):
                await pilot.press("n")
            await pilot.pause()
            assert points(app) == 24
            assert screen_of(app).moment is None

    async def test_space_plays_from_the_beginning_to_now(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kit.dashboard.screens.rank.BEAT", 0.4)
        async with open_app(runs, run=FASHION, screen="rank") as (app, pilot):
            await pilot.press("space")
            await pilot.pause()
            assert points(app) < 24
            await wait_for(pilot, lambda: screen_of(app).moment is None)
            assert points(app) == 24
            await pilot.press("space", "space")
            held = screen_of(app).moment
            assert held is not None
            await pilot.pause(0.9)
            assert screen_of(app).moment == held

    async def test_without_an_order_there_is_nothing_to_step_through(self, tmp_path: Path) -> None:
        async with open_app(copy_runs(tmp_path), run=FASHION, screen="rank") as (app, pilot):
            for key in ("p", "n", "space"):
                await pilot.press(key)
                await pilot.pause()
            assert screen_of(app).moment is None
            assert points(app) == 24
            assert any("only one moment" in note.message for note in app._notifications)

    async def test_it_improves_while_the_run_scores(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scores and events come in: the screen follows without a key."""
        monkeypatch.setattr("kit.dashboard.screens.pool_screen.PAUSE", 0.05)
        runs = copy_runs(tmp_path)
        run = runs / FASHION
        scores = recorded_scores(run)
        predictions = (run / "predictions.json").read_bytes()
        (run / "predictions.json").unlink()
        known = set(load_truth(shipped_truths()["fashion"]).codes)
        compared = [n for n, score in enumerate(scores, 1) if score.architecture.code in known]
        write_scores(run, scores[: compared[1]])
        events = [line for line in (run / "events.jsonl").read_text().splitlines() if "RankMeasured" not in line]
        (run / "events.jsonl").write_text("\n".join(line for line in events if "RunFinished" not in line) + "\n")
        figure = {"value": 0.25, "low": 0.125, "high": 0.5}
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            text = text_of(pilot)
            assert f" {compared[1]} scored" in text
            assert "2 of them have a known truth" in text
            with EventLog(run / "events.jsonl") as log:
                write_scores(run, scores[compared[1] : compared[9]])
                log.append(RankSoFar(scored=compared[4], n=5, pearson=figure, kendall=figure))
                log.append(RankSoFar(scored=compared[9], n=10, pearson=figure, kendall=figure))
                await wait_for(pilot, lambda: points(app) == 10 and "moment 2 of 2" in text_of(pilot))
                await pilot.press("p")
                await shows(
                    pilot, f"+0.250 [+0.125, +0.500]  5 of 10 architectures with a truth  as of {compared[4]} scored"
                )
                await pilot.press("n")
                write_scores(run, scores[compared[9] :])
                (run / "predictions.json").write_bytes(predictions)
                log.append(EvaluationFinished(subnets=200, predictions="x"))
                log.append(RankSoFar(scored=200, n=24, pearson=figure, kendall=figure))
                await wait_for(pilot, lambda: points(app) == 24)
            await shows(pilot, "+0.480")


class TestNothingToRank:
    async def test_no_truth_says_what_to_do_and_u_names_one(self, runs: Path, tmp_path: Path) -> None:
        path = runs / FASHION / "resolved.json"
        document = json.loads(path.read_text())
        document["profile"]["name"] = "mine"
        document["data_fingerprint"] = "other images"
        path.write_text(json.dumps(document))
        predictions = load_pool(runs / FASHION / "predictions.json")
        other = {
            name: {"arch": code, "acc": n / 300}
            for n, (name, code) in enumerate(zip(predictions.names, predictions.codes, strict=True))
        }
        (tmp_path / "other.json").write_text(json.dumps(other))
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            text = text_of(pilot)
            assert "no truth is shipped for profile mine" in text
            assert "kit run truth --profile mine" in text
            assert "The run itself measured Kendall τ +0.480" in text
            for answer, count in (("fashion", 24), ("other.json", 200)):
                await pilot.press("u")
                await wait_for(pilot, lambda: isinstance(app.screen, Ask))
                field = app.screen.query_one(Input)
                field.value = "nowhere"
                await pilot.press("enter")
                assert isinstance(app.screen, Ask)
                field.value = answer
                await pilot.press("enter")
                await wait_for(
                    pilot, lambda n=count: isinstance(app.screen, RankScreen) and app.is_settled and points(app) == n
                )  # type: ignore[misc]
            await shows(pilot, "truth: other.json")

    async def test_a_truth_that_is_none_is_told(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "bad.json").write_text('{"architectures": [3]}')
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            await pilot.press("u")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            app.screen.query_one(Input).value = "bad.json"
            await pilot.press("enter")
            await shows(pilot, "The truth cannot be read.")
            await shows(pilot, "architectures[1] must be an object")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "This run cannot be read."),
            ('{"a": {"arch": "1", "acc": 2}}', "none of the 24 architectures"),
            ('{"[b]": {"arch": "1", "acc": "[red]"}}', "entry '[b]': 'acc' must be a number"),
        ],
    )
    async def test_damaged_predictions_are_told(self, tmp_path: Path, content: str, problem: str) -> None:
        runs = copy_runs(tmp_path)
        (runs / FASHION / "predictions.json").write_text(content)
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (app, pilot):
            await shows(pilot, problem)
            for key in ("m", "b", "n", "p", "space", "v", "o", "c", "e"):
                await pilot.press(key)
                await pilot.pause()
            assert app.is_running

    async def test_constant_predictions_rank_nothing(self, tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        path = runs / FASHION / "predictions.json"
        path.write_text(json.dumps({name: {**entry, "acc": 0.5} for name, entry in json.loads(path.read_text()).items()}))
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (_, pilot):
            await shows(pilot, "a constant ranks nothing")

    async def test_a_run_without_scores_says_what_it_does(self, tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        (runs / FASHION / "predictions.json").unlink()
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (_, pilot):
            text = text_of(pilot)
            assert "Nothing is scored yet." in text
            assert "The run is finished, in phase SSE-3" in text

    async def test_a_pool_of_one(self, tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        for name in ("pool.json", "predictions.json"):
            path = runs / FASHION / name
            (first, entry), *_ = json.loads(path.read_text()).items()
            path.write_text(json.dumps({first: entry}))
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (_, pilot):
            await shows(pilot, "only 1 of the 24 architectures of the truth has a prediction")

    async def test_no_run_at_all(self, tmp_path: Path) -> None:
        async with open_app(tmp_path / "none", screen="rank") as (app, pilot):
            await shows(pilot, "No run to rank.")
            for key in ("m", "b", "n", "p", "space", "v", "o", "c", "e"):
                await pilot.press(key)
                await pilot.pause()
            assert app.is_running

    async def test_names_that_are_markup_are_shown_as_they_are(self, runs: Path) -> None:
        for name in ("pool.json", "predictions.json"):
            path = runs / FASHION / name
            entries = {f"{NASTY}{n}": entry for n, entry in enumerate(json.loads(path.read_text()).values())}
            path.write_text(json.dumps(entries))
        async with open_app(runs, run=FASHION, screen="rank", size=SIZES["wide"]) as (_, pilot):
            text = text_of(pilot)
            assert "[red]evil[/red] [link=x]·[31m" in text
            assert "\x1b[31m" not in text
