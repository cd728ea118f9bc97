"""Figures: what is drawn shows its plot, is a plain picture, and is drawn once."""

import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.figures import kept
from kit.figures.drawing import WIDTH, draw, drawing_version, drawn_by, flaw_of, same_drawing
from kit.figures.kept import draw_once
from kit.figures.plot import Axis, Dots, Line, Plot, thinned
from kit.figures.run_plots import accuracy_plot, curve_plot, loss_plot, rank_plot, truth_plot
from kit.rank_report import Correlations, Interval, RankReport

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
CORRELATION = Interval(0.95, 0.9, 0.99)
CORRELATIONS = Correlations(CORRELATION, CORRELATION, Interval(-0.2, -0.5, 0.1))
REPORT = RankReport(n=9, predictions=CORRELATIONS, opponents={"macs": CORRELATIONS, "depth": None, "mine": CORRELATIONS})
PLOTS: dict[str, Plot] = {
    "accuracy": accuracy_plot([10**7, 2 * 10**7, 3 * 10**7], [0.5, 0.75, 0.625]),
    "one accuracy": accuracy_plot([2 * 10**9], [0.5]),
    "equal accuracies": accuracy_plot([10**7 + index for index in range(50)], [0.5] * 50),
    "many": accuracy_plot([10**7 + 7919 * index % 10**6 for index in range(3000)], [i % 361 / 360 for i in range(3000)]),
    "truth": truth_plot([0.5, 0.6], [0.7, 0.7], CORRELATIONS),
    "rank": rank_plot(REPORT),
    "loss": loss_plot({f"a long name of phase {index}": [(0.1, 2.3), (0.9, 1.1)] for index in range(12)}),
    "curves": curve_plot("c", "x", "y", {"two": [[(0, 0.5), (9, 0.75)], [(0, 0.25), (9, 0.5)]], "one": [[(0, 1), (9, 0)]]}),
    "a curve begun": curve_plot("c", "x", "y", {"one": [[(25, 0.5)]]}),
    "signs": Plot("a < b & $c_d$ \"e\" <script>", Axis("x"), Axis("y"), (Dots(((1, 1),)),), "é"),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return {name: draw(plot) for name, plot in PLOTS.items()}


@pytest.mark.parametrize("name", PLOTS)
def test_a_drawing_is_a_plain_picture_that_says_what_it_shows(drawn: dict[str, bytes], name: str) -> None:
    svg, plot = drawn[name], PLOTS[name]
    assert flaw_of(svg) is None and drawn_by(svg) == drawing_version() and len(svg) < 60_000
    root = ElementTree.fromstring(svg)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "title", "desc", "path", "text"}
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {plot.title, plot.note, plot.x.label, plot.y.label} <= {*words, ""}
    assert {label for axis in (plot.x, plot.y) for _, label in axis.ticks or ()} <= set(words)
    for numbers in re.findall(r'(?: d| x| y)="([^"]*)"', svg.decode()):
        assert all(0 <= float(number) <= WIDTH for number in re.findall(r"-?[\d.]+", numbers))


def test_words_of_intervals_stay_on_the_sheet(drawn: dict[str, bytes]) -> None:
    assert re.search(rb"text-anchor: end[^>]*>\+0.95 \[\+0.90, \+0.99\]|text-anchor: start[^>]*>-0.20", drawn["rank"])


@given(st.lists(st.lists(VALUES, min_size=1, max_size=9), min_size=1, max_size=4))
def test_names_of_curves_stand_beside_them(heights: list[list[float]]) -> None:
    curves = {str(number): [[(float(x), y) for x, y in enumerate(ys)]] for number, ys in enumerate(heights)}
    marks = [mark for mark in curve_plot("", "", "", curves).marks if isinstance(mark, Line)]
    lines, names = marks[: len(curves)], marks[len(curves) :]
    ends = [line.points[-1][1] for line in lines]
    assert {name.label for name in names} == set(curves)
    for name in names:
        [line] = [line for line in lines if line.colour == name.colour]
        assert line.points == tuple(curves[name.label][0])
        assert name.points[0][1] >= max(ends) or name.points[0][1] < min(ends)


