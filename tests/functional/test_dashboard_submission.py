"""Screen 5 with real archives and real commands: every key, at three sizes, on sound and on damaged files."""

import json
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from dashboard_tools import FASHION, SIZES, check_snapshot, copy_runs, open_app, shows, text_of, wait_for
from synthetic_archive import data_members, synthetic, whole
from textual.pilot import Pilot
from textual.widgets import Input

from kit import __version__
from kit.dashboard.app import DashboardApp
from kit.dashboard.screens.submission import SubmissionScreen
from kit.dashboard.widgets.archive_tree import ArchiveTree
from kit.dashboard.widgets.checks_panel import ExportsTable
from kit.dashboard.widgets.dialogs import Ask, Confirm
from kit.dashboard.widgets.job_panel import JobPanel
from kit.dashboard.widgets.table import VirtualTable
from kit.submission import layout
from kit.submission.archive import write_archive, write_tar
from kit.submission.checks import check_archive
from kit.watch.processes import Started, start_detached


@pytest.fixture(autouse=True)
def _settled_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KIT_DASHBOARD", str(tmp_path / "none.toml"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return whole(data_members(synthetic(size=60)))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return copy_runs(tmp_path)


@pytest.fixture
def archive(runs: Path, members: dict[str, bytes]) -> Path:
    """A sound archive in the directory of the recorded run."""
    path = runs / FASHION / "sound.tar"
    write_archive(path, members)
    return path


@pytest.fixture
def broken(runs: Path, members: dict[str, bytes]) -> Path:
    """An archive whose tar is sound and whose contents are not; one name is markup."""
    path = runs / FASHION / "broken.tar"
    write_tar(path, {name: data for name, data in members.items() if name != layout.POOL} | {layout.README: b"[red]x"})
    return path


def screen_of(app: DashboardApp) -> SubmissionScreen:
    return cast("SubmissionScreen", app.screen_stack[0])


def start_held(label: str, arguments: Sequence[str], *, runs: Path) -> Started:
    """A command that does nothing yet."""
    started = start_detached(label, arguments, runs=runs)
    started.process.send_signal(signal.SIGSTOP)
    return started


