"""`kit dashboard`, and what `kit` alone opens in a terminal."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.latency import LatencyOption
from kit.cli.output import narrate, print_text
from kit.cli.rank import OpponentOption
from kit.errors import InputError, StorageError
from kit.files import require_suffix, write_bytes

if TYPE_CHECKING:
    from kit.dashboard.host import Options
    from kit.ranking.opponent_files import OpponentFile
    from kit.run_dir import RunDirectory

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")]


def dashboard(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="An id, or the path of a run.")] = None,
    runs: RunsOption = Path("runs"),
    screen: Annotated[
        str | None, typer.Option("--screen", metavar="NAME", help="Arrive at: runs, run, rank, architectures, ...")
    ] = None,
    pool: Annotated[
        Path | None, typer.Option("--pool", metavar="FILE", help="Show this pool on the screen of architectures.")
    ] = None,
    latency: LatencyOption = None,
    opponent: OpponentOption = None,
    serve: Annotated[bool, typer.Option("--serve", help="In a browser, on localhost.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="For --serve.")] = 8000,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and leave.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="With --once: write the frame as SVG.")] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="With --once: columns and rows; default: this terminal's.")
    ] = None,
    press: Annotated[
        list[str] | None, typer.Option("--press", metavar="KEY", help="With --once: press this key first.")
    ] = None,
    replay: Annotated[str | None, typer.Option("--replay", metavar="RUN", help="Play a run again.")] = None,
    speed: Annotated[float, typer.Option("--speed", min=0.001, help="With --replay: times as fast.")] = 20.0,
) -> None:
    """Watch runs in the terminal. Reads what runs write; nothing that happens here reaches a run that was started."""
    from kit.dashboard.bindings import SCREENS
    from kit.ranking.opponent_files import OpponentFile, parse_opponent
    from kit.run_dir import find_run, require_runs

    require_runs(runs)
    if replay is not None and run not in (None, replay):
        raise InputError("RUN and --replay RUN exclude each other")
    chosen = replay or run
    name = screen or ("runs" if chosen is None else "run")
    if name not in SCREENS:
        raise InputError(f"--screen {name}: there is no such screen", hint=f"there are: {', '.join(SCREENS)}")
    directory = None if chosen is None else find_run(chosen, runs)
    if pool is not None and not pool.is_file():
        raise InputError(f"--pool {pool}: there is no such file")
    if latency is not None and not latency.is_file():
        raise InputError(f"--latency {latency}: there is no such file")
    opponents = tuple(OpponentFile(each.name, each.path.absolute()) for each in map(parse_opponent, opponent or ()))
    if missing := next((each for each in opponents if not each.path.is_file()), None):
        raise InputError(f"--opponent {missing.name}={missing.path}: there is no such file")
    if serve:
        played = [] if replay is None else ["--replay", replay, "--speed", str(speed)]
        watched = [run] if run is not None and replay is None else []
        shown = [] if pool is None else ["--pool", str(pool.absolute())]
        shown += [] if latency is None else ["--latency", str(latency.absolute())]
        shown += [word for each in opponents for word in ("--opponent", f"{each.name}={each.path}")]
        _serve([*watched, "--runs", str(runs.absolute()), "--screen", name, *shown, *played], port)
        return
    options = _options(runs, directory, name, speed if replay else None, pool, latency, opponents)
    if once:
        _print_frame(options, size, svg, tuple(press or ()))
    else:
        _open(options)


def open_in_terminal() -> None:
    """What `kit` alone does in a terminal."""
    _open(_options(Path("runs"), None, "runs", None))


def is_terminal() -> bool:
    """Whether somebody sits in front of it."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _open(options: "Options") -> None:
    from kit.dashboard.app import DashboardApp

    if not (is_terminal() or "TEXTUAL_DRIVER" in os.environ):
        raise InputError(
            "the dashboard needs a terminal", hint="print one frame with --once, or open a browser with --serve"
        )
    app = DashboardApp(options)
    app.run()
    if app.return_code:
        raise typer.Exit(app.return_code)


def _options(
    runs: Path,
    directory: "RunDirectory | None",
    screen: str,
    speed: float | None,
    pool: Path | None = None,
    latency: Path | None = None,
    opponents: "tuple[OpponentFile, ...]" = (),
) -> "Options":
    from functools import partial

    from kit.dashboard.host import Options
    from kit.dashboard.settings import load_settings, settings_path
    from kit.dashboard.themes import shows_unicode
    from kit.watch.log_reader import follow
    from kit.watch.replay import replay

    return Options(
        runs=runs.absolute(),
        run=directory,
        screen=screen,
        pool=None if pool is None else pool.absolute(),
        latency=None if latency is None else latency.absolute(),
        opponents=opponents,
        ascii=not shows_unicode(),
        follow=follow if speed is None else partial(replay, speed=speed),
        settings=load_settings(settings_path()),
    )


def _print_frame(options: "Options", size: str | None, svg: Path | None, press: tuple[str, ...]) -> None:
    from kit.dashboard.once import render_once

    if svg is not None:
        require_suffix(svg, ".svg")
    frame = render_once(options, _size(size), press=press)
    if svg is None:
        print_text(frame.text)
        return
    write_bytes(svg, frame.svg.encode())
    narrate(f"written: {svg}")


def _size(text: str | None) -> tuple[int, int]:
    if text is None:
        terminal = shutil.get_terminal_size((120, 40))
        return terminal.columns, terminal.lines
    found = re.fullmatch(r"([1-9]\d{0,2}|1000)x([1-9]\d{0,2}|1000)", text, re.ASCII)
    if found is None:
        raise InputError(f"--size {text[:40]!r} is not COLUMNSxROWS, each from 1 to 1000", hint="for instance --size 120x40")
    return int(found[1]), int(found[2])


def _serve(arguments: list[str], port: int) -> None:
    """Check the port before the server does: its own error would be a traceback."""
    import socket

    from kit.dashboard.browser import serve

    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("localhost", port))
        except OSError as error:
            raise StorageError(f"--port {port}: {error.strerror}", hint="choose another one with --port N") from error
    command = [sys.executable, "-c", "from kit.cli.main import main; main()", "dashboard", *arguments]
    serve(shlex.join(command), port)
