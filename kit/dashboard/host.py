"""What every screen knows and may ask for: the runs, the run that is followed, questions, processes, new files."""

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.reactive import var

from kit.dashboard.bindings import bindings
from kit.dashboard.settings import Settings
from kit.dashboard.widgets.dialogs import Ask, Confirm
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.watch.log_reader import Reading, follow
from kit.watch.processes import Started, start_detached
from kit.watch.run_list import follow_runs
from kit.watch.run_summary import RunSummary

Follow = Callable[[RunDirectory, Callable[[Reading], None], threading.Event], None]
NO_READING = Reading()


@dataclass(frozen=True)
class Options:
    """What the command line says: where runs lie, which one to open, the screen to arrive at."""

    runs: Path
    run: RunDirectory | None = None
    screen: str = "runs"
    ascii: bool = False
    pool: Path | None = None
    """Shown on the screen of architectures instead of the run's own."""
    follow: Follow = follow
    settings: Settings = field(default_factory=Settings)


class Host(App[None]):
    """Everything it knows arrives as messages from threads that read files."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]

    # Not `reactive`: a change of these would paint the whole screen anew, whatever it shows.
    runs: var[tuple[RunSummary, ...]] = var(())
    runs_complete: var[bool] = var(False)
    runs_problem: var[str] = var("")
    run_directory: var[RunDirectory | None] = var(None)
    """The run that screens 2 to 5 are about."""
    reading: var[Reading] = var(NO_READING)
    """What was read of that run's log."""

    @dataclass
    class RunRead(Message):
        """The followed run's log was read (further)."""

        run: Path
        reading: Reading

    @dataclass
    class RunsRead(Message):
        """The list of runs changed; `complete` once every run was looked at."""

        runs: tuple[RunSummary, ...]
        complete: bool
        problem: str

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.started: list[Started] = []
        self._is_read = False
        self._awaited: str | None = None
        self._stop_runs = threading.Event()
        self._stop_run = threading.Event()

    @property
    def runs_folder(self) -> Path:
        return self.options.runs

    def on_mount(self) -> None:
        """Start to read."""
        if self.options.run is not None:
            self.select_run(self.options.run)
        self.run_worker(self._follow_runs, thread=True, group="runs", description="list of runs")
        self.set_interval(1.0, self._look_after_processes)
        for problem in self.options.settings.problems:
            self.say(problem, severity="warning", timeout=10)

    def on_unmount(self) -> None:
        """However the app ends, the threads that read end too."""
        self._stop_run.set()
        self._stop_runs.set()

    # Reading

    def select_run(self, run: RunDirectory) -> None:
        """Follow this run from now on."""
        if self.run_directory is not None and self.run_directory.path == run.path:
            return
        self._stop_run.set()
        self._stop_run = threading.Event()
        self.reading = NO_READING
        self._is_read = False
        self.run_directory = run
        work = partial(self._follow_run, run, self._stop_run)
        self.run_worker(work, thread=True, group="run", description=f"log of {run.id}")

    def _follow_run(self, run: RunDirectory, stop: threading.Event) -> None:
        self.options.follow(run, lambda reading: self._post(self.RunRead(run.path, reading)), stop)

    def _follow_runs(self) -> None:
        def post(runs: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
            self._post(self.RunsRead(runs, complete, problem))

        follow_runs(self.runs_folder, post, self._stop_runs)

    def _post(self, message: Message) -> None:
        if self.is_running:
            self.post_message(message)

    def on_host_run_read(self, message: RunRead) -> None:
        """Keep the newest reading of the run that is shown."""
        if self.run_directory is not None and message.run == self.run_directory.path:
            self._is_read = message.reading.state.complete
            self.reading = message.reading

    def on_host_runs_read(self, message: RunsRead) -> None:
        """Keep the list; without a choice, the newest run is chosen, a running one first."""
        self.runs, self.runs_problem = message.runs, message.problem
        self.runs_complete = message.complete
        if self._awaited is not None:
            names = (self._awaited, f"{self._awaited}-r")
            begun = (item for item in message.runs if item.id == names[0] or item.id.startswith(names[1]))
            if (found := next(begun, None)) is not None:
                self._awaited = None
                self.select_run(found.run)
        if self.run_directory is None and message.complete and message.runs:
            running = (summary for summary in message.runs if summary.status == "running")
            self.select_run(next(running, message.runs[0]).run)

    @property
    def has_read(self) -> bool:
        """Whether the runs, and the log of the one that is followed, are known to their end."""
        return self.runs_complete and (self.run_directory is None or self._is_read)

    # What screens ask for

    def show(self, name: str) -> None:
        """Go to a screen, closing what lies over the current one."""
        raise NotImplementedError

    def say(self, text: str, *, severity: SeverityLevel = "information", timeout: float = 4) -> None:
        """A message in the corner; never markup."""
        self.notify(text, severity=severity, timeout=timeout, markup=False)

    def report(self, error: KitError) -> None:
        """Say what was wrong and what to do next."""
        self.say(f"{error}\n{error.hint}" if error.hint else str(error), severity="error", timeout=10)

    def confirm(self, question: str, then: Callable[[], object], *, detail: str = "", yes: str = "Yes") -> None:
        """Ask, and call `then` if the answer is yes."""

        def act(answer: bool | None) -> None:
            if answer:
                then()

        self.push_screen(Confirm(question, detail, yes=yes), act)

    def ask(
        self,
        question: str,
        then: Callable[[str], object],
        *,
        value: str = "",
        detail: str = "",
        check: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Ask for a line of text; `check` says what is wrong with an answer."""

        def act(answer: str | None) -> None:
            if answer is not None:
                then(answer)

        self.push_screen(Ask(question, value, detail=detail, check=check), act)

    def write(self, path: str, text: str) -> None:
        """Write a new file that the user asked for."""
        try:
            with Path(path).expanduser().open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.say(f"cannot write {path}: {error.strerror}", severity="error")
        else:
            self.say(f"written: {path}")

    def start_kit(self, label: str, *arguments: str, run: str | None = None) -> Started | None:
        """Start `kit ARGUMENTS` as a process of its own; a message tells when it fails. None when it cannot be started.

        `run` is the id of the run that will appear: it is selected as soon as it does.
        """
        try:
            started = start_detached(label, arguments, runs=self.runs_folder)
        except KitError as error:
            self.report(error)
            return None
        self.started.append(started)
        self._awaited = run
        self.say(f"started: {label}")
        return started

    def _look_after_processes(self) -> None:
        """Tell how processes ended that were started here."""
        for started in list(self.started):
            code = started.process.poll()
            if code is None:
                continue
            self.started.remove(started)
            if code == 0:
                self.say(f"done: {started.label}")
            else:
                text = f"{started.label} ended with exit code {code}\n{started.last_words}\n(log: {started.log})"
                self.say(text, severity="error", timeout=15)

    def spare_collector(self) -> None:
        """What is there now stays: the garbage collector need not look at it again and again, which takes 90 ms a time."""
        if gc.get_freeze_count():  # The first paint need not wait for it; later there is little to look at.
            gc.collect()
        gc.freeze()


def check_new_file(path: str, ending: str = "") -> str:
    """What is wrong with a path for a new file."""
    target = Path(path).expanduser()
    if target.exists():
        return "this file exists already"
    if not target.parent.is_dir():
        return "there is no such folder"
    return "" if path.endswith(ending) else f"its name ends with {ending}"
