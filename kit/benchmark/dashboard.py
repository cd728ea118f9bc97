"""Times the dashboard as a user has it: a process in a pseudo-terminal, a long log, a long table, keys pressed."""

import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import tempfile
import termios
import time
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from kit.errors import StorageError
from kit.events import EventLog, PhaseStarted, RunStarted, StepDone, to_line
from kit.files import write_json
from kit.pool import draw_pool, write_predictions
from kit.recipe import load_profile, load_recipe
from kit.run_dir import RunDirectory
from kit.watch.processes import KIT

SIZE = (200, 60)
PATIENCE = 60.0
QUIET = 0.06
"""Seconds without output after which a paint counts as done."""
PATHS = 4
EPOCH = 1_000
PHASE = "long"
FILTER = b"acc > .7 and macs < 2G and depths = 3 4 * 3 or code ~ 77"


class Terminal:
    """A `kit` process behind a pseudo-terminal, and what it has written there."""

    def __init__(self, arguments: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*KIT, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # The terminal becomes its own, so that it hears of its end, also when this process is killed.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment,
        )
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """What arrives within `seconds`, returned as soon as something does."""
        if not select.select([self.master], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self.master, 1 << 16)
        except OSError:
            return b""

    def wait_for(self, text: bytes) -> float:
        """Seconds from the start until `text` was painted. Raises `StorageError` when it never is."""
        seen = b""
        while time.monotonic() - self.started < PATIENCE:
            seen += self.read(0.05)
            if text in seen:
                return time.monotonic() - self.started
            if self.process.poll() is not None:
                break
        tail = seen[-500:].decode("utf-8", "replace")
        raise StorageError(f"the dashboard did not show {text.decode()!r} within {PATIENCE:.0f} s: {tail!r}")

    def drain(self, seconds: float) -> None:
        """Take what is painted for some time."""
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self.read(min(rest, 0.1))

    def settle(self, seconds: float) -> None:
        """Wait until nothing is painted any more."""
        deadline = time.monotonic() + seconds
        while self.read(0.5) and time.monotonic() < deadline:
            pass

    def press(self, key: bytes) -> float:
        """Seconds from a key to the end of the paint that it causes."""
        while self.read(0):
            pass
        begin = last = time.monotonic()
        os.write(self.master, key)
        answered = False
        while time.monotonic() - last < (QUIET if answered else 1.0):
            if self.read(0.005):
                answered, last = True, time.monotonic()
        return last - begin

    def close(self) -> int:
        """Press `q`; the exit code."""
        os.write(self.master, b"q")
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        if self.process.poll() is None:
            self.process.kill()
        os.close(self.master)
        return self.process.wait()


def benchmark_dashboard(*, events: int, rows: int, seconds: float) -> dict[str, Any]:
    """First paint and memory on a log of `events`, keys on a table of `rows`, load while a running run is watched."""
    with tempfile.TemporaryDirectory(prefix="kit-dashboard-") as folder:
        runs = Path(folder) / "runs"
        write_run(runs / "bench", events=events, rows=rows)
        run = RunDirectory(runs / "bench")
        result: dict[str, Any] = {"events": events, "log_bytes": run.events.stat().st_size, "rows": rows}
        (empty := Path(folder) / "empty").mkdir()
        terminal = Terminal(["dashboard", "--runs", str(empty)])
        result["first_paint_empty_seconds"] = terminal.wait_for(b"no runs in")
        terminal.close()
        with run.locked():
            return result | _open_long_log(runs, run, seconds) | _press_keys(runs)


