"""Screen 7: what the machine is doing, and what the run waits for."""

import threading
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import bindings
from kit.dashboard.screens.base import KitScreen, Rows
from kit.dashboard.widgets.plot import BLOCKS
from kit.dashboard.widgets.run_header import progress_bar
from kit.dashboard.widgets.table import Cell, Column, VirtualTable
from kit.watch.log_reader import Reading
from kit.watch.system_probe import Gpu, KitProcess, Probe, Sample
from kit.watch.text import clean, duration, size

INTERVAL = 2.0
FIRST = 0.2
REMEMBERED = 120
Part = str | tuple[str, str]


class SystemScreen(KitScreen):
    """Sampled every two seconds, and only while somebody looks."""

    NAME = "system"
    FILTER_HELP = "words of a process's command"
    AUTO_FOCUS = "VirtualTable"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("system")]

    class Sampled(Message):
        """The machine was looked at."""

        def __init__(self, sample: Sample) -> None:
            super().__init__()
            self.sample = sample

    def __init__(self) -> None:
        super().__init__()
        self.samples: deque[Sample] = deque(maxlen=REMEMBERED)
        self._words: list[str] = []
        self._rows: list[KitProcess] = []
        self._watched = threading.Event()
        self._left = threading.Event()

    def compose_body(self) -> Iterable[Widget]:
        with VerticalScroll(id="system-top", can_focus=False):
            yield Static(Content.styled("looking", "$text-muted"), id="system-figures", markup=False)
        yield VirtualTable(id="system-processes", empty="no kit process is running on this machine")

    def on_mount(self) -> None:
        """Start to sample."""
        super().on_mount()
        self.run_worker(partial(self._sample, Probe(self.dashboard.runs_folder)), thread=True, group="system")

    def on_screen_resume(self) -> None:
        """Somebody looks."""
        super().on_screen_resume()
        self._watched.set()

    def on_screen_suspend(self) -> None:
        """Nobody looks."""
        self._watched.clear()

    def on_unmount(self) -> None:
        """The thread ends."""
        self._left.set()
        self._watched.set()

    def _sample(self, probe: Probe) -> None:
        self._left.wait(FIRST)
        while not self._left.is_set():
            # Wakes up now and then, so that a forgotten screen never keeps the process alive.
            if self._watched.wait(INTERVAL) and not self._left.is_set() and self.app.is_running:
                self.post_message(self.Sampled(probe.sample()))
                self._left.wait(INTERVAL)
            elif not self.app.is_running:
                return

    def on_system_screen_sampled(self, message: Sampled) -> None:
        """Show what was seen."""
        self.samples.append(message.sample)
        self.refresh_content(self.dashboard.reading)

    def on_resize(self) -> None:
        """Bars are as wide as there is room."""
        self.call_after_refresh(self._again)

    def _again(self) -> None:
        if self.is_mounted:
            self.refresh_content(self.dashboard.reading)

    def refresh_content(self, reading: Reading) -> None:
        if not self.samples:
            return
        width = max(20, self.size.width - 4)
        figures = system_figures(list(self.samples), reading, width)
        self.query_one("#system-figures", Static).update(figures)
        processes = self.samples[-1].processes
        self._rows = [item for item in processes if all(word in item.command.lower() for word in self._words)]
        table = self.query_one(VirtualTable)
        fixed = [Column("pid", 8, right=True), Column("cores", 5, right=True), Column("memory", 9, right=True)]
        fixed.append(Column("for", 12, right=True))
        taken = sum(column.width + VirtualTable.GAP for column in fixed)
        table.set_columns([*fixed, Column("command", max(10, table.size.width - taken - VirtualTable.GAP - 1))])
        table.set_rows(len(self._rows), self._cells)

    def _cells(self, index: int) -> list[Cell]:
        process = self._rows[index]
        load = f"{process.load:.2f}"
        return [str(process.pid), load, size(process.memory), duration(process.seconds), process.command]

    def apply_filter(self, text: str) -> None:
        self._words = text.lower().split()
        self.refresh_content(self.dashboard.reading)

    def copy_text(self) -> str | None:
        cursor = self.query_one(VirtualTable).cursor
        return self._rows[cursor].command if cursor < len(self._rows) else None

    def export_rows(self) -> Rows | None:
        titles = ("time", "cpu", "memory_used", "memory_total", "disk_used", "disk_total")
        rows = [
            (
                sample.time,
                sum(sample.cores) / max(1, len(sample.cores)),
                sample.memory_used,
                sample.memory_total,
                sample.disk_used,
                sample.disk_total,
            )
            for sample in self.samples
        ]
        return titles, rows