def test_each_dot_is_drawn_in_its_place() -> None:
    points = ((0.0, 0.0), (1.0, 1.0), (2.0, 4.0))
    plot = Plot("", Axis(range=(0, 2)), Axis(range=(0, 4)), (Dots(points),))
    found = [(float(x), float(y)) for x, y in re.findall(rb"M([\d.]+) ([\d.]+)h0", draw(plot))]
    (left, bottom), (right, top) = found[0], found[-1]
    assert found[1] == (pytest.approx((left + right) / 2, abs=0.1), pytest.approx(bottom - (bottom - top) / 4, abs=0.1))
    assert left < right <= WIDTH and bottom > top >= 0


def test_the_same_plot_gives_the_same_bytes_whatever_the_user_has_set(
    drawn: dict[str, bytes], tmp_path: Path, checkout: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\naxes.grid: True\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_figures as t; "
        "sys.stdout.buffer.write(t.draw(t.PLOTS['rank']))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(Path(kept.__file__).parents[2]),
    }
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=120)
    assert again.stdout == drawn["rank"] and again.stderr == b""


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda svg: svg, True),
        (lambda svg: svg.replace(b'y="26"', b'y="27"'), False),
        (lambda svg: svg.replace(b"h0", b"h0.1"), True),
        (lambda svg: svg.replace(b"h0", b"h1"), False),
        (lambda svg: svg.replace(b"+0.95", b"+0.96"), False),
        (lambda svg: svg.replace(b"#0072b2", b"#0072b3"), False),
        (lambda svg: svg.replace(b"</svg>", b'<path d="M1 1h0"/></svg>'), False),
        (lambda svg: b"", False),
    ],
)  # fmt: skip
def test_drawings_differ_where_somebody_could_see_it(
    drawn: dict[str, bytes], change: Callable[[bytes], bytes], same: bool
) -> None:
    assert same_drawing(drawn["rank"], change(drawn["rank"])) == same


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
def test_few_points_are_all_kept(points: list[tuple[float, float]]) -> None:
    assert thinned(points) == tuple(sorted(set(points)))


@settings(max_examples=20)
@given(st.integers(), st.integers(1001, 4000))
def test_of_many_points_each_has_one_nearby(seed: int, count: int) -> None:
    rng = random.Random(seed)
    points = [(rng.random(), rng.random()) for _ in range(count)]
    found = thinned(points)
    assert set(found) <= set(points) and list(found) == sorted(found) and thinned(points[::-1]) == found
    for x, y in rng.sample(points, 20):
        assert any(abs(x - a) < 1 / 500 and abs(y - b) < 1 / 270 for a, b in found)


def test_pictures_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Plot] = []
    monkeypatch.setattr(kept, "draw", lambda plot: calls.append(plot) or f"<svg {len(calls)}".encode())
    plots = {"a.svg": PLOTS["rank"], "b/c.svg": PLOTS["truth"]}
    first = draw_once(plots, tmp_path)
    for path in tmp_path.rglob("*"):
        path.chmod(0o555)
    assert draw_once(plots, tmp_path) == first and len(calls) == 2
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    changed = draw_once({**plots, "a.svg": PLOTS["loss"]}, tmp_path)
    assert changed["b/c.svg"] == first["b/c.svg"] and changed["a.svg"] != first["a.svg"] and len(calls) == 3
    (tmp_path / "a.svg").write_bytes(b"<svg 9")
    assert draw_once({**plots, "a.svg": PLOTS["loss"]}, tmp_path)["a.svg"] == b"<svg 4"
    (tmp_path / kept.INDEX).write_bytes(b"{")
    draw_once(plots, tmp_path)
    assert len(calls) == 6
