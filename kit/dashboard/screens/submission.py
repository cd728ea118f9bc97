"""Screen 5: a run's archives: what is in them, whether they pass, and how one is built and reproduced."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import getters
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, Tree

from kit.dashboard.host import NotYetError, check_new_file
from kit.dashboard.screens.base import KitScreen, following
from kit.dashboard.widgets.archive_tree import ArchiveTree
from kit.dashboard.widgets.checks_panel import EXPORTS, STYLES, ArchivesTable, ChecksPanel, ExportsTable, mark_of
from kit.dashboard.widgets.job_panel import JobPanel
from kit.dashboard.widgets.parts import muted
from kit.dashboard.widgets.table import Rows, VirtualTable
from kit.errors import KitError
from kit.files import user_path
from kit.run_dir import RunDirectory
from kit.submission.archives import (
    ArchiveFile,
    ArchiveShelf,
    Check,
    Found,
    Member,
    new_archive_path,
    parse_checks,
    require_archive,
    verdict,
)
from kit.watch.log_reader import Reading
from kit.watch.processes import run_json
from kit.watch.text import clean, count, shown_path, size

INTERVAL = 2.0
Key = tuple[Path, tuple[int, int]]
"""Path and version of an archive."""
Report = tuple[Check, ...] | KitError
"""What its check has found, or why it could not be checked."""


class SubmissionScreen(KitScreen):
    """Looks at the disk every two seconds while it is shown; an archive that is new or has changed is checked at once."""

    NAME = "submission"
    FILTER_HELP = "words of a check, its file or its message"
    AUTO_FOCUS = "#submission-checks"
    jobs = getters.query_one(JobPanel)
    panel_of_checks = getters.query_one(ChecksPanel)

    PANELS: ClassVar = {
        "checks": "#submission-judged",
        "files": "#submission-tree",
        "exports": "#submission-exports",
        "job": "#submission-job",
    }

    def __init__(self) -> None:
        super().__init__()
        self.found = Found()
        self.chosen: Path | None = None
        self.checks: tuple[Check, ...] = ()
        self._shelf = ArchiveShelf()
        self._opened: list[Path] = []
        self._reports: dict[Key, Report] = {}
        self._checking: Key | None = None
        self._looked_at: object = None
        self._only_failures = False
        self._member: Member | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield Static("", id="submission-verdict", markup=False)
        with Horizontal(id="submission-body"):
            with Vertical(id="submission-files", classes="column panel"):
                yield ArchivesTable(id="submission-archives")
                yield ArchiveTree("", id="submission-tree")
                yield Static("", id="submission-member", markup=False)
            with Vertical(id="submission-right", classes="column"):
                yield ChecksPanel(id="submission-judged", classes="panel stacked -current")
                yield ExportsTable(EXPORTS, id="submission-exports", classes="panel stacked", empty="no ONNX files")
                yield JobPanel(id="submission-job", classes="panel stacked")

    def on_mount(self) -> None:
        self.set_interval(INTERVAL, self._look)

    @property
    def is_settled(self) -> bool:
        return self._looked_at == self._signature() and self._checking is None and super().is_settled

    @property
    def archive(self) -> ArchiveFile | None:
        """The archive that is shown."""
        archives = self.found.archives
        return next((archive for archive in archives if archive.path == self.chosen), archives[0] if archives else None)

    # Looking

    def refresh_content(self, reading: Reading) -> None:
        if self._looked_at != self._signature():
            self._look()
        self._show()

    def _signature(self) -> object:
        """What the search for archives depends on, besides the disk."""
        state, run = self.app.reading.state, self.app.run_directory
        phases = tuple((phase.name, phase.status) for phase in state.phases)
        return (None if run is None else run.path), phases, state.outcome, tuple(self._opened)

    def _look(self) -> None:
        if not self.at_work["look"] and self.is_shown:
            self._looked_at = self._signature()
            run, runs, state = self.app.run_directory, self.app.runs_folder, self.app.reading.state
            look = partial(self._shelf.look, run, runs, tuple(self._opened), state)
            self.in_thread(look, partial(self._take_found, run), "look")

    def _take_found(self, run: RunDirectory | None, found: Found) -> None:
        """Keep what was found, unless another run was chosen meanwhile."""
        if run == self.app.run_directory:
            self.found = found
        if self._looked_at != self._signature():
            self._look()
        self._show()

    # Checking

    def _report_of(self, archive: ArchiveFile | None) -> Report | None:
        return None if archive is None else self._reports.get((archive.path, archive.version))

    def _check(self) -> None:
        archive = self.archive
        key = None if archive is None else (archive.path, archive.version)
        if key is None or key in self._reports or key == self._checking:
            return
        self._checking = key
        self.run_worker(self._run_check(key), exclusive=True, group="check")

    async def _run_check(self, key: Key) -> None:
        try:
            document = await run_json(["submission", "check", str(key[0])], accept=(0, 1))
        except KitError as error:
            self._reports[key] = error
        else:
            self._reports[key] = parse_checks(document)
        if self._checking == key:
            self._checking = None
        self._show()

    # Showing

    def _show(self) -> None:
        if not self.is_mounted:
            return
        self._check()
        archive = self.archive
        report = self._report_of(archive)
        self.checks = tuple(self._kept(report)) if isinstance(report, tuple) else ()
        self.query_one("#submission-verdict", Static).update(self._verdict(archive, report))
        self._show_files(archive)
        self.panel_of_checks.show(self.checks, self._why_empty(archive, report))
        self.query_one(ExportsTable).show(() if archive is None else archive.exports)

    def _kept(self, checks: Iterable[Check]) -> Iterable[Check]:
        return (check for check in checks if check.has(self.words) and not (self._only_failures and check.kind == "pass"))

    def _verdict(self, archive: ArchiveFile | None, report: Report | None) -> Content:
        if archive is None:
            return self._nothing()
        place = f" {clean(archive.path.name)}"
        more = len(self.found.archives) - 1
        facts = f"  {size(archive.size)}, {count(len(archive.members))} files"
        facts += f", run {clean(archive.run)}, kit {clean(archive.kit)}" if archive.run else ""
        facts += f"  (n: {more} more)" if more else ""
        if report is None:
            text, kind = "checking", ""
        elif isinstance(report, KitError):
            text, kind = str(report), "fail"
        else:
            text, kind = verdict(report)
        mark = mark_of(kind)
        if self.has_class("-flat"):
            return Content.assemble((f" {mark} {clean(text)}", STYLES[kind]), (f" {place}", "bold"))
        return Content.assemble((place, "bold"), (facts, "$text-muted"), (f"\n {mark} {clean(text)}", STYLES[kind]))

    def _nothing(self) -> Content:
        run = self.app.run_directory
        if run is None:
            return muted(" no run is chosen, and no archive is open\n o opens an archive, 1 lists the runs")
        if self._looked_at is None or (self.at_work["look"] and not self.found.missing):
            return muted(" looking for archives\n")
        status = self.app.reading.status
        if self.found.missing:
            how = "it is being worked on" if status == "running" else "continue it on screen 1 with r"
            why, next_step = clean(self.found.missing), f"{how}; o opens another archive"
        else:
            why, next_step = "the run is finished", "b builds its archive, o opens another one"
        return Content.assemble(
            (f" no archive of {clean(run.id)} yet: ", "bold"), (why, "$text-warning"), (f"\n {next_step}", "$text-muted")
        )

    def _show_files(self, archive: ArchiveFile | None) -> None:
        reports = [self._report_of(each) for each in self.found.archives]
        kinds = [verdict(each)[1] if isinstance(each, tuple) else "fail" if each is not None else "" for each in reports]
        self.query_one(ArchivesTable).show(self.found.archives, kinds, archive)
        self.query_one(ArchiveTree).show(() if archive is None else archive.members)

    def _why_empty(self, archive: ArchiveFile | None, report: Report | None) -> str:
        if isinstance(report, KitError):
            return report.hint or "it cannot be checked"
        if report is not None:
            return "nothing failed" if self._only_failures and not self.words else "no check matches the filter"
        return "nothing to check yet" if archive is None else "checking: every rule runs over the archive"

    # What moves

    def on_virtual_table_highlighted(self, message: VirtualTable.Highlighted) -> None:
        """Tell a finding in full; show the archive under the cursor."""
        if message.table.id == "submission-checks":
            self.panel_of_checks.show_finding()
        elif message.table.id == "submission-archives" and message.row < len(self.found.archives):
            path = self.found.archives[message.row].path
            if path != self.chosen and message.table.has_focus:
                self.chosen = path
                self._show()

    def on_tree_node_highlighted(self, message: "Tree.NodeHighlighted[Member]") -> None:
        """Tell a member's whole name."""
        self._member = message.node.data
        text = "" if self._member is None else clean(self._member.path)
        self.query_one("#submission-member", Static).update(muted(text))

    def copy_text(self) -> str | None:
        """What is under the cursor of the widget that has the keyboard."""
        archive, focused = self.archive, self.focused
        if archive is None:
            return None
        if isinstance(focused, ArchiveTree):
            return None if self._member is None else self._member.path
        if isinstance(focused, ExportsTable) and focused.current is not None:
            return focused.current.code
        check = self.panel_of_checks.current
        if check is not None:
            return f"{check.kind} {check.id}: {check.file} {check.message} (fix: {check.fix})"
        return str(archive.path)

    def export_rows(self) -> Rows | None:
        titles = ("kind", "check", "file", "finding", "fix")
        return titles, [(check.kind, check.id, check.file, check.message, check.fix) for check in self.checks]

    # Actions

    def action_only_failures(self) -> None:
        self._only_failures = not self._only_failures
        self._show()

    def action_next_panel(self) -> None:
        """Checks, files, ONNX exports, the command that works."""
        self.open_panel(following([name for name in self.PANELS if name != "job" or self.jobs.job is not None], self.panel))

    def action_next_archive(self) -> None:
        archives, archive = self.found.archives, self.archive
        if archive is None or len(archives) < 2:
            raise NotYetError("there is no other archive")
        self.chosen = following(archives, archive).path
        self._show()

    def action_check(self) -> None:
        archive = self.archive
        if archive is None:
            raise NotYetError("there is no archive to check")
        self._reports.pop((archive.path, archive.version), None)
        self._show()

    def action_open(self) -> None:
        """Show an archive that lies anywhere."""
        detail = "the path of a .tar file; nothing is unpacked"
        self.app.ask("Open an archive", self._open, value="", detail=detail)

    def _open(self, answer: str) -> None:
        self.in_thread(partial(require_archive, user_path(answer)), self._opened_path, "open")

    def _opened_path(self, path: Path) -> None:
        if path not in self._opened:
            self._opened.insert(0, path)
        self.chosen = path
        self._look()

    # Commands

    def action_build(self) -> None:
        run = self.app.run_directory
        if run is None:
            raise NotYetError("choose a run first (screen 1)")
        if self.found.missing:
            raise NotYetError(f"{run.id}: {self.found.missing}")
        self._check_idle()
        self.in_thread(partial(new_archive_path, run, self.app.runs_folder), partial(self._ask_where, run), "open")

    def _check_idle(self) -> None:
        if self.jobs.is_busy:
            raise NotYetError("a command is at work: wait for it, or stop it with x")

    def _ask_where(self, run: RunDirectory, path: Path) -> None:
        detail = "sub-networks are calibrated and exported first, unless that was done; it goes on without the dashboard"
        check = partial(check_new_file, endings=(".tar",))
        build = partial(self._build, run)
        self.app.ask(f"Build the archive of {run.id} as", build, value=shown_path(path), detail=detail, check=check)

    def _build(self, run: RunDirectory, answer: str) -> None:
        out = user_path(answer).absolute()
        started = self.app.start_kit(f"build {run.id}", "submission", "build", str(run.path), "--out", str(out))
        if started is not None:
            self.jobs.follow(started, out)

    def action_reproduce(self) -> None:
        """Ask how many, then score them again from the archive alone."""
        archive = self.archive
        if archive is None:
            raise NotYetError("there is no archive to reproduce")
        self._check_idle()
        self.app.ask(
            f"How many sub-networks of {archive.path.name} to score again?",
            partial(self._reproduce, archive),
            value="5",
            detail="a random sample; where the data set has moved, its new place behind the number: 5 folder:/data",
            check=check_sample,
        )

    def _reproduce(self, archive: ArchiveFile, answer: str) -> None:
        sample, _, data = answer.partition(" ")
        self.jobs.reproduce(archive.path, sample, data.strip())

    def action_stop_job(self) -> None:
        job = self.jobs.job
        if job is None or not self.jobs.is_busy:
            raise NotYetError("no command is at work")
        self.app.confirm(f"Stop {job.title}?", self.jobs.stop, detail="Nothing is left half written.", yes="Stop")

    def on_job_panel_began(self) -> None:
        self.query_one("#submission-body").add_class("-with-job")
        self.open_panel("job")

    def on_job_panel_ended(self, message: JobPanel.Ended) -> None:
        """Show and check what was built."""
        self._opened_path(message.path)


def check_sample(answer: str) -> str:
    """What is wrong with an answer to how many sub-networks to score again."""
    number = answer.split(" ")[0]
    return "" if number.isascii() and number.isdigit() and int(number[:9]) > 0 else "expected a whole number from 1 on"
