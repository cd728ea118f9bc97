"""What the machine is doing: processors, memory, disk, graphics cards, and the `kit` processes on it."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

GPU_QUERY = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"
PATIENCE = 5.0


@dataclass(frozen=True)
class Gpu:
    """A graphics card as `nvidia-smi` sees it; what it does not tell is None. Memory in bytes."""

    name: str
    load: float | None
    memory_used: float | None
    memory_total: float | None
    temperature: float | None
    power: float | None


@dataclass(frozen=True)
class KitProcess:
    """A running `kit` command; `memory` in bytes, `load` in cores."""

    pid: int
    command: str
    load: float
    memory: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """The machine at one moment. Loads are parts of one core, memory and disk in bytes."""

    time: float
    cores: tuple[float, ...]
    load_average: tuple[float, float, float]
    memory_used: int
    memory_total: int
    disk_used: int | None
    disk_total: int | None
    gpus: tuple[Gpu, ...] = ()
    processes: tuple[KitProcess, ...] = ()

    @property
    def load(self) -> float:
        """The mean of all cores."""
        return sum(self.cores) / max(1, len(self.cores))


class Probe:
    """Takes samples. Keeps process handles, since a process's load is measured between two looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handles: dict[int, psutil.Process] = {}
        self._smi = shutil.which("nvidia-smi")
        # The first figure is the load since this call.
        psutil.cpu_percent(percpu=True)

    def sample(self) -> Sample:
        """Look once. What the system does not tell is left out."""
        memory = psutil.virtual_memory()
        disk = self._disk()
        return Sample(
            time=time.time(),
            cores=tuple(load / 100 for load in psutil.cpu_percent(percpu=True)),
            load_average=os.getloadavg(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=None if disk is None else disk.used,
            disk_total=None if disk is None else disk.total,
            gpus=self._gpus(),
            processes=tuple(self._processes()),
        )

    def _disk(self) -> "shutil._ntuple_diskusage | None":
        folder = self.folder
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        try:
            return shutil.disk_usage(folder)
        except OSError:
            return None

    def _processes(self) -> list[KitProcess]:
        found = []
        alive = set()
        for process in psutil.process_iter(["pid", "cmdline"]):
            command = command_of(process.info["cmdline"] or [])
            if command is None:
                continue
            handle = self._handles.setdefault(process.pid, process)
            alive.add(process.pid)
            try:
                load, memory = handle.cpu_percent() / 100, handle.memory_info().rss
                seconds = max(0.0, time.time() - handle.create_time())
            except psutil.Error:
                continue
            found.append(KitProcess(process.pid, command, load, memory, seconds))
        self._handles = {pid: handle for pid, handle in self._handles.items() if pid in alive}
        return sorted(found, key=lambda process: process.pid)

    def _gpus(self) -> tuple[Gpu, ...]:
        if self._smi is None:
            return ()
        command = [self._smi, f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        except (OSError, subprocess.SubprocessError):
            # A driver that does not answer is asked no more.
            self._smi = None
            return ()
        return tuple(parse_gpu(line) for line in answer.stdout.splitlines() if line.count(",") >= GPU_QUERY.count(","))


def parse_gpu(line: str) -> Gpu:
    """A card from a line of `nvidia-smi --format=csv`."""
    index, name, load, used, total, temperature, power = (part.strip() for part in line.split(",")[:7])
    mebi = 2**20
    return Gpu(
        name=f"{index} {name}",
        load=_scaled(load, 1 / 100),
        memory_used=_scaled(used, mebi),
        memory_total=_scaled(total, mebi),
        temperature=_scaled(temperature),
        power=_scaled(power),
    )


def is_kit(words: list[str]) -> bool:
    """Whether a command line is one of ours: `kit ...` as a script, or what the dashboard starts."""
    return command_of(words) is not None


def command_of(words: list[str]) -> str | None:
    """A command line of ours as one would type it; None for any other."""
    for index, word in enumerate(words[:4]):
        if word.startswith("from kit.cli.main import main") or (index < 2 and Path(word).name == "kit"):
            return " ".join(["kit", *words[index + 1 :]])
    return None


def _scaled(text: str, scale: float = 1.0) -> float | None:
    try:
        return float(text) * scale
    except ValueError:
        return None
