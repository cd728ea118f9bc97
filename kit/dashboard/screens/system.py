"""Screen 7: what the machine is doing, and what the run waits for."""

from collections import deque
from collections.abc import Iterable

from textual.content import Content
from textual.widget import Widget

from kit.dashboard.screens.base import KitScreen
from kit.dashboard.widgets.fitted_pane import FittedPane
from kit.dashboard.widgets.parts import Part, bar, block, muted
from kit.dashboard.widgets.table import REST, Cell, Column, Rows, VirtualTable
from kit.watch.log_reader import Reading
from kit.watch.system_probe import Gpu, KitProcess, Probe, Sample
from kit.watch.text import clean, duration, size

INTERVAL = 2.0
FIRST = 0.2
REMEMBERED = 120
COLUMNS = (
    Column("pid", 8, right=True),
    Column("cores", 5, right=True),
    Column("memory", 9, right=True),
    Column("for", 12, right=True),
    Column("command", REST, least=10),
)


class SystemScreen(KitScreen):
    """Sampled every two seconds, and only while somebody looks."""

    NAME = "system"
    FILTER_HELP = "words of a process's command"
    AUTO_FOCUS = "VirtualTable"

    def __init__(self) -> None:
        super().__init__()
        self.samples: deque[Sample] = deque(maxlen=REMEMBERED)

    def compose_body(self) -> Iterable[Widget]:
        yield FittedPane(id="system-top", can_focus=False, fills=False)
        yield VirtualTable(COLUMNS, id="system-processes", empty="no kit process is running on this machine")

    def on_mount(self) -> None:
        self.query_one(FittedPane).show(lambda *_: muted("looking"))
        self._probe = Probe(self.app.runs_folder)
        self.set_timer(FIRST, self._look)
        self.set_interval(INTERVAL, self._look)

    def on_screen_resume(self) -> None:
        if self.samples:
            self._look()

    def _look(self) -> None:
        if self.is_shown and not self.at_work["sample"]:
            self.in_thread(self._probe.sample, self._take, "sample")

    def _take(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.refresh_content(self.app.reading)

    def refresh_content(self, reading: Reading) -> None:
        if not self.samples:
            return
        samples = list(self.samples)
        self.query_one(FittedPane).show(lambda width, _: system_figures(samples, reading, width))
        processes = [process for process in samples[-1].processes if self.has_words(process.command)]
        self.query_one(VirtualTable).set_rows(processes, _cells)

    def copy_text(self) -> str | None:
        process: KitProcess | None = self.query_one(VirtualTable).current
        return None if process is None else process.command

    def export_rows(self) -> Rows | None:
        titles = ("time", "cpu", "memory_used", "memory_total", "disk_used", "disk_total")
        rows = [
            (each.time, each.load, each.memory_used, each.memory_total, each.disk_used, each.disk_total)
            for each in self.samples
        ]
        return titles, rows


def _cells(process: KitProcess) -> list[Cell]:
    load = f"{process.load:.2f}"
    return [str(process.pid), load, size(process.memory), duration(process.seconds), process.command]


def system_figures(samples: list[Sample], reading: Reading, width: int) -> Content:
    """Bars for what is used, with the last minutes beside them."""
    now = samples[-1]
    history = [sample.load for sample in samples]
    parts: list[Part] = []
    cpu = history[-1]
    average = ", ".join(f"{load:.2f}" for load in now.load_average)
    parts += _line("CPU", cpu, f"{cpu:.0%} of {len(now.cores)} cores, load {average}", width)
    if len(now.cores) <= 64:
        parts += [
            "              ",
            ("".join(map(block, now.cores)), "$text-success"),
            ("  a block per core\n", "$text-muted"),
        ]
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
        ("".join(map(block, history[-max(1, width - 16) :])), "$text-primary"),
        "\n",
    ]
    parts += _waiting(reading, width)
    return Content.assemble(*parts)


def _line(name: str, share: float, text: str, width: int) -> list[Part]:
    style = "$text-error" if share > 0.95 else "$text-warning" if share > 0.8 else "$text-success"
    full, rest = bar(share, max(4, min(60, width - 16 - len(text))))
    return [(f"{name:<14}", "$text-muted"), (full, style), (rest, "$text-muted"), f" {text}\n"]


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
