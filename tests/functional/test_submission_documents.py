"""What an archive tells its readers works: the README's code, and `reproduce.sh`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_archive import data_members, synthetic, whole

from kit import __version__
from kit.submission import layout
from kit.submission.archive import unpack_archive, write_archive

FAKE_KIT = """#!/bin/sh
if [ "$1" = --version ]; then echo "kit {version}"; exit 0; fi
echo "$@" >> "{log}"
[ "$2" != "{fails}" ]
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "small.tar"
    write_archive(path, whole(data_members(synthetic(size=60, few_shot=True))))
    return path


@pytest.fixture(scope="module")
def unpacked(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    unpack_archive(packed, folder)
    return folder


def python_blocks(unpacked: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (unpacked / layout.README).read_text(), re.DOTALL)


def test_the_readme_has_no_placeholders_left(unpacked: Path) -> None:
    for name in (layout.README, layout.REPRODUCE):
        assert not re.search(r"@[A-Z_]+@", (unpacked / name).read_text()), name


@pytest.mark.slow
def test_the_readmes_code_loads_a_sub_network_and_classifies(unpacked: Path) -> None:
    with_torch, with_onnx = python_blocks(unpacked)
    check = "\nimport torch\nassert net(torch.zeros(7, 3, 8, 8)).shape == (7, 10)\n"
    images = "import numpy\nimages = numpy.zeros((7, 3, 8, 8), numpy.float32)\n"
    for script in (with_torch + check, images + with_onnx + "\nassert logits.shape == (7, 10)\n"):
        result = subprocess.run([sys.executable, "-c", script], cwd=unpacked, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(unpacked: Path, tmp_path: Path) -> Script:
    """Run `reproduce.sh` in an empty folder; `version` puts a `kit` of that version on the path."""

    def run(
        *arguments: str, version: str | None = None, fails: str = "never", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "bin").mkdir(exist_ok=True)
        kit = tmp_path / "bin" / "kit"
        kit.unlink(missing_ok=True)
        if version is not None:
            kit.write_text(FAKE_KIT.format(version=version, log=tmp_path / "log", fails=fails))
            kit.chmod(0o755)
        variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), **environment}
        command = ["sh", str(unpacked / layout.REPRODUCE), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    return run


def test_the_script_explains_itself_without_an_archive(script: Script) -> None:
    for arguments in ((), ("absent.tar",)):
        result = script(*arguments)
        assert result.returncode == 2
        assert "usage:" in result.stderr and __version__ in result.stderr


def test_the_script_asks_for_the_right_kit_and_takes_no_other(script: Script, packed: Path, tmp_path: Path) -> None:
    for version in (None, "0.0.9"):
        result = script(str(packed), version=version)
        assert result.returncode == 2
        assert f"kit {__version__} is not installed: set KIT" in result.stderr
    assert not (tmp_path / "log").exists()
    assert not (tmp_path / "reproduce-venv").exists()


def test_the_script_checks_and_then_reproduces(script: Script, packed: Path, tmp_path: Path) -> None:
    assert script(str(packed), version=__version__).returncode == 0
    assert (tmp_path / "log").read_text().splitlines() == [
        f"submission check {packed}",
        f"submission reproduce {packed} --data digits --sample 20",
    ]
    assert script(str(packed), "folder:x y", "3", version=__version__).returncode == 0
    assert (tmp_path / "log").read_text().splitlines()[-1] == f"submission reproduce {packed} --data folder:x y --sample 3"


def test_the_script_stops_at_an_archive_that_does_not_pass(script: Script, packed: Path, tmp_path: Path) -> None:
    assert script(str(packed), version=__version__, fails="check").returncode != 0
    assert "reproduce" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_the_installed_kit_checks_this_archive_through_the_script(script: Script, packed: Path) -> None:
    """The real command: the check passes, and then a score is measured again, which this archive made up."""
    real = Path(sys.executable).parent
    result = script(str(packed), "digits", "1", PATH=f"{real}:{os.environ['PATH']}", OMP_NUM_THREADS="1")
    assert "passes" in result.stdout + result.stderr
    assert result.returncode == 1
    assert "1 of 1 sub-networks" in result.stderr
