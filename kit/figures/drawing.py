"""Plots drawn as SVG: matplotlib places everything, and only paths and words of what it writes are kept."""

import io
import logging
import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from kit.figures.plot import Dots, Interval, Line, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 640
LEFT, RIGHT, TOP, BOTTOM = 72, 20, 46, 56
WIDE_LEFT = 132  # for words at the ticks
INK, SOFT, GRID = "#24292f", "#57606a", "#e3e6e9"
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kit",
    "path.simplify": False,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.parse_math": False,
}
START = b'<svg xmlns="http://www.w3.org/2000/svg" '
# What an SVG can do besides being a picture: run, fetch, refer, include.
ACTIVE = re.compile(
    rb"(?i)<\s*(?:script|foreignObject|image|use|iframe|embed|object|a|animate\w*|set|style|link|audio|video)\b"
    rb"|<[!?]|\bon[a-z]+\s*=|href|url\s*\(|javascript:|data:|@import|&(?!amp;|lt;|gt;|quot;|apos;)"
)
DRAWN_BY = re.compile(rb"<desc>matplotlib (\d[\w.+-]{0,30})</desc>")
PLACES = re.compile(rb' (?:d|x|y|transform)="([^"]*)"')
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
SLACK = 0.3
"""Processors and font libraries round differently: that many pixels are no difference."""


@cache
def drawing_version() -> str:
    """The version of matplotlib, without importing it."""
    return metadata.version("matplotlib")


def drawn_by(svg: bytes) -> str | None:
    """The version of matplotlib that drew a picture, if it says so."""
    found = DRAWN_BY.search(svg)
    return found and found[1].decode()


def flaw_of(svg: bytes) -> str | None:
    """What makes bytes no plain picture; None for what `draw` may have drawn, in whatever version."""
    if active := ACTIVE.search(svg):
        return f"it holds something that runs or refers to other files: {active[0][:40]!r}"
    return None if svg.startswith(START) else "it is no SVG picture"


def same_drawing(one: bytes, other: bytes) -> bool:
    """Whether two pictures differ in nothing but the last digits of places."""
    a, b = (b" ".join(PLACES.findall(svg)).decode("utf-8", "replace") for svg in (one, other))
    if PLACES.sub(b"", one) != PLACES.sub(b"", other) or NUMBER.sub("#", a) != NUMBER.sub("#", b):
        return False
    return all(abs(float(x) - float(y)) <= SLACK for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True))


def draw(plot: Plot) -> bytes:
    """The picture of a plot. The same plot gives the same bytes with one version of matplotlib on one kind of processor."""
    # It tells the terminal about fonts and folders, which is nothing that a user of ours asked for.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not what somebody's own file says
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure((WIDTH / 72, plot.height / 72), dpi=72)
        FigureCanvasSVG(figure)
        _fill(figure, plot)
        with io.StringIO() as file:
            figure.savefig(file, format="svg", metadata={"Date": None})
            tree = ElementTree.fromstring(file.getvalue())
    size = f'viewBox="0 0 {WIDTH} {plot.height}" width="{WIDTH}" height="{plot.height}"'
    head = f'{START.decode()}{size} role="img" font-family="{FONT}">\n<title>{escape(plot.title)}</title>'
    parts = [head, f"<desc>matplotlib {matplotlib.__version__}</desc>", *_plain(tree), "</svg>\n"]
    return "\n".join(parts).encode()


def _fill(figure: "Figure", plot: Plot) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    left, height = WIDE_LEFT if plot.y.ticks else LEFT, plot.height
    axes = figure.add_axes((left / WIDTH, BOTTOM / height, 1 - (left + RIGHT) / WIDTH, 1 - (TOP + BOTTOM) / height))
    axes.set(xlim=plot.x_range, ylim=plot.y_range, axisbelow=True)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(left=False, bottom=False, labelcolor=SOFT, pad=8)
    for axis, own in ((axes.xaxis, plot.x), (axes.yaxis, plot.y)):
        if own.ticks is None:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(ScalarFormatter(useOffset=False))
        else:
            axis.set_ticks([at for at, _ in own.ticks], [words for _, words in own.ticks])
    axes.grid(axis="x" if plot.y.ticks else "y", color=GRID, linewidth=1)
    for mark in plot.marks:
        _add(axes, mark)
    words: dict[str, Any] = {"color": INK, "ha": "center"}
    figure.text((left + WIDTH - RIGHT) / 2 / WIDTH, 14 / height, plot.x.label, **words)
    middle = (height - TOP + BOTTOM) / 2 / height
    figure.text(18 / WIDTH, middle, plot.y.label, rotation=90, rotation_mode="anchor", **words)
    figure.text(18 / WIDTH, 1 - 26 / height, plot.title, color=INK, size=15)
    figure.text(1 - RIGHT / WIDTH, 1 - 26 / height, plot.note, color=plot.note_colour, ha="right")


def _add(axes: "Axes", mark: Dots | Line | Interval) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if isinstance(mark, Dots):
        # Lines of no length with round ends, all in one path: a tenth of the bytes of circles.
        path = Path([point for point in mark.points for _ in range(2)], [Path.MOVETO, Path.LINETO] * len(mark.points))
        style = {"linewidth": 2 * mark.radius, "alpha": mark.opacity, "capstyle": "round"}
        axes.add_patch(PathPatch(path, fill=False, edgecolor=mark.colour, **style))
    elif isinstance(mark, Line):
        axes.plot(*zip(*mark.points, strict=True), color=mark.colour, linewidth=mark.width)
        if mark.label:
            place, offset = mark.points[-1], (0, 7)
            axes.annotate(mark.label, place, offset, textcoords="offset points", color=mark.colour, ha="right")
    else:
        _add(axes, Line(mark.points, mark.colour, 2))
        _add(axes, Dots(mark.points[1:2], mark.colour, 5, 1))
        low, high = axes.get_xlim()
        # Words stay on the sheet: those of a value near its edge stand on the value's other side.
        side = ("left", "center", "right")[int(3 * min(0.99, max(0.0, (mark.value - low) / (high - low))))]
        axes.annotate(mark.words, mark.points[1], (0, 10), textcoords="offset points", color=INK, ha=side)


def _plain(element: ElementTree.Element) -> Iterator[str]:
    """The paths and words of a picture, without groups, clips, references and definitions."""
    for each in element:
        tag = each.tag.rpartition("}")[2]
        if tag == "g":
            yield from _plain(each)
        elif tag in ("path", "text"):
            kept = {name: _short(name, each.get(name, "")) for name in ("style", "d", "x", "y", "transform")}
            shown = "".join(f" {name}={quoteattr(value)}" for name, value in kept.items() if value)
            yield f"<{tag}{shown}/>" if tag == "path" else f"<{tag}{shown}>{escape(each.text or '')}</text>"


def _short(name: str, value: str) -> str:
    if name == "transform" and value.startswith("rotate(-0 "):
        return ""
    if name == "style":
        return re.sub(r"font-family:[^;]*;? ?", "", value)
    value = NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), value)
    value = re.sub(r"\s*([MLz])\s*", r"\1", value).strip()
    return re.sub(r"M([\d.]+ [\d.]+)L\1(?=M|$)", r"M\1h0", value)
