"""What every screen knows and may ask for: the runs, the run that is followed, questions, processes, new files."""

import gc
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.actions import ActionParseResult
from textual.app import App
from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.reactive import var

from kit.dashboard.bindings import bindings
from kit.dashboard.settings import Settings
from kit.dashboard.widgets.dialogs import Ask, Confirm
from kit.errors import KitError
from kit.files import storage_errors, user_path
from kit.ranking.opponent_files import OpponentFile
from kit.run_dir import RunDirectory
from kit.watch.log_reader import Reading, follow
from kit.watch.processes import Started, start_detached
from kit.watch.run_list import follow_runs
from kit.watch.run_summary import RunSummary

Follow = Callable[[RunDirectory, Callable[[Reading], None], threading.Event], None]
NO_READING = Reading()


class NotYetError(KitError):
    """Why an action cannot be done yet."""


@dataclass(frozen=True)
class Options:
    """What the command line says: where runs lie, which one to open, the screen to arrive at."""

    runs: Path
    run: RunDirectory | None = None
    screen: str = "runs"
    ascii: bool = False
    pool: Path | None = None
    """Shown on the screen of architectures instead of the run's own."""
    latency: Path | None = None
    """The latency table behind a column there."""
    opponents: tuple[OpponentFile, ...] = ()
    """Rankings beside a run's predictions."""
    follow: Follow = follow
    settings: Settings = field(default_factory=Settings)


class Host(App[None]):
    """Everything it knows is handed over by threads that read files."""

    BINDINGS = bindings("app")

    # Not `reactive`: a change of these would paint the whole screen anew, whatever it shows.
    runs: var[tuple[RunSummary, ...]] = var(())
    runs_complete: var[bool] = var(False)
    runs_problem: var[str] = var("")
    run_directory: var[RunDirectory | None] = var(None)
    """The run that screens 2 to 5 are about."""
    reading: var[Reading] = var(NO_READING)
    """What was read of that run's log."""

    is_spared: ClassVar[bool] = False
    """Whether the garbage collector of this process has been relieved once."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.runs_folder = options.runs
        self.started: list[Started] = []
        self.is_read = False
        self._awaited: str | None = None
        self._stop_runs = threading.Event()
        self._stop_run = threading.Event()

    def on_mount(self) -> None:
        if self.options.run is not None:
            self.select_run(self.options.run)
        work = partial(follow_runs, self.runs_folder, partial(self._hand_over, self._take_runs), self._stop_runs)
        self.run_worker(work, thread=True, group="runs", description="list of runs")
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
        if run == self.run_directory:
            return
        self._stop_run.set()
        self._stop_run = threading.Event()
        self.reading = NO_READING
        self.is_read = False
        self.run_directory = run
        work = partial(self.options.follow, run, partial(self._hand_over, self._take_reading, run), self._stop_run)
        self.run_worker(work, thread=True, group="run", description=f"log of {run.id}")

    def _hand_over(self, take: Callable[..., object], *news: object) -> None:
        """What a thread has read; once the app ends nobody takes it."""
        if self.is_running:
            self.call_later(take, *news)

    def _take_reading(self, run: RunDirectory, reading: Reading) -> None:
        """Keep the newest reading of the run that is shown."""
        if run == self.run_directory:
            self.is_read = reading.state.complete
            self.reading = reading

    def _take_runs(self, runs: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
        """Keep the list; without a choice, the newest run is chosen, a running one first."""
        self.runs, self.runs_problem = runs, problem
        self.runs_complete = complete
        if self._awaited is not None:
            begun = (item for item in runs if item.id == self._awaited or item.id.startswith(f"{self._awaited}-r"))
            if (found := next(begun, None)) is not None:
                self._awaited = None
                self.select_run(found.run)
        if self.run_directory is None and complete and runs:
            self.select_run(next((summary for summary in runs if summary.status == "running"), runs[0]).run)

    # What screens ask for

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what a key stands for; an action that raises `KitError` has said why it cannot be done."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except KitError as error:
            self.report(error)
            return True

    def show(self, name: str) -> None:
        """Go to a screen, closing what lies over the current one."""
        raise NotImplementedError

    def say(self, text: str, *, severity: SeverityLevel = "information", timeout: float = 4) -> None:
        """A message in the corner; never markup."""
        self.notify(text, severity=severity, timeout=timeout, markup=False)

    def report(self, error: KitError) -> None:
        """Say what was wrong and what to do next."""
        severity: SeverityLevel = "warning" if isinstance(error, NotYetError) else "error"
        self.say(f"{error}\n{error.hint}" if error.hint else str(error), severity=severity, timeout=10)

    def confirm(self, question: str, then: Callable[[], object], *, detail: str = "", yes: str = "Yes") -> None:
        """Ask, and call `then` if the answer is yes."""
        self.push_screen(Confirm(question, detail, yes=yes), lambda sure: self.attempt(then) if sure else None)

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
        dialog = Ask(question, value, detail=detail, check=check)
        self.push_screen(dialog, lambda answer: None if answer is None else self.attempt(partial(then, answer)))

    def attempt(self, work: Callable[[], object]) -> None:
        """Do it; why it cannot be done is told."""
        try:
            work()
        except KitError as error:
            self.report(error)

    def write(self, path: str, text: str) -> None:
        """Write a new file that the user asked for. Raises `KitError`."""
        target = user_path(path)
        with storage_errors("write", target), target.open("x", encoding="utf-8") as file:
            file.write(text)
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
        if Host.is_spared:  # The first paint need not wait for it; later there is little to look at.
            gc.collect()
        Host.is_spared = True
        gc.freeze()


def check_new_file(path: str, endings: tuple[str, ...] = ("",)) -> str:
    """What is wrong with a path for a new file, whose name has to promise what is written."""
    target = user_path(path)
    if target.exists():
        return "this file exists already"
    if not target.parent.is_dir():
        return "there is no such folder"
    return "" if path.endswith(endings) else f"its name ends with {' or '.join(endings)}"
