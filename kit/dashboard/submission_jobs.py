"""The two commands that screen 5 starts: what they say while they work, and what came out of them."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.worker import Worker, get_current_worker

from kit.dashboard.widgets.table import Cell, Column
from kit.watch.processes import Started
from kit.watch.text import count

INTERVAL = 0.3
SHOWN_BYTES = 64 * 1024
REPRODUCED = (
    Column("name", 10),
    Column("recorded", 8, right=True),
    Column("found", 8, right=True),
    Column("difference", 10, right=True),
    Column("code", 52),
)


@dataclass(eq=False)
class Job:
    """A command at work, or one that has ended: then with its exit code."""

    title: str
    archive: Path
    process: subprocess.Popen[bytes] | None = None
    worker: Worker[None] | None = None
    report: dict[str, Any] | None = None
    code: int | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def stop(self) -> None:
        """Ask a process of its own to stop; a command that only reports goes with its worker."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if self.worker is not None and self.code is None:
            self.code = int(signal.SIGTERM) + 128
            self.worker.cancel()


def follow_build(started: Started, tell: Callable[[list[str], int | None], object]) -> None:
    """Tell what a process says until it ends. It goes on when nobody listens any more. For a thread."""
    worker = get_current_worker()
    while not worker.is_cancelled:
        code = started.process.poll()
        tell(last_lines(started.log), code)
        if code is not None:
            return
        time.sleep(INTERVAL)


def last_lines(path: Path) -> list[str]:
    """The end of a log; nothing while there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - SHOWN_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def check_new_archive(answer: str) -> str:
    """What is wrong with a name for a new archive."""
    from kit.dashboard.app import check_new_file

    return check_new_file(answer) or ("" if answer.endswith(".tar") else "the name of an archive ends with .tar")


def check_sample(answer: str) -> str:
    """What is wrong with an answer to how many sub-networks to score again."""
    number = answer.split(" ")[0]
    return "" if number.isascii() and number.isdigit() and int(number[:9]) > 0 else "expected a whole number from 1 on"


def reproduced_rows(report: dict[str, Any]) -> list[list[Cell]]:
    """A row per sub-network that was scored again, the largest differences first."""
    rows: list[tuple[int, list[Cell]]] = []
    for subnet in report.get("subnets", ()):
        recorded, found = int(subnet["recorded"]), int(subnet["found"])
        difference = found - recorded
        cells: list[Cell] = [(str(subnet["name"]), "strong"), count(recorded), count(found)]
        rows.append(
            (abs(difference), [*cells, (f"{difference:+d}", "good" if not difference else "warn"), str(subnet["code"])])
        )
    return [cells for _, cells in sorted(rows, key=lambda row: -row[0])]


def reproduced_summary(report: dict[str, Any]) -> str:
    """What the reproduction comes to."""
    other = report.get("environment_differences") or ()
    where = "in another environment" if other else "in the recorded environment"
    return (
        f"{report.get('exact')} of {report.get('sampled')} sub-networks get exactly the recorded number of "
        f"{count(report.get('images'))} images right, the largest difference is {report.get('max_difference')} "
        f"(allowed {report.get('allowed_difference')} {where})"
    )
