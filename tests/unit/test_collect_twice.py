"""The check that finds collections that differ: here it must."""

import os
import subprocess
import sys
from pathlib import Path

SUITE = """
import pytest, tempfile, time

class Plain:
    pass

"""
TEST = """
@pytest.mark.parametrize("value", [{}], ids=str)
def test_{}(value): ...
"""


def test_what_differs_between_two_collections_is_found(tmp_path: Path, checkout: Path) -> None:
    differing = {
        "time": "int(time.time())",
        "order": "*{'one', 'two', 'three', 'four', 'five', 'six'}",
        "address": "Plain()",
        "folder": "tempfile.gettempdir()",
    }
    steady = TEST.format("1, 'two', (3.0, None)", "steady")
    (tmp_path / "test_steady.py").write_text(SUITE + steady)
    (tmp_path / "test_all.py").write_text(SUITE + steady + "".join(TEST.format(v, name) for name, v in differing.items()))
    command = [sys.executable, str(checkout / "tests" / "collect_twice.py")]
    world = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    started = [
        subprocess.Popen([*command, f"test_{name}.py"], cwd=tmp_path, env=world, stdout=subprocess.PIPE, text=True)
        for name in ("steady", "all")
    ]
    (steady_out, _), (out, _) = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 1], steady_out + out
    assert {name for name in (*differing, "steady") if f"::test_{name}[" in out} == set(differing)
