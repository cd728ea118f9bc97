"""The built wheel works by itself: installed elsewhere, from another folder, without the checkout."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """The wheel's files, unpacked by pip into `site`, and a folder that holds nothing."""

    wheel: Path
    site: Path
    elsewhere: Path

    def run(self, *command: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.site)}
        result = subprocess.run(command, cwd=self.elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def kit(self, *arguments: str) -> str:
        return self.run(str(self.site / "bin" / "kit"), *arguments)

    @property
    def members(self) -> list[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.namelist()


@pytest.fixture(scope="module")
def installed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, checkout], check=True)
    (wheel,) = folder.glob("kit-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", wheel], check=True)
    (folder / "elsewhere").mkdir()
    return Installed(wheel, folder / "site", folder / "elsewhere")


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def data_files(folder: Path, *patterns: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.rglob(pattern)}


def test_every_recipe_profile_and_truth_is_in_the_wheel_once(installed: Installed, checkout: Path) -> None:
    recipes = data_files(checkout / "recipes", "*.toml")
    truths = data_files(checkout / "kit" / "truth", "*.json")
    schemas = data_files(checkout / "submission", "*.json")
    assert recipes
    assert truths
    assert schemas
    expected = {f"kit/recipes/{name}" for name in recipes} | {f"kit/truth/{name}" for name in truths}
    expected |= {f"kit/submission/templates/{name}" for name in schemas}
    shipped = Counter(name for name in installed.members if name.endswith((".toml", ".json")))
    assert shipped == Counter(expected)


def test_the_installed_copy_has_the_templates_of_archives_and_the_license(installed: Installed, checkout: Path) -> None:
    script = (
        "from kit.submission.derived import license_text, templates_folder\n"
        "print(templates_folder(), *sorted(path.name for path in templates_folder().iterdir()), sep='\\n')\n"
        "print(len(license_text()))"
    )
    where, *names, size = installed.run(sys.executable, "-c", script).split("\n")[:-1]
    assert Path(where).is_relative_to(installed.site)
    assert set(names) == {path.name for path in (checkout / "submission").iterdir()}
    assert int(size) == (checkout / "LICENSE").stat().st_size


def test_the_wheel_holds_nothing_but_the_package(installed: Installed) -> None:
    assert {name.split("/")[0].split("-")[0] for name in installed.members} == {"kit"}


def test_the_installed_copy_is_the_one_that_runs(installed: Installed) -> None:
    where = installed.run(sys.executable, "-c", "import kit; print(kit.__file__)").strip()
    assert Path(where).is_relative_to(installed.site)


def test_help_works_from_any_folder(installed: Installed) -> None:
    assert "run" in installed.kit("--help").split()


def test_the_installed_recipes_and_profiles_are_listed(installed: Installed) -> None:
    listed = set(strings(json.loads(installed.kit("recipes", "list", "--json"))))
    names = {path.stem for path in (installed.site / "kit" / "recipes").rglob("*.toml")}
    assert {"full", "nano"} <= names <= listed
    assert all(Path(text).is_relative_to(installed.site) for text in listed if text.startswith("/"))


def test_an_installed_recipe_is_shown_and_nothing_is_left_behind(installed: Installed) -> None:
    title = tomllib.loads((installed.site / "kit" / "recipes" / "full.toml").read_text())["title"]
    assert title in " ".join(installed.kit("recipes", "show", "full").split())
    assert list(installed.elsewhere.iterdir()) == []
