"""Collect the tests twice, seconds apart, with other hash seeds and temporary folders, and compare.

pytest-xdist refuses workers that collected different tests, so nothing at collection may depend on the time, the order of a
set, a memory address or a temporary path. `make check` runs this: python tests/collect_twice.py [FOLDER_OR_FILE]
"""

import difflib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

APART = 2.1  # seconds: more than a clock that counts in even seconds can hide


def collect_twice(tests: Path) -> list[str]:
    """The lines in which two collections differ; empty if they agree."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        one = _start(tests, seed="1", temporary=first)
        time.sleep(APART)
        two = _start(tests, seed="4071", temporary=second)
        collected = [_names(process) for process in (one, two)]
    assert all(collected), "nothing was collected"
    return [line for line in difflib.unified_diff(*collected, "first", "second", lineterm="", n=0)]


def _start(tests: Path, *, seed: str, temporary: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", str(tests)]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TMPDIR": temporary}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _names(process: subprocess.Popen[str]) -> Sequence[str]:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return [line for line in out.splitlines() if "::" in line]


if __name__ == "__main__":
    found = collect_twice(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
    print("\n".join(found) or "two collections agree")
    sys.exit(bool(found))
