"""The import rules of pyproject.toml: the code keeps them, and each of them would notice if it did not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--no-logo", "--no-cache", *options]
    # The linter looks in the current folder first, so a copy of the package is judged there, not the installed one.
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def top_modules(checkout: Path, *, below: str) -> list[str]:
    """The modules of the layers under the one that holds `below`."""
    contracts = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    start = next(index for index, layer in enumerate(layers) if below in layer)
    return [f"kit.{name.strip(' ()')}" for layer in layers[start + 1 :] for name in layer.split("|")]


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    """A copy of the package's sources to break rules in."""
    shutil.copytree(
        checkout / "kit", tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.safetensors")
    )
    shutil.copy(checkout / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_code_keeps_every_import_rule(checkout: Path) -> None:
    result = lint(checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("contract", "module", "statement"),
    [
        ("layers", "errors", "import kit.files"),
        ("layers", "files", "import kit.search_space"),  # neighbours do not know each other
        ("layers", "search_space", "def late():\n    import kit.supernet"),
        ("layers", "supernet/elastic", "import kit.training"),
        ("terminal", "files", "import rich.console"),
        ("terminal", "supernet/elastic", "from typer import echo"),
        ("terminal", "run_dir", "import textual.app"),
        ("torch", "search_space", "def late():\n    from torch.nn import functional"),
        ("torch", "errors", "import timm.models"),
    ],
)
def test_a_broken_rule_is_noticed(copy: Path, contract: str, module: str, statement: str) -> None:
    assert lint(copy, "--contract", contract).returncode == 0
    path = copy / "kit" / f"{module}.py"
    path.write_text(path.read_text() + f"\n\n{statement}\n")
    result = lint(copy, "--contract", contract)
    assert result.returncode == 1
    assert "BROKEN" in result.stdout
    assert "kit." + module.replace("/", ".") in result.stdout


def test_a_new_module_must_be_given_a_layer(copy: Path) -> None:
    (copy / "kit" / "helpers.py").touch()
    result = lint(copy, "--contract", "layers")
    assert result.returncode == 1
    assert "helpers" in result.stdout


def test_the_command_line_and_what_lies_below_the_supernet_start_without_torch(checkout: Path) -> None:
    modules = ["kit.cli.main", *top_modules(checkout, below="supernet")]
    script = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted({'torch', 'torchvision', 'timm'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
