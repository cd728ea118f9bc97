"""A kit that knows one setting more in every settings model finds everything that was made before."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit_process import PATIENCE

from kit.methods import METHODS, settings_model
from kit.recipe import Profile, Recipe
from kit.strict import Strict

NEW = "    another_setting: int = 0\n"


def settings_models(model: type[Strict] = Strict) -> Iterator[type[Strict]]:
    for each in model.__subclasses__():
        yield from (each, *settings_models(each))


@pytest.fixture
def newer_kit(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the package in which every settings model has a setting more, at the end of its own."""
    copy = tmp_path / "newer"
    shutil.copytree(checkout / "kit", copy / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    expected = {Recipe.__name__, Profile.__name__, *(settings_model(method).__name__ for method in METHODS)}
    names = {model.__name__ for model in settings_models() if model.__module__.startswith("kit.")}
    assert expected < names
    for path in (copy / "kit").rglob("*.py"):
        lines = path.read_text().splitlines(keepends=True)
        classes = [node for node in ast.parse("".join(lines)).body if isinstance(node, ast.ClassDef) and node.name in names]
        for node in reversed(classes):
            settings = [each for each in node.body if isinstance(each, ast.AnnAssign | ast.Expr)]
            lines.insert(settings[-1].end_lineno, NEW)
        path.write_text("".join(lines))
    return copy


@pytest.mark.slow
def test_a_new_setting_orphans_nothing(trained, kit, newer_kit):
    truth = ["run", "truth", "--profile", str(trained.profile), "--runs", str(trained.runs), "--workers", "1", "--json"]
    made = kit(*truth).json
    old_truth = json.loads(Path(made["truth"]).read_text())
    before = {path: path.read_bytes() for path in trained.runs.rglob("*") if path.is_file() and path.name != ".lock"}

    def newer(*arguments: str) -> dict:
        command = [sys.executable, "-P", "-c", "from kit.cli.main import main; main()", *arguments]
        environment = os.environ | {"PYTHONPATH": str(newer_kit)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert newer("recipes", "show", str(trained.recipe), "--json")["another_setting"] == 0, "the copy is what runs"
    assert newer(*trained.arguments("--json"))["run"] == "small-tiny-s0"
    assert newer(*truth) == made
    assert {path for path in trained.runs.rglob("*") if path.is_file() and path.name != ".lock"} == before.keys()
    touched = {path.name: path.read_bytes() for path in before if path.read_bytes() != before[path]}
    assert touched.keys() <= {"truth.json"}, "truth.json tells the new setting; no phase or score was made"
    assert json.loads(touched["truth.json"])["provenance"]["settings_sha256"] == old_truth["provenance"]["settings_sha256"]
