"""The command that works on an archive: what it says meanwhile, and the table that it ends with."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from kit.dashboard.submission_jobs import REPRODUCED, Job, follow_build, reproduced_rows, reproduced_summary
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.watch.processes import run_json
from kit.watch.text import clean, duration

if TYPE_CHECKING:
    from kit.dashboard.app import DashboardApp

KEPT = 500


class JobPanel(Vertical):
    """One command at a time. A build goes on without the dashboard; a reproduction, which keeps nothing, ends with it."""

    class Told(Message):
        """A command has said something, or has ended: then with its exit code."""

        def __init__(self, job: Job, lines: list[str], code: int | None) -> None:
            super().__init__()
            self.job = job
            self.lines = lines
            self.code = code

    class Began(Message):
        """A command was started."""

    class Ended(Message):
        """A command has done what it was asked to, with the archive at `path`."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.job: Job | None = None
        self.title = ""
        self._rows: list[Sequence[Cell]] = []

    def compose(self) -> ComposeResult:
        yield Static("", classes="panel-title", markup=False)
        yield VirtualTable()

    @property
    def is_busy(self) -> bool:
        """Whether a command is at work."""
        return self.job is not None and self.job.code is None

    def build(self, run: RunDirectory, out: Path) -> None:
        """Start to build a run's archive."""
        app = cast("DashboardApp", self.app)
        started = app.start_kit(f"build {run.id}", "submission", "build", str(run.path), "--out", str(out))
        if started is not None:
            job = self._begin(Job(f"building {out.name}", out, process=started.process))
            self.run_worker(partial(follow_build, started, partial(self._tell, job)), thread=True, group="build")

    def reproduce(self, archive: Path, sample: str, data: str) -> None:
        """Start to score a sample again from the archive alone."""
        arguments = ["submission", "reproduce", str(archive), "--sample", sample, *(["--data", data] if data else [])]
        job = self._begin(Job(f"reproducing {sample} sub-networks of {archive.name}", archive))
        job.worker = self.run_worker(self._run_reproduction(job, arguments), group="reproduce", exclusive=True)

    def _tell(self, job: Job, lines: list[str], code: int | None) -> None:
        self.post_message(self.Told(job, lines, code))

    async def _run_reproduction(self, job: Job, arguments: list[str]) -> None:
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            self._tell(job, list(lines), None)

        try:
            job.report = await run_json(arguments, accept=(0, 1), tell=hear)
        except KitError as error:
            self._tell(job, lines or [str(error)], error.exit_code)
        else:
            self._tell(job, lines, 0 if job.report.get("ok") else 1)

    def _begin(self, job: Job) -> Job:
        self.job = job
        self._show_lines([])
        self._say(f"▶ {job.title}", "$text-accent")
        self.post_message(self.Began())
        return job

    def stop(self) -> None:
        """Stop the command."""
        job = self.job
        if job is not None and self.is_busy:
            job.stop()
            if job.code is not None:
                self._say(f"■ {job.title}: stopped", "$text-warning")

    def on_job_panel_told(self, message: Told) -> None:
        """Show what the command says, and what came out of it."""
        message.stop()
        job = message.job
        if job is not self.job or job.code is not None:
            return
        job.code = message.code
        if job.report is not None and "subnets" in job.report:
            self._show(REPRODUCED, reproduced_rows(job.report), cursor=0)
            mark, style = ("✓", "$text-success") if message.code == 0 else ("✗", "$text-error")
            self._say(f"{mark} {reproduced_summary(job.report)}", style)
            return
        self._show_lines(message.lines)
        taken = duration(job.seconds)
        if message.code is None:
            self._say(f"▶ {job.title}, {taken}", "$text-accent")
        elif message.code == 0:
            self._say(f"✓ {job.title}: done in {taken}", "$text-success")
            self.post_message(self.Ended(job.archive))
        else:
            self._say(f"✗ {job.title}: ended with exit code {int(message.code)}", "$text-error")

    # Showing

    def _say(self, title: str, style: str) -> None:
        self.title = title
        self.query_one(Static).update(Content.styled(f" {clean(title)}", style))

    def _show_lines(self, lines: Iterable[str]) -> None:
        rows = [(clean(line),) for line in lines][-KEPT:]
        width = max((len(row[0]) for row in rows), default=1)
        self._show((Column("", max(20, min(1000, width)), key="line"),), rows, cursor=len(rows) - 1)

    def _show(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, cursor: int) -> None:
        self._rows = list(rows)
        table = self.query_one(VirtualTable)
        table.set_columns(columns)
        table.set_rows(len(self._rows), lambda index: self._rows[index], cursor=max(0, cursor))
