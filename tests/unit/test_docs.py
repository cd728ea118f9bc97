"""What README and pages say exists: links, command lines, files, functions, layers, exit codes and the paper's figures."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from kit.cli.main import app
from kit.errors import ExitCode
from kit.recipe import load_recipe
from kit.recipe.loading import recipe_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED_PATH = re.compile(r"(?<![\w/.-])(?:kit|recipes|tests|docs|submission)/[\w./-]*")
NAMED_PARTS = re.compile(r"`(kit/[\w/]+\.py)` \(((?:`[\w.]+`(?:, )?)+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def spans(page: Path) -> list[str]:
    """Everything set as code within the text."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words after `kit` name, and the words left for it."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"kit has no command {words[0]!r}: {words}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words after `kit` (or the module that torchrun starts) of every such line of the page's blocks."""
    known = "|".join(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for block in blocks(page, "", "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            start = re.match(r"(?:\$ )?kit(?= |$)", line) or re.search(rf"(?:kit|kit\.cli\.main)(?= +(?:{known})\b)", line)
            if start:
                yield shlex.split(line[start.end() :], comments=True)


@pytest.mark.parametrize("page", [page for page in PAGES if any(command_lines(page))], ids=name_of)
def test_command_lines_can_be_parsed(page: Path) -> None:
    for words in command_lines(page):
        command, rest = command_of(words)
        try:
            if not hasattr(command, "commands") or rest:
                command.make_context("kit", list(rest))
        except click.exceptions.ClickException as error:
            pytest.fail(f"kit {shlex.join(words)}: {error.format_message()}")


@pages
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    for span in spans(page):
        if span != "kit" and not span.startswith("kit "):
            continue
        words = re.sub(r"[\[\]]", "", span.split(" | ")[0]).split()[1:]
        command, rest = command_of([word for word in words if word != "COMMAND"])
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= options, span


@pages
def test_named_files_exist(page: Path) -> None:
    """A word in capitals stands for any name."""
    for text in (*spans(page), *blocks(page, "", "sh", "bash")):
        for path in NAMED_PATH.findall(text):
            pattern = re.sub(r"\b[A-Z]+\b(?!\.md)", "*", path).rstrip("/.")
            assert any(ROOT.glob(pattern)), path


@pages
def test_named_functions_and_classes_exist(page: Path) -> None:
    for path, listed in NAMED_PARTS.findall(page.read_text()):
        for name in re.findall(r"`([\w.]+)`", listed):
            body: list[ast.stmt] = ast.parse((ROOT / path).read_text()).body
            for part in name.split("."):
                found = [each for each in body if getattr(each, "name", None) == part]
                assert found, f"{path} has no {name}"
                body = getattr(found[0], "body", [])


def test_the_walks_name_functions() -> None:
    assert len(NAMED_PARTS.findall((ROOT / "docs" / "architecture.md").read_text())) > 20


@pytest.mark.parametrize(
    ("page", "contracts"), [("CONTRIBUTING.md", ["layers"]), ("docs/architecture.md", ["layers", "dashboard"])]
)
def test_the_pictures_of_the_layers_are_those_that_are_enforced(page: str, contracts: list[str]) -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    enforced = {rule["id"]: rule["layers"] for rule in rules if rule["type"] == "layers"}
    assert [block.splitlines() for block in blocks(ROOT / page, "layers")] == [enforced[name] for name in contracts]


def test_the_readme_lists_every_exit_code() -> None:
    section = (ROOT / "README.md").read_text().split("## Exit codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    assert [int(code) for row in rows for code in row.split(",")] == sorted(ExitCode)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_page_of_recipes_has_each_with_its_row_of_the_paper() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \| (.*) \|$", (ROOT / "docs" / "recipes.md").read_text(), re.MULTILINE)
    listed = {name: (row, figure) for name, row, figure in rows if name in recipe_names()}
    papers = {name: load_recipe(name).paper for name in recipe_names()}
    expected = {
        name: (f"Table {paper.table}, {paper.row}", f"{paper.pearson:.5f}"[1:]) if paper else ("-", "-")
        for name, paper in papers.items()
    }
    methods = (ROOT / "docs" / "methods.md").read_text()
    rivals = {name for name in recipe_names() if re.search(rf"^\|.*`{name}`.*\|$", methods, re.MULTILINE)}
    assert listed == {name: row for name, row in expected.items() if name in listed or name not in rivals}


def test_the_readmes_figures_are_those_of_the_page_that_is_checked() -> None:
    """Its table holds only what docs/rank-consistency.md, which a test regenerates, prints in that row."""
    page = (ROOT / "docs" / "rank-consistency.md").read_text()
    rows = re.findall(
        r"^\| (?:`([\w-]+)`|counting ([\w-]+)|(one stand-alone training))[^|]*\|([^|]*)\|([^|]*)\|$", *_readme()
    )
    assert len(rows) == 5
    for recipe, counted, alone, *cells in rows:
        name = recipe or counted or alone
        lines = [line for line in page.splitlines() if line.split("  ")[0].strip() == name]
        for cell in cells:
            assert cell.strip() == "the same" or any(cell.strip() in line for line in lines), (name, cell)


def _readme() -> tuple[str, int]:
    return (ROOT / "README.md").read_text(), re.MULTILINE