def write_run(path: Path, *, events: int, rows: int) -> None:
    """A run directory with a log of so many steps and a pool of so many architectures, with made-up losses and scores."""
    recipe, profile = load_recipe("full"), load_profile("nano")
    pool = draw_pool(profile.published_space, rows, 0)
    path.mkdir(parents=True)
    settings = {"recipe": recipe.model_dump(mode="json"), "profile": profile.model_dump(mode="json"), "seed": 0}
    run = RunDirectory(path)
    write_predictions(run.pool, pool, [0.0] * rows)
    write_predictions(run.predictions, pool, [0.5 + (index * 7919 % 4001) / 10_000 for index in range(rows)])
    write_json(run.resolved, {"kind": "recipe", **settings})
    codes = tuple(architecture.code for architecture in pool.architectures[:PATHS])
    with EventLog(run.events) as log:
        log.append(
            RunStarted(
                run=path.name,
                recipe="full",
                profile="nano",
                seed=0,
                pid=os.getpid(),
                phases=(PHASE,),
                passes=2 * events * PATHS,
                continued=False,
            )
        )
        log.append(
            PhaseStarted(
                phase=PHASE,
                key="0" * 64,
                method="uniform",
                epochs=2 * events // EPOCH + 1,
                steps=2 * events,
                paths_per_step=PATHS,
                first_step=0,
                subspace=profile.published_space.describe(),
            )
        )
    # Composed by hand: encoding a million events as JSON would take longer than all measurements.
    head, tail = to_line(_step(0, codes)).split('"step":0,"epoch":0', 1)
    with run.events.open("a", encoding="utf-8") as file:
        file.writelines(f'{head}"step":{step},"epoch":{step // EPOCH}{tail}\n' for step in range(max(0, events - 2)))


def _step(step: int, codes: tuple[str, ...]) -> StepDone:
    losses = tuple(2.0 / (1 + step / 1000) + 0.01 * path for path in range(len(codes)))
    return StepDone(
        phase=PHASE,
        step=step,
        epoch=step // EPOCH,
        learning_rate=0.1,
        seconds=0.5,
        data_seconds=0.01,
        losses=losses,
        codes=codes,
    )


def _open_long_log(runs: Path, run: RunDirectory, seconds: float) -> dict[str, Any]:
    """Open the run, read all of its log, then watch it grow by two steps a second."""
    terminal = Terminal(["dashboard", "bench", "--runs", str(runs)])
    process = psutil.Process(terminal.process.pid)
    found: dict[str, Any] = {"first_paint_seconds": terminal.wait_for(b"loss over passes")}
    found["first_paint_cpu_seconds"] = _cpu(process)
    # The list of runs and the screen of the run read it once each.
    while process.io_counters().read_chars < 2 * run.events.stat().st_size and time.monotonic() - terminal.started < 120:
        terminal.drain(0.2)
    found["whole_log_seconds"] = time.monotonic() - terminal.started
    terminal.drain(3.0)
    codes = json.loads(run.events.open().readlines(1 << 16)[-1])["codes"]
    before, begin = _cpu(process), time.monotonic()
    with EventLog(run.events) as log:
        for number in count(10_000_000):
            if time.monotonic() - begin >= seconds:
                break
            log.append(_step(number, tuple(codes)))
            terminal.drain(0.5)
    found["watching_load"] = (_cpu(process) - before) / (time.monotonic() - begin)
    return {**found, "peak_bytes": _peak_bytes(process), "exit_code": terminal.close()}


def _press_keys(runs: Path) -> dict[str, Any]:
    """Keys on the table of architectures: moving, sorting, the Pareto front, a filter while it is typed."""
    terminal = Terminal(["dashboard", "bench", "--runs", str(runs), "--screen", "architectures"])
    terminal.wait_for(b"on the Pareto front")
    terminal.settle(20)
    moves = [b"\x1b[B"] * 24 + [b"\x1b[6~"] * 5 + [b"G", b"\x1b[A", b"\x1b[5~", b"g", b"\x1b[B"]
    sorts = [b"o"] * 6 + [b"r", b"r", b"f", b"f"]
    typed = [bytes([byte]) for byte in FILTER]
    times = {"key": [terminal.press(key) for key in moves], "sort": [terminal.press(key) for key in sorts]}
    terminal.press(b"/")
    times["filter"] = [terminal.press(key) for key in typed]
    terminal.press(b"\r")
    terminal.close()
    result: dict[str, Any] = {"keys": sum(map(len, times.values()))}
    for name, seconds in times.items():
        result |= {f"{name}_median_seconds": statistics.median(seconds), f"{name}_max_seconds": max(seconds)}
    return result


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_bytes(process: psutil.Process) -> int:
    """The most memory it had resident so far."""
    with Path(f"/proc/{process.pid}/status").open(encoding="utf-8") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
