"""What the screens of ranks and architectures know: run files, comparisons, moments, and how they are drawn."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from equal_numbers import difference
from hypothesis import given
from hypothesis import strategies as st
from score_records import recorded_scores, write_scores
from textual.content import Content

from kit.correlation import rank_correlation
from kit.dashboard.widgets.forest import Mark, forest
from kit.dashboard.widgets.network import code_parts, network
from kit.dashboard.widgets.pool_detail import pool_columns, row_cells
from kit.dashboard.widgets.table import VirtualTable, fitted
from kit.errors import InputError, KitError, StorageError
from kit.events import RankSoFar
from kit.rank_report import Interval
from kit.recipe import load_profile
from kit.results import ResultsReader
from kit.run_dir import RunDirectory
from kit.search_space import RESNET48
from kit.watch.rank_data import METRICS, Comparison, compare, outliers, trend
from kit.watch.run_files import PoolReader, PoolView, Scores, read_scores, read_settings, score_files
from kit.watch.text import short_number

RECORDED = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"
FASHION, IMAGENET = load_profile("fashion"), load_profile("imagenet")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    shutil.copytree(RECORDED, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def scores_of(run: RunDirectory) -> Scores:
    return read_scores(score_files(run), ResultsReader(run.evaluations))


def predictions(run: RunDirectory) -> dict[str, dict[str, object]]:
    return json.loads(run.predictions.read_text())


@pytest.fixture
def ordered(run: RunDirectory) -> Comparison:
    write_scores(run.path, recorded_scores(run.path))
    return compare(PoolReader(run).read())


class TestRunFiles:
    def test_settings_are_those_of_the_run(self, run: RunDirectory) -> None:
        settings = read_settings(run)
        assert settings.profile.search_space == FASHION.search_space
        assert settings.profile.data == "torch/fashion_mnist:/usr/share/datasets/fashion-mnist"
        assert [len(cell.depth_choices) for cell in settings.cells] == [48, 96, 48, 96, 160]

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda d: d.pop("profile"), "'profile' is missing"),
            (lambda d: d["profile"].pop("resolution"), "profile.resolution"),
            (lambda d: d["profile"].update(resolution="[b]28"), "profile.resolution"),
            (lambda d: d["profile"].update(colour=1), "profile.colour"),
            (lambda d: d["recipe"]["partition"].update(cells=[]), "partition.cells"),
        ],
    )
    def test_settings_that_cannot_be_used_are_told(
        self, run: RunDirectory, change: Callable[[dict], object], problem: str
    ) -> None:
        document = json.loads(run.resolved.read_text())
        change(document)
        run.resolved.write_text(json.dumps(document))
        with pytest.raises(StorageError, match=problem):
            read_settings(run)
        assert problem in str(PoolReader(run).read().error)

    def test_predictions_without_a_record_of_their_order(self, run: RunDirectory) -> None:
        scores = scores_of(run)
        assert scores.complete
        assert not scores.ordered
        assert len(scores.accuracies) == 200

    def test_the_order_of_the_records_is_the_order_of_scoring(self, run: RunDirectory) -> None:
        order = write_scores(run.path, recorded_scores(run.path))
        scores = scores_of(run)
        assert scores.ordered
        assert scores.complete
        assert list(scores.accuracies) == order
        assert scores.accuracies == {entry["arch"]: entry["acc"] for entry in predictions(run).values()}

    def test_what_is_scored_so_far_by_all_processes_under_the_newest_key(self, run: RunDirectory) -> None:
        scores = recorded_scores(run.path)
        run.predictions.unlink()
        assert scores_of(run) == Scores(ordered=True)
        write_scores(run.path, scores, key="other")
        order = write_scores(run.path, scores[:30], key="mine")
        order += write_scores(run.path, scores[50:60], key="mine", rank=1)
        found = scores_of(run)
        assert list(found.accuracies) == order
        assert not found.complete

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "not valid JSON"),
            ("[]", "expected an object"),
            ('{"a": {"arch": "1"}}', "no 'acc'"),
            ('{"[b]x": {"arch": 3, "acc": 1}}', "must be a string"),
            ('{"a": {"arch": "1", "acc": NaN}}', "must be finite"),
        ],
    )
    def test_damaged_predictions_are_an_error_of_the_view(self, run: RunDirectory, text: str, problem: str) -> None:
        run.predictions.write_text(text)
        view = PoolReader(run).read()
        assert view.rows is None
        assert problem in str(view.error)

    def test_a_wrong_digit_in_a_pool_is_named(self, run: RunDirectory, tmp_path: Path) -> None:
        pool = tmp_path / "pool.json"
        pool.write_text(json.dumps({"[red]x": {"arch": "2" + RESNET48.largest.code[1:]}}))
        assert "entry '[red]x': digit 1 of" in str(PoolReader(run, pool=pool).read().error)
        assert "no such file" in str(PoolReader(run, pool=tmp_path / "none.json").read().error).lower()

    def test_a_pool_without_a_run_means_imagenet_and_zeros_are_no_scores(self, tmp_path: Path) -> None:
        pool = tmp_path / "pool.json"
        codes = [RESNET48.largest.code, RESNET48.smallest.code]
        pool.write_text(json.dumps({f"a{n}": {"arch": code, "acc": 0.0} for n, code in enumerate(codes)}))
        view = PoolReader(None, pool=pool).read()
        assert view.rows is not None
        assert not view.rows.has_scores
        assert view.profile == IMAGENET
        pool.write_text(json.dumps({f"a{n}": {"arch": code, "acc": n / 2} for n, code in enumerate(codes)}))
        again = PoolReader(None, pool=pool).read()
        assert again.rows is not None
        assert again.rows.numbers("acc").tolist() == [0.0, 0.5]


class TestComparison:
    def test_it_measures_what_the_run_itself_measured(self, run: RunDirectory) -> None:
        recorded = json.loads(run.rank.read_text())  # of an older kit, which told less
        measured = compare(PoolReader(run).read()).report.to_json()
        assert not difference({key: measured[key] for key in recorded}, recorded)
        write_scores(run.path, recorded_scores(run.path))
        assert compare(PoolReader(run).read()).report.to_json() == measured

    def test_moments_are_the_figures_of_what_was_scored_by_then(self, ordered: Comparison) -> None:
        assert len(ordered.moments) > 4
        scored = [moment.scored for moment in ordered.moments]
        assert scored == sorted(set(scored))
        assert ordered.moments[-1].figures["kendall"] == ordered.report.predictions.kendall
        for moment in ordered.moments:
            rows = ordered.at(moment)
            assert all(ordered.scored_at[row] <= moment.scored for row in rows)
            assert len(rows) == moment.n == sum(at <= moment.scored for at in ordered.scored_at)
            if len(moment.figures) == len(METRICS):
                figures = rank_correlation(ordered.rows.numbers("acc")[rows], ordered.rows.numbers("true")[rows]).predictions
                for metric in METRICS:
                    assert moment.figures[metric].value == pytest.approx(getattr(figures, metric).value)

    def test_the_runs_own_events_come_first(self, run: RunDirectory) -> None:
        write_scores(run.path, recorded_scores(run.path))
        view = PoolReader(run).read()
        at = compare(view).scored_at
        figure = {"value": 0.25, "low": 0.125, "high": 0.5}
        events = [RankSoFar(scored=at[n - 1], n=n, pearson=figure, kendall=figure) for n in (5, 10)]
        comparison = compare(view, events)
        assert [moment.n for moment in comparison.moments] == [5, 10, 24]
        assert comparison.moments[0].figures["pearson"] == Interval(0.25, 0.125, 0.5)
        assert comparison.moments[0].figures["spearman"].value != 0.25

    def test_events_alone_make_moments_of_what_they_hold(self, run: RunDirectory) -> None:
        figure = {"value": 0.25, "low": 0.125, "high": 0.5}
        events = [RankSoFar(scored=9, n=5, pearson=figure, kendall={"value": 0.5})]
        moments = compare(PoolReader(run).read(), events).moments
        assert [set(moment.figures) for moment in moments] == [{"pearson"}, set(METRICS)]

    def test_without_an_order_there_is_one_moment(self, run: RunDirectory) -> None:
        assert len(compare(PoolReader(run).read()).moments) == 1

    def test_cells_part_the_architectures(self, ordered: Comparison) -> None:
        assert sum(cell.n for cell in ordered.cells) == len(ordered.rows)
        assert all(not cell.figures or set(cell.figures) == set(METRICS) for cell in ordered.cells)

    def test_outliers_come_by_their_disagreement(self, ordered: Comparison) -> None:
        members = np.arange(10)
        order, errors = outliers(ordered.rows, members)
        assert sorted(order.tolist()) == members.tolist()
        sizes = np.abs(errors[order])
        assert (np.diff(sizes) <= 0).all()
        assert errors[members].sum() == 0
        assert np.isnan(errors[10:]).all()

    @pytest.mark.parametrize(
        ("scores", "problem"),
        [
            ({}, "none of the 24 architectures of the truth has a prediction"),
            ({"few": 2}, "only 2 of the 24"),
            ({"constant": 24}, "a constant ranks nothing"),
        ],
    )
    def test_what_cannot_be_ranked_is_told(self, run: RunDirectory, scores: dict[str, int], problem: str) -> None:
        view = PoolReader(run).read()
        assert view.rows is not None
        accuracy = np.full(len(view.rows), np.nan)
        known = np.flatnonzero(np.isfinite(view.rows.numbers("true")))
        for name, count in scores.items():
            accuracy[known[:count]] = 0.5 if name == "constant" else np.arange(count)
        rows = replace(view.rows, columns={**view.rows.columns, "acc": accuracy})
        with pytest.raises(InputError, match=problem):
            compare(replace(view, rows=rows))

    def test_nothing_to_compare(self) -> None:
        with pytest.raises(KitError):
            compare(PoolView())

    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=20))
    def test_the_trend_goes_through_the_middle(self, points: list[tuple[int, int]]) -> None:
        x, y = (np.array(values, dtype=float) for values in zip(*points, strict=True))
        line = trend(x, y)
        if line is None:
            assert np.ptp(x) == 0
            return
        (x0, x1), (y0, y1) = line
        assert (x0, x1) == (x.min(), x.max())
        assert y0 + (y1 - y0) * (x.mean() - x0) / (x1 - x0) == pytest.approx(y.mean(), abs=1e-9)


def lines_of(content: Content) -> list[str]:
    return content.plain.split("\n")


intervals = st.tuples(*[st.floats(-1, 1)] * 3).map(sorted).map(lambda ends: Interval(ends[1], ends[0], ends[2]))


class TestDrawings:
    @given(st.lists(intervals, min_size=1, max_size=5), st.integers(36, 120), st.one_of(st.none(), st.floats(0, 1)))
    def test_a_forest_fits_and_marks_stand_in_order(
        self, figures: list[Interval], width: int, ceiling: float | None
    ) -> None:
        content = forest([Mark(f"row {n}", figure) for n, figure in enumerate(figures)], width, ceiling=ceiling)
        lines = lines_of(content)
        assert len(lines) == len(figures) + 1
        assert max(map(len, lines)) <= width
        places = [line.index("●") for line in lines[1:]]
        for a, place_a in zip(figures, places, strict=True):
            for b, place_b in zip(figures, places, strict=True):
                if a.value < b.value:
                    assert place_a <= place_b

    @given(st.integers(1, 35))
    def test_a_narrow_forest_is_numbers(self, width: int) -> None:
        assert "+0.500" in forest([Mark("a", Interval(0.5, 0.1, 0.9)), Mark("b", None)], width).plain

    @given(st.integers(0, 10**6), st.sampled_from([FASHION, IMAGENET]), st.booleans(), st.integers(40, 90))
    def test_a_network_has_its_blocks(self, seed: int, profile: object, compact: bool, width: int) -> None:
        space = profile.search_space  # type: ignore[attr-defined]
        architecture = space.sample(random.Random(seed))
        text = network(architecture, profile, width, compact=compact).plain  # type: ignore[arg-type]
        headings = [line for line in text.split("\n") if line.startswith(("input", "stem", "stage", "linear"))]
        assert len(headings) == 7
        blocks = text.count("→")
        assert blocks == (0 if compact else sum(architecture.depths))
        for stage in architecture.stages:
            assert f"{len(stage.mid_channels)} blocks, {stage.out_channels} of" in text

    @given(st.integers(0, 10**6))
    def test_the_parts_of_a_code_are_the_code(self, seed: int) -> None:
        code = RESNET48.sample(random.Random(seed)).code
        assert Content.assemble(*code_parts(code)).plain == code

    @given(st.floats(0, 9e14))
    def test_short_numbers_are_near_and_short(self, value: float) -> None:
        text = short_number(value)
        assert len(text) <= 7
        number, _, unit = text.partition(" ")
        assert float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit] == pytest.approx(
            value, rel=6e-3, abs=0.5
        )

    def test_columns_fit_any_width(self) -> None:
        rows = PoolReader(RunDirectory(RECORDED)).read().rows
        assert rows is not None
        columns = pool_columns(rows)
        assert len(row_cells(rows, 0, columns)) == len(columns)
        for width in range(5, 221):
            shown = [column for _, column in fitted(columns, width, VirtualTable.GAP)]
            assert [column.name for column in shown[:2]] == ["name", "acc"]
            if width >= 20:
                assert 1 + sum(column.width + VirtualTable.GAP for column in shown) <= width