def has(number: signal.Signals, kind: str, pid: int) -> bool:
    """Whether a process catches a signal (`SigCgt`), or will hear it once it goes on (`ShdPnd`)."""
    [mask] = re.findall(rf"^{kind}:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def lines_of(pilot: Pilot[None]) -> str:
    """What the panel of the command shows."""
    table = pilot.app.screen_stack[0].query_one(JobPanel).query_one(VirtualTable)
    return "\n".join("  ".join(table.row_cells(index)) for index in range(table.count))


async def answer(pilot: Pilot[None], text: str) -> None:
    """Type into the dialog that is asked, and confirm."""
    await wait_for(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one("#answer", Input).value = text
    await pilot.pause()
    await pilot.press("enter")


class TestSoundArchive:
    async def test_it_is_found_read_and_checked_without_being_asked(
        self, runs: Path, archive: Path, members: dict[str, bytes]
    ) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            report = check_archive(archive)
            assert {check.id for check in screen.checks} == {finding.id for finding in report.checks}
            await shows(pilot, "passes")
            tree = app.screen.query_one(ArchiveTree)
            shown = {node.data.path for node in tree._tree_nodes.values() if node.data is not None}
            assert shown == members.keys() | set(layout.SEALS)
            models = json.loads(members[layout.ONNX_INDEX])["models"]
            assert screen.query_one(ExportsTable).count == len(models)
            await shows(pilot, f"{models[0]['accuracy']:.4f}")

    async def test_it_is_checked_again_when_it_changes(self, runs: Path, archive: Path, members: dict[str, bytes]) -> None:
        async with open_app(runs, run=FASHION, screen="submission") as (app, pilot):
            assert not any(check.kind == "fail" for check in screen_of(app).checks)
            write_tar(archive, members)  # without its seals
            await wait_for(pilot, lambda: any(check.kind == "fail" for check in screen_of(app).checks), 60)
            await shows(pilot, "breaks")
            archive.unlink()
            await wait_for(pilot, lambda: not screen_of(app).found.archives)
            await shows(pilot, "no archive of")

    async def test_keys_filter_copy_and_move_through_the_panels(self, runs: Path, archive: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=(80, 24)) as (app, pilot):
            screen, table = screen_of(app), app.screen.query_one("#submission-checks", VirtualTable)
            everything = table.count
            await pilot.press("slash", *"hash")
            await wait_for(pilot, lambda: 0 < table.count < everything)
            assert all(check.has(["hash"]) for check in screen.checks)
            await pilot.press("enter", "c")
            await wait_for(pilot, lambda: screen.checks[0].id in app.clipboard)
            await pilot.press("slash", "escape")
            await wait_for(pilot, lambda: table.count == everything)
            await pilot.press("f")
            await wait_for(pilot, lambda: table.count == sum(check.kind != "pass" for check in screen.checks))
            await pilot.press("f")
            await wait_for(pilot, lambda: table.count == everything)
            await pilot.press("v")
            await wait_for(pilot, lambda: app.screen.query_one(ArchiveTree).has_focus)
            assert screen.panel == "files"
            await pilot.press("G", "c")
            last = screen._member
            assert last is not None
            await wait_for(pilot, lambda: app.clipboard == last.path)
            await shows(pilot, last.path)
            await pilot.press("g", "j", "k", "pagedown", "pageup", "h")
            await pilot.press("v")
            await wait_for(pilot, lambda: app.screen.query_one(ExportsTable).has_focus)
            await pilot.press("c")
            await wait_for(pilot, lambda: len(app.clipboard) == 52)
            await pilot.press("v")
            await wait_for(pilot, lambda: table.has_focus)

    async def test_folders_close_and_open(self, runs: Path, archive: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=(200, 60)) as (app, pilot):
            tree = app.screen.query_one(ArchiveTree)
            await pilot.press("v")
            await wait_for(pilot, lambda: tree.has_focus)
            folder = next(node for node in tree.root.children if node.data is None)
            tree.move_cursor(folder)
            before = tree.last_line
            await pilot.press("enter")
            await wait_for(pilot, lambda: tree.last_line == before - len(folder.children))
            await pilot.press("space")
            await wait_for(pilot, lambda: tree.last_line == before)

    async def test_u_checks_again(self, runs: Path, archive: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission") as (app, pilot):
            await pilot.press("u")
            await pilot.pause()
            assert not screen_of(app).is_settled
            await shows(pilot, "checking")
            await wait_for(pilot, lambda: screen_of(app).is_settled, 60)
            await shows(pilot, "passes")

    async def test_exported_checks_are_those_that_are_shown(self, runs: Path, broken: Path, tmp_path: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission") as (app, pilot):
            await pilot.press("f", "e")
            await answer(pilot, str(tmp_path / "checks.json"))
            await wait_for(pilot, (tmp_path / "checks.json").exists)
            rows = json.loads((tmp_path / "checks.json").read_text())
            assert [row["check"] for row in rows] == [check.id for check in screen_of(app).checks]
            assert all(row["fix"] for row in rows)

    @pytest.mark.parametrize("size", SIZES)
    async def test_looks_as_recorded(self, runs: Path, archive: Path, size: str) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=SIZES[size]) as (_, pilot):
            await pilot.pause(0.3)

            def clean(text: str) -> str:
                # Sizes depend on profiles and versions, which are others' to change.
                return re.sub(r" +[\d.]+ [kM]?B", " SIZE", text.replace(f"kit {__version__}", "kit VERSION"))

            await check_snapshot(pilot, f"submission-{size}", clean)


class TestOtherArchives:
    async def test_a_broken_one_says_what_is_wrong_where_and_what_to_do(self, runs: Path, broken: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=(200, 60)) as (app, pilot):
            first = screen_of(app).checks[0]
            assert first.kind == "fail"
            text = text_of(pilot)
            assert "breaks" in text
            assert f"fix: {first.fix}"[:60] in text
            assert "not listed" in text

    async def test_a_file_that_is_no_archive_is_told(self, runs: Path) -> None:
        (runs / FASHION / "text.tar").write_text("[red]not an archive[/red]")
        async with open_app(runs, run=FASHION, screen="submission") as (app, pilot):
            text = text_of(pilot)
            assert "text.tar" in text
            assert "✗" in text
            assert screen_of(app).checks == ()

    async def test_names_with_markup_are_shown_as_they_are(
        self, runs: Path, members: dict[str, bytes], tmp_path: Path
    ) -> None:
        evil = "[bold red]evil [link=x]"
        path = runs / FASHION / f"{evil}.tar"
        source = tmp_path / "t.tar"
        write_tar(source, members | {"zz-evil.md": b"x"})
        path.write_bytes(source.read_bytes().replace(b"zz-evil.md", b"[red]xy.md"))
        async with open_app(runs, run=FASHION, screen="submission", size=(200, 60)) as (_, pilot):
            text = text_of(pilot)
            assert f"{evil}.tar" in text
            assert "[red]xy.md" in text

    async def test_n_shows_the_next_archive(self, runs: Path, archive: Path, broken: Path) -> None:
        async with open_app(runs, run=FASHION, screen="submission", size=(200, 60)) as (app, pilot):
            screen = screen_of(app)
            assert screen.archive is not None
            assert screen.archive.path == broken
            await pilot.press("n")
            await wait_for(pilot, lambda: screen.archive is not None and screen.archive.path == archive)
            await wait_for(pilot, lambda: screen.is_settled, 60)
            await shows(pilot, "passes")
            table = screen.query_one("#submission-archives", VirtualTable)
            assert table.count == 2
            table.focus()
            await pilot.press("up")
            await wait_for(pilot, lambda: screen.archive is not None and screen.archive.path == broken)

    async def test_o_opens_one_that_lies_elsewhere(
        self, runs: Path, members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.mktemp("far") / "away.tar"
        write_archive(path, members)
        async with open_app(runs, run=FASHION, screen="submission") as (app, pilot):
            screen = screen_of(app)
            assert screen.archive is None
            await pilot.press("o")
            await answer(pilot, str(path.parent / "gone.tar"))
            await wait_for(pilot, lambda: any("cannot read" in note.message for note in app._notifications))
            assert screen.archive is None
            await pilot.press("o")
            await answer(pilot, str(path))
            await wait_for(pilot, lambda: screen.archive is not None and screen.checks, 60)
            await shows(pilot, "away.tar")

    @pytest.mark.parametrize("exists", [True, False])
    async def test_without_a_run_there_is_a_clear_state(self, tmp_path: Path, exists: bool) -> None:
        folder = tmp_path / "none" / "runs"
        if exists:
            folder.mkdir(parents=True)
        async with open_app(folder, screen="submission") as (app, pilot):
            await shows(pilot, "no run is chosen")
            for key in ("b", "p", "u", "x", "n", "v", "v", "v", "f", "c", "e", "enter"):
                await pilot.press(key)
            await pilot.pause()
            assert app.current_mode == "submission"
        assert folder.exists() == exists


class TestUnfinishedRun:
    async def test_the_step_that_is_missing_is_named_and_b_builds_nothing(self, runs: Path) -> None:
        events = runs / FASHION / "events.jsonl"
        lines = events.read_bytes().splitlines(keepends=True)
        started = [index for index, line in enumerate(lines) if b'"PhaseStarted"' in line or b'"phase_started"' in line]
        events.write_bytes(b"".join(lines[: (started or [len(lines) // 2])[-1]]))
        async with open_app(runs, run=FASHION, screen="submission", size=(120, 36)) as (app, pilot):
            text = text_of(pilot)
            assert "is missing (" in text
            assert "phases are done)" in text
            await pilot.press("b")
            await wait_for(pilot, lambda: any("is missing" in note.message for note in app._notifications))
            assert not isinstance(app.screen, Ask)
            assert app.started == []

    @pytest.mark.slow
    async def test_a_failing_build_shows_the_commands_own_words(self, runs: Path, tmp_path: Path) -> None:
        run = runs / FASHION
        (run / "weights").mkdir(exist_ok=True)
        (run / "weights" / "supernet.safetensors").write_bytes(b"no weights")
        (run / "weights.json").write_text(json.dumps({"supernet.safetensors": "0" * 64}))
        async with open_app(runs, run=FASHION, screen="submission", size=(120, 36)) as (app, pilot):
            await shows(pilot, "b builds its archive")
            await pilot.press("b")
            await answer(pilot, str(tmp_path / "x.tar"))
            panel = app.screen_stack[0].query_one(JobPanel)
            await wait_for(pilot, lambda: "ended with exit code 2" in panel.title, 60)
            assert "changed after training" in lines_of(pilot)
            assert not (tmp_path / "x.tar").exists()


@pytest.mark.slow
class TestCommands:
    @pytest.fixture
    def own(self, finished_run: Path, tmp_path: Path) -> Path:
        """The finished small run, for one test alone; returns the folder of runs."""
        target = tmp_path / "runs" / finished_run.name
        shutil.copytree(finished_run, target)
        shutil.rmtree(target / "exports", ignore_errors=True)
        return target.parent

    async def test_an_archive_is_built_checked_and_reproduced(self, own: Path, finished_run: Path, tmp_path: Path) -> None:
        async with open_app(own, run=finished_run.name, screen="submission", size=(160, 50)) as (app, pilot):
            screen, panel = screen_of(app), app.screen.query_one(JobPanel)
            await pilot.press("b")
            await wait_for(pilot, lambda: isinstance(app.screen, Ask))
            assert app.screen.query_one("#answer", Input).value == f"{finished_run.name}.tar"
            await pilot.press("enter")
            await wait_for(pilot, lambda: panel.is_busy)
            await pilot.press("p", "b")
            await wait_for(pilot, lambda: any("at work" in note.message for note in app._notifications))
            await wait_for(pilot, lambda: "done in" in panel.title, 240)
            assert "exporting" in lines_of(pilot)
            path = tmp_path / f"{finished_run.name}.tar"
            await wait_for(pilot, lambda: screen.archive is not None and screen.checks and screen.is_settled, 60)
            assert screen.archive is not None
            assert screen.archive.path == path
            assert check_archive(path).ok
            assert not any(check.kind == "fail" for check in screen.checks)

            await pilot.press("p")
            await answer(pilot, "3")
            await wait_for(pilot, lambda: "3 of 3 sub-networks get exactly" in panel.title, 240)
            table = panel.query_one(VirtualTable)
            assert table.count == 3
            assert all(table.row_cells(index)[3] == "+0" for index in range(3))

    async def test_a_build_survives_the_dashboard_and_x_stops_one(
        self, own: Path, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "late.tar"
        shutil.rmtree(own / finished_run.name / "exports", ignore_errors=True)
        async with open_app(own, run=finished_run.name, screen="submission", size=(160, 50)) as (app, pilot):
            panel = app.screen.query_one(JobPanel)
            with monkeypatch.context() as patch:
                patch.setattr("kit.dashboard.host.start_detached", start_held)
                await pilot.press("b")
                await answer(pilot, str(tmp_path / "stopped.tar"))
                await wait_for(pilot, lambda: panel.is_busy)
            building = app.started[-1].process
            # A build is faster than a screen: a little of it at a time, until it would hear a signal.
            while not has(signal.SIGTERM, "SigCgt", building.pid):
                building.send_signal(signal.SIGCONT)
                time.sleep(0.01)
                building.send_signal(signal.SIGSTOP)
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await wait_for(pilot, lambda: has(signal.SIGTERM, "ShdPnd", building.pid))
            building.send_signal(signal.SIGCONT)
            await wait_for(pilot, lambda: "ended with exit code 143" in panel.title, 120)
            assert not (tmp_path / "stopped.tar").exists()
            await pilot.press("b")
            await answer(pilot, str(path))
            await wait_for(pilot, lambda: panel.is_busy)
            process = app.started[-1].process
        assert process.wait(240) == 0
        assert check_archive(path).ok

    async def test_x_stops_a_reproduction(self, own: Path, finished_run: Path, built_archive: Path) -> None:
        shutil.copyfile(built_archive, own / finished_run.name / "a.tar")
        async with open_app(own, run=finished_run.name, screen="submission", size=(160, 50)) as (app, pilot):
            panel = app.screen.query_one(JobPanel)
            await pilot.press("p")
            await answer(pilot, "60")
            await wait_for(pilot, lambda: panel.is_busy)
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await wait_for(pilot, lambda: not panel.is_busy and "stopped" in panel.title)
            await pilot.press("p")
            await answer(pilot, "1 folder:/nowhere")
            await wait_for(pilot, lambda: "ended with exit code" in panel.title, 120)
            assert "nowhere" in lines_of(pilot)
