"""The command that works on an archive: what it says meanwhile, and the table that it ends with."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from kit.dashboard.widgets.table import Cell, Column, VirtualTable, text_column
from kit.errors import KitError
from kit.watch.processes import Started, last_lines, run_json
from kit.watch.text import clean, count, duration

KEPT = 500
INTERVAL = 0.3
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
    stop: Callable[[], object] = lambda: None
    code: int | None = None
    started: float = field(default_factory=time.monotonic)


class JobPanel(Vertical):
    """One command at a time. A build goes on without the dashboard; a reproduction, which keeps nothing, ends with it."""

    class Began(Message):
        """A command was started."""

    @dataclass
    class Ended(Message):
        """A command has done what it was asked to, with the archive at `path`."""

        path: Path

    job: Job | None = None
    title = ""

    def compose(self) -> ComposeResult:
        # Not looked up later: a command may speak when the dashboard closes and they are gone from the tree.
        self._headline = Static("", classes="panel-title", markup=False)
        self._table: VirtualTable[list[Cell]] = VirtualTable()
        yield self._headline
        yield self._table

    @property
    def is_busy(self) -> bool:
        """Whether a command is at work."""
        return self.job is not None and self.job.code is None

    def follow(self, started: Started, archive: Path) -> None:
        """Show what a process says that builds an archive."""
        job = self._begin(Job(f"building {archive.name}", stop=started.process.terminate))
        self.run_worker(self._follow(job, started, archive), group="job")

    async def _follow(self, job: Job, started: Started, archive: Path) -> None:
        while (code := started.process.poll()) is None:
            self._tell(job, last_lines(started.log))
            await asyncio.sleep(INTERVAL)
        self._tell(job, last_lines(started.log), code)
        if code == 0:
            self.post_message(self.Ended(archive))

    def reproduce(self, archive: Path, sample: str, data: str) -> None:
        """Start to score a sample again from the archive alone."""
        arguments = ["submission", "reproduce", str(archive), "--sample", sample, *(["--data", data] if data else [])]
        job = self._begin(Job(f"reproducing {sample} sub-networks of {archive.name}"))
        worker = self.run_worker(self._reproduce(job, arguments), group="job")

        def stop() -> None:
            worker.cancel()
            job.code = 143
            self._say(f"■ {job.title}: stopped", "$text-warning")

        job.stop = stop

    async def _reproduce(self, job: Job, arguments: list[str]) -> None:
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            self._tell(job, lines)

        try:
            report = await run_json(arguments, accept=(0, 1), tell=hear)
        except KitError as error:
            self._tell(job, lines or [str(error)], error.exit_code)
            return
        job.code = 0 if report.get("ok") else 1
        self._show(REPRODUCED, reproduced_rows(report), cursor=0)
        mark, style = ("✓", "$text-success") if job.code == 0 else ("✗", "$text-error")
        self._say(f"{mark} {reproduced_summary(report)}", style)

    def stop(self) -> None:
        """Stop the command."""
        if self.job is not None and self.is_busy:
            self.job.stop()

    # Showing

    def _begin(self, job: Job) -> Job:
        self.job = job
        self._tell(job, [])
        self.post_message(self.Began())
        return job

    def _tell(self, job: Job, lines: Sequence[str], code: int | None = None) -> None:
        """What the command says, and its exit code once it has ended."""
        job.code = code
        shown = [clean(line) for line in lines][-KEPT:]
        self._show((text_column(shown),), [[line] for line in shown], cursor=len(shown) - 1)
        taken = duration(time.monotonic() - job.started)
        if code is None:
            self._say(f"▶ {job.title}, {taken}", "$text-accent")
        elif code == 0:
            self._say(f"✓ {job.title}: done in {taken}", "$text-success")
        else:
            self._say(f"✗ {job.title}: ended with exit code {int(code)}", "$text-error")

    def _say(self, title: str, style: str) -> None:
        self.title = title
        self._headline.update(Content.styled(f" {clean(title)}", style))

    def _show(self, columns: Sequence[Column], rows: list[list[Cell]], *, cursor: int) -> None:
        self._table.set_columns(columns)
        self._table.set_rows(rows, list, cursor=max(0, cursor))


def reproduced_rows(report: dict[str, Any]) -> list[list[Cell]]:
    """A row per sub-network that was scored again, the largest differences first."""
    rows: list[list[Cell]] = []
    for subnet in sorted(report.get("subnets", ()), key=lambda each: -abs(int(each["found"]) - int(each["recorded"]))):
        difference = int(subnet["found"]) - int(subnet["recorded"])
        cells: list[Cell] = [(str(subnet["name"]), "strong"), count(int(subnet["recorded"])), count(int(subnet["found"]))]
        rows.append([*cells, (f"{difference:+d}", "good" if not difference else "warn"), str(subnet["code"])])
    return rows


def reproduced_summary(report: dict[str, Any]) -> str:
    """What the reproduction comes to."""
    other = report.get("environment_differences") or ()
    where = "in another environment" if other else "in the recorded environment"
    return (
        f"{report.get('exact')} of {report.get('sampled')} sub-networks get exactly the recorded number of "
        f"{count(report.get('images'))} images right, the largest difference is {report.get('max_difference')} "
        f"(allowed {report.get('allowed_difference')} {where})"
    )