def system_figures(samples: list[Sample], reading: Reading, width: int) -> Content:
    """Bars for what is used, with the last minutes beside them."""
    now = samples[-1]
    history = [sum(sample.cores) / max(1, len(sample.cores)) for sample in samples]
    parts: list[Part] = []
    cpu = history[-1]
    average = ", ".join(f"{load:.2f}" for load in now.load_average)
    parts += _line("CPU", cpu, f"{cpu:.0%} of {len(now.cores)} cores, load {average}", width)
    if len(now.cores) <= 64:
        parts += ["              ", (_cores(now.cores), "$text-success"), ("  a block per core\n", "$text-muted")]
    memory = now.memory_used / max(1, now.memory_total)
    parts += _line("memory", memory, f"{size(now.memory_used)} of {size(now.memory_total)}", width)
    if now.disk_total:
        share = (now.disk_used or 0) / now.disk_total
        free = f"{size(now.disk_total - (now.disk_used or 0))} free of {size(now.disk_total)}"
        parts += _line("disk", share, free, width)
    for gpu in now.gpus:
        parts += _gpu_lines(gpu, width)
    if not now.gpus:
        parts.append(("GPU           none that nvidia-smi knows\n", "$text-muted"))
    parts += [
        "\n",
        ("last minutes  ", "$text-muted"),
        (_history(history, min(REMEMBERED, width - 16)), "$text-primary"),
        "\n",
    ]
    parts += _waiting(reading, width)
    return Content.assemble(*parts)


def _line(name: str, share: float, text: str, width: int) -> list[Part]:
    bar = max(4, min(60, width - 16 - len(text)))
    share = min(1.0, max(0.0, share))
    style = "$text-error" if share > 0.95 else "$text-warning" if share > 0.8 else "$text-success"
    (full, _), (empty, muted) = progress_bar(share, bar)
    return [(f"{name:<14}", "$text-muted"), (full, style), (empty, muted), f" {text}\n"]


def _gpu_lines(gpu: Gpu, width: int) -> list[Part]:
    heat = "" if gpu.temperature is None else f", {gpu.temperature:.0f} °C"
    power = "" if gpu.power is None else f", {gpu.power:.0f} W"
    load = "-" if gpu.load is None else f"{gpu.load:.0%}"
    parts = _line("GPU", gpu.load or 0.0, f"{load} of {clean(gpu.name)}{heat}{power}", width)
    if gpu.memory_total:
        used = gpu.memory_used or 0.0
        parts += _line("  memory", used / gpu.memory_total, f"{size(used)} of {size(gpu.memory_total)}", width)
    return parts


def _waiting(reading: Reading, width: int) -> list[Part]:
    share = reading.state.data_share
    if share is None:
        return [("data waiting  ", "$text-muted"), "no step was trained yet\n"]
    is_live = reading.status == "running"
    verdict = "the data keeps up" if share < 0.1 else "workers would help (runtime.workers)"
    text = f"{share:.1%} of a step" + (f": {verdict}" if is_live else ", when it last trained")
    return _line("data waiting", share, text, width)


def _cores(loads: tuple[float, ...]) -> str:
    return "".join(_block(load) for load in loads)


def _history(values: list[float], width: int) -> str:
    return "".join(map(_block, values[-max(1, width) :]))


def _block(load: float) -> str:
    return BLOCKS[min(len(BLOCKS) - 1, int(min(1.0, max(0.0, load)) * len(BLOCKS)))]
