"""A page: sections of words, tables and pictures, as one HTML file, with every picture as SVG and table as CSV beside it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, Template

from kit import __version__
from kit.figures.drawing import draw
from kit.figures.plot import Plot
from kit.files import claim_folder, write_bytes

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are read; `numbers` are the columns aligned to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: range = range(0)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot, under a name for its file, and what it shows, in words: for whoever cannot see it, too."""

    name: str
    plot: Plot
    caption: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with what stands under it, in this order."""

    title: str
    words: Sequence[str] = ()
    table: Table | None = None
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report. `data` are tables in full precision, by the name of their CSV file; a dict is a row."""

    title: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
    data: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)


def write_page(page: Page, folder: Path) -> Path:
    """Write the page and what lies beside it; returns the page's path. Raises `InputError` for a folder of other things."""
    claim_folder(folder, lambda name: name.endswith((".html", ".svg", ".csv")), "report")
    drawn = {each.name: draw(each.plot) for section in page.sections for each in section.pictures}
    for name, svg in drawn.items():
        write_bytes(folder / f"{name}.svg", svg)
    for name, rows in page.data.items():
        write_bytes(folder / f"{name}.csv", _csv(rows))
    pictures = {name: svg.decode() for name, svg in drawn.items()}
    text = _template().render(page=page, pictures=pictures, version=__version__)
    write_bytes(folder / PAGE, text.encode())
    return folder / PAGE


def _csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    with io.StringIO(newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().encode()


@cache
def _template() -> Template:
    source = resources.files("kit.report").joinpath("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
