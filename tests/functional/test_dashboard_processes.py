"""The dashboard and real processes: it starts, watches, stops and continues runs, and none of them notices when it dies."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_tools import FASHION, copy_runs, open_app, shows, text_of, wait_for
from kit_process import PATIENCE
from textual.widgets import Button, Input

from kit.dashboard.screens.start import StartScreen
from kit.dashboard.widgets.dialogs import Confirm
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.submission.checks import check_archive
from kit.watch.processes import KIT, run_json, start_detached
from kit.watch.run_actions import continue_arguments
from kit.watch.run_summary import describe_run

TINY = (
    "profile.training.steps_per_epoch=1 profile.training.batch_size=16 profile.pool.size=120 "
    "profile.images.validation=60 profile.calibration.batches=1 profile.runtime.held_out_images=0"
)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KIT_DASHBOARD", str(tmp_path / "none.toml"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def wait(ready: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestCommandLine:
    def test_one_frame_as_text(self, kit: Callable[..., Any], tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        result = kit("dashboard", "--runs", str(runs), "--once", "--size", "100x30")
        assert result.code == 0
        assert FASHION in result.out
        assert "✓ finished" in result.out
        assert max(map(len, result.out.splitlines())) <= 100

    def test_one_frame_of_another_screen_after_keys(self, kit: Callable[..., Any], tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        options = ("--once", "--size", "150x40", "--screen", "run", "--press", "l")
        assert "logarithmic" in kit("dashboard", FASHION, "--runs", str(runs), *options).out

    def test_one_frame_as_svg(self, kit: Callable[..., Any], tmp_path: Path) -> None:
        runs, picture = copy_runs(tmp_path), tmp_path / "frame.svg"
        result = kit("dashboard", "--runs", str(runs), "--once", "--size", "100x30", "--svg", str(picture))
        assert (result.code, result.out) == (0, "")
        assert FASHION in picture.read_text()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("no-such-run",), "there is no run"),
            (("--screen", "sauna", "--once"), "there is no such screen"),
            (("--once", "--size", "big"), "not COLUMNSxROWS"),
            (("--once", "--size", "\u00b2x" + "9" * 5000), "not COLUMNSxROWS"),
            (("a", "--replay", "b"), "exclude each other"),
            ((), "needs a terminal"),
        ],
    )
    def test_wrong_use_is_told(
        self, kit: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        result = kit("dashboard", *arguments, "--runs", str(tmp_path))
        assert result.code == 2
        assert message in result.err

    def test_a_port_that_is_taken_is_told(self, kit: Callable[..., Any], tmp_path: Path) -> None:
        with socket.create_server(("localhost", 0)) as taken:
            result = kit("dashboard", "--runs", str(tmp_path), "--serve", "--port", str(taken.getsockname()[1]))
        assert result.code == 3
        assert "Address already in use" in result.err and "hint: choose another one with --port" in result.err

    def test_kit_alone_prints_help_where_there_is_no_terminal(self) -> None:
        result = subprocess.run([*KIT], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert result.returncode == 0
        assert "dashboard" in result.stdout

    def test_help_imports_no_textual(self) -> None:
        script = "import sys; import kit.cli.main; print({'textual', 'rich', 'numpy', 'pydantic'} & sys.modules.keys())"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "set()"

    def test_a_dashboard_process_imports_no_torch(self, tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        script = (
            "import sys\nfrom pathlib import Path\nfrom kit.dashboard.host import Options\n"
            "from kit.dashboard.once import render_once\n"
            "from kit.run_dir import RunDirectory\n"
            f"runs = Path({str(runs)!r})\n"
            f"options = Options(runs=runs, run=RunDirectory(runs / {FASHION!r}))\n"
            "frame = render_once(options, (150, 40), press=tuple('234567') + ('question_mark', '1', 's'))\n"
            "assert 'Start a run' in frame.text, frame.text\n"
            "print(*sorted({'torch', 'torchvision', 'timm', 'onnx', 'onnxruntime'} & sys.modules.keys()))"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == []


class TestShortCommands:
    async def test_a_document_comes_back(self, tmp_path: Path) -> None:
        runs = copy_runs(tmp_path)
        document = await run_json(["runs", "list", "--runs", str(runs)])
        assert [run["run"] for run in document["runs"]] == [FASHION]

    async def test_an_error_comes_back_in_its_own_words(self, tmp_path: Path) -> None:
        with pytest.raises(KitError, match="there is no run 'nobody'"):
            await run_json(["runs", "show", "nobody", "--runs", str(tmp_path)])

    async def test_a_cancelled_command_ends(self, small: Any) -> None:
        task = asyncio.create_task(run_json(small.arguments()))
        await asyncio.sleep(1.0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        run = RunDirectory(small.run)
        wait(lambda: not run.is_locked)


@pytest.mark.slow
class TestRuns:
    async def test_a_run_is_started_stopped_continued_and_finishes_without_the_dashboard(self, small: Any) -> None:
        run = RunDirectory(small.run)
        async with open_app(small.runs) as (app, pilot):
            assert app.start_kit("small", *small.arguments()) is not None
            await wait_for(pilot, lambda: app.reading.status == "running" and app.reading.state.loss is not None, 90)
            await shows(pilot, "▶ running")
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("n")
            await pilot.pause(0.3)
            assert run.is_locked or describe_run(run).status == "finished"
            await pilot.press("x")
            await wait_for(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await wait_for(pilot, lambda: app.reading.status in ("stopped", "finished"))
            if app.reading.status == "stopped":
                await pilot.press("r")
                await wait_for(pilot, lambda: app.reading.status in ("running", "finished"))
        # The dashboard is gone; the run is not.
        wait(lambda: describe_run(run).status == "finished")
        assert small.run.joinpath("predictions.json").exists()

    def test_continuing_finds_the_same_run(self, small: Any, kit: Callable[..., Any]) -> None:
        overrides = ("--set", "phases.W.epochs=1", "--seed", "3")
        first = kit(*small.arguments(*overrides, "--json"))
        assert first.code == 0
        (path,) = [path for path in small.runs.iterdir() if path.name.startswith("small")]
        arguments = continue_arguments(RunDirectory(path), small.runs)
        again = kit(*arguments, "--json")
        assert again.code == 0
        assert [item.name for item in small.runs.iterdir() if item.name.startswith("small")] == [path.name]

    def test_killing_whoever_started_a_run_leaves_it_alone(self, small: Any, tmp_path: Path) -> None:
        script = (
            "import sys, time\nfrom pathlib import Path\nfrom kit.watch.processes import start_detached\n"
            f"start_detached('small', {small.arguments()!r}, runs=Path({str(small.runs)!r}))\ntime.sleep(600)"
        )
        parent = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
        run = RunDirectory(small.run)
        try:
            wait(lambda: run.is_locked)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()
        assert run.is_locked
        wait(lambda: describe_run(run).status == "finished")

    def test_what_a_failed_start_said_lies_in_its_log(self, tmp_path: Path) -> None:
        started = start_detached("no/such [recipe]", ["run", "recipe", "no-such-recipe"], runs=tmp_path)
        assert started.process.wait(PATIENCE) == 2
        assert "there is no recipe named 'no-such-recipe'" in started.last_words
        assert started.log.parent == tmp_path / "logs"

    async def test_a_plan_comes_before_the_start(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        async with open_app(runs, size=(120, 40)) as (app, pilot):
            await pilot.press("s")
            await wait_for(pilot, lambda: isinstance(app.screen, StartScreen))
            screen = app.screen
            button = screen.query_one("#start-button", Button)
            assert button.disabled
            screen.query_one("#start-set", Input).value = TINY
            await pilot.press("ctrl+r")
            await pilot.pause()
            assert isinstance(app.screen, StartScreen), "nothing starts without a plan"
            await pilot.press("ctrl+l")
            await wait_for(pilot, lambda: not button.disabled)
            text = text_of(pilot)
            assert "passes, up to" in text
            assert "SSE-3" in text
            screen.query_one("#start-seed", Input).value = "1"
            await wait_for(pilot, lambda: button.disabled)
            screen.query_one("#start-seed", Input).value = "x"
            await pilot.press("ctrl+l")
            await pilot.pause()
            await shows(pilot, "whole number")
        assert not runs.exists(), "a plan writes nothing"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A real terminal: `tmux('keys', ...)` presses them, `tmux()` reads the screen."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("tmux is not installed")
    command = [program, "-L", f"kit-{os.getpid()}", "-f", "/dev/null"]
    shell = "env -u COLUMNS -u LINES PS1='$ ' OMP_NUM_THREADS=1 sh"
    subprocess.run([*command, "new-session", "-d", "-x", "140", "-y", "45", shell], check=True, cwd=tmp_path)

    def use(*keys: str, literal: str = "") -> str:
        if literal:
            subprocess.run([*command, "send-keys", "-l", literal], check=True)
        if keys:
            subprocess.run([*command, "send-keys", *keys], check=True)
        return subprocess.run([*command, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout

    yield use
    subprocess.run([*command, "kill-server"], check=False)


@pytest.mark.slow
def test_a_newcomer_does_the_job_in_a_real_terminal(tmux: Callable[..., str], tmp_path: Path) -> None:
    def see(text: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while text not in (screen := tmux()):
            assert time.monotonic() < deadline, f"{text!r} never came:\n{screen}"
            time.sleep(0.2)

    program = f"{sys.executable} -c 'from kit.cli.main import main; main()'"
    tmux("Enter", literal=f"{program}; echo left with $?")
    see("press s to start one")
    tmux("s")
    see("Plan it first")
    for _ in range(5):
        # Textual sends a key to whatever has the focus when it arrives, and a busy machine moves the focus late.
        tmux("Tab")
        time.sleep(1)
    tmux("Enter", literal=TINY)
    see("passes, up to")
    tmux("C-r")
    see("running")
    tmux("2")
    see("loss over passes")
    see("✓ finished")
    tmux("3")
    see("Kendall")
    tmux("5")
    see("b Build")
    tmux("b")
    see("Build the archive of")
    tmux("Enter")
    see("passes 3")
    tmux("q")
    see("left with 0")
    (run,) = [path for path in (tmp_path / "runs").iterdir() if (path / "resolved.json").exists()]
    assert describe_run(RunDirectory(run)).status == "finished"
    (archive,) = tmp_path.rglob("*.tar")
    assert check_archive(archive).ok


@pytest.mark.slow
class TestBrowser:
    @pytest.fixture
    def address(self, tmp_path: Path) -> Iterator[str]:
        """A served dashboard over the recorded run."""
        runs = copy_runs(tmp_path)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (tmp_path / "serve.log").open("wb")
        command = [*KIT, "dashboard", "--runs", str(runs), "--serve", "--port", str(port)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=tmp_path
        )

        def answers() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait(answers)
            yield f"http://localhost:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE)
            log.close()

    async def test_the_first_frame_comes_through_the_socket(self, address: str) -> None:
        import aiohttp

        seen = b""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/ws?width=120&height=40") as socket_,
        ):
            while FASHION.encode() not in seen:
                message = await asyncio.wait_for(socket_.receive(), PATIENCE)
                assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
                seen += message.data if isinstance(message.data, bytes) else message.data.encode()
        assert b"finished" in seen

    def test_only_this_machine_is_served(self, address: str) -> None:
        port = int(address.rsplit(":", 1)[1])
        listening = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
        if not listening:
            pytest.skip("ss is not installed")
        assert all(re.search(r"\s(127\.0\.0\.1|\[::1\]):", line) for line in listening.splitlines()), listening

    async def test_a_browser_paints_it_without_errors_and_keys_reach_it(self, address: str, tmp_path: Path) -> None:
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if browser is None:
            pytest.skip("no Chromium is installed")
        quiet = "--disable-background-networking --disable-component-update --disable-sync --no-first-run --disable-quic"
        profile = tmp_path / "user"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", *quiet.split(), f"--user-data-dir={profile}"]
        command += ["--window-size=1200,800", "--remote-debugging-port=0", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            told_port = profile / "DevToolsActivePort"
            wait(lambda: told_port.exists() and "\n" in told_port.read_text(), 60)
            port = told_port.read_text().split()[0]
            pictures, told = await _drive(f"http://127.0.0.1:{port}", address, tmp_path / "kit-runs.csv")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        asked = {each["request"]["url"] for each in told["Network.requestWillBeSent"]}
        assert asked and all(url.startswith((address, "data:")) for url in asked), asked
        failed = [each for each in told["Network.responseReceived"] if each["response"]["status"] >= 400]
        errors = [each for each in told["Log.entryAdded"] if each["entry"]["level"] == "error"]
        errors += [each for each in told["Runtime.consoleAPICalled"] if each["type"] == "error"]
        assert not (failed or errors or told["Runtime.exceptionThrown"]), (failed, errors)
        # The splash screen and an empty terminal compress to a few kilobytes.
        assert all(len(picture) > 20_000 for picture in pictures)
        runs, run, again = pictures
        assert runs != run != again
        # What the keys did: the one run of the list was exported, once its name had been taken.
        titles, row = (tmp_path / "kit-runs.csv").read_text().splitlines()
        assert titles.startswith("run,state,")
        assert row.startswith(f"{FASHION},finished,")


Told = defaultdict[str, list[dict[str, Any]]]


async def _drive(browser: str, address: str, exported: Path) -> tuple[list[bytes], Told]:
    """Pictures of the dashboard in a page: on arrival, after the key 2, after the key 1; then `e` and Enter export.

    And what the browser told of meanwhile, by the kind of event. Nothing is clicked: keys work on arrival.
    """
    import aiohttp

    async with aiohttp.ClientSession() as session:
        targets = await (await session.get(f"{browser}/json/list")).json(content_type=None)
        page = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        async with session.ws_connect(page, max_msg_size=1 << 26) as connection:
            number, told = 0, Told(list)

            async def ask(method: str, **parameters: object) -> dict[str, Any]:
                nonlocal number
                number += 1
                await connection.send_json({"id": number, "method": method, "params": parameters})
                while True:
                    answer = await connection.receive_json()
                    if answer.get("id") == number:
                        return dict(answer["result"])
                    if "method" in answer:
                        told[answer["method"]].append(answer["params"])

            async def picture() -> bytes:
                return base64.b64decode((await ask("Page.captureScreenshot"))["data"])

            async def settled(than: bytes, *, least: int = 20_000) -> bytes:
                """A picture that is large (a dialog dims what lies behind it), differs from another, and stays."""
                last = b""
                for _ in range(120):
                    await asyncio.sleep(0.5)
                    now = await picture()
                    if len(now) > least and now != than and now == last:
                        return now
                    last = now
                raise AssertionError(f"the page did not settle: {len(last)} bytes")

            async def press(key: str, code: str, text: str) -> None:
                number = ord(text.upper())
                for kind, typed in (("keyDown", text), ("keyUp", "")):
                    what = {"type": kind, "key": key, "code": code, "text": typed, "windowsVirtualKeyCode": number}
                    await ask("Input.dispatchKeyEvent", **what)

            for domain in ("Log", "Network", "Runtime"):
                await ask(f"{domain}.enable")
            await ask("Page.navigate", url=address)
            first = await settled(b"")
            await press("2", "Digit2", "2")
            second = await settled(first)
            await press("1", "Digit1", "1")
            third = await settled(second)
            await press("e", "KeyE", "e")
            await settled(third, least=8_000)
            await press("Enter", "Enter", "\r")
            await asyncio.to_thread(wait, lambda: exported.exists() and exported.read_text().count("\n") == 2, 60)
            return [first, second, third], told
