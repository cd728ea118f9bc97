"""The app: which screen is shown, which run is followed, and what every screen can ask for."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App, ScreenError, SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.reactive import var
from textual.screen import Screen

from kit.dashboard.bindings import SCREENS, TITLES, actions, bindings
from kit.dashboard.messages import ProcessEnded, RunRead, RunsRead
from kit.dashboard.screens import SCREEN_CLASSES
from kit.dashboard.screens.base import KitScreen
from kit.dashboard.settings import THEMES, Settings
from kit.dashboard.themes import KIT_THEMES, AsciiFilter, StyledFilter
from kit.dashboard.widgets.dialogs import Ask, Confirm
from kit.errors import KitError
from kit.run_dir import RunDirectory
from kit.watch.log_reader import Reading, follow
from kit.watch.processes import Started, start_detached
from kit.watch.run_list import follow_runs
from kit.watch.run_summary import RunSummary

Follow = Callable[[RunDirectory, Callable[[Reading], None], threading.Event], None]
NO_READING = Reading()
WIDTHS = [(0, "-tiny"), (50, "-narrow"), (100, "-normal"), (170, "-wide")]
HEIGHTS = [(0, "-flat"), (16, "-low"), (32, "-tall")]
"""Classes that a screen has from so many columns and rows on, for the stylesheet."""


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


class DashboardApp(App[None]):
    """Shows what event logs say. Everything it knows arrives as messages from threads that read files."""

    CSS_PATH = "app.tcss"
    TITLE = "kit"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    MODES = SCREEN_CLASSES  # type: ignore[assignment]  # functions instead of classes: a screen is imported when it is shown
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    CLOSE_TIMEOUT = 2.0

    # Not `reactive`: a change of these would paint the whole screen anew, whatever it shows.
    runs: var[tuple[RunSummary, ...]] = var(())
    runs_complete: var[bool] = var(False)
    runs_problem: var[str] = var("")
    run_directory: var[RunDirectory | None] = var(None)
    """The run that screens 2 to 5 are about."""
    reading: var[Reading] = var(NO_READING)
    """What was read of that run's log."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.started: list[Started] = []
        self._history: list[str] = []
        self._css_variables: dict[str, str] = {}
        self._is_read = False
        self._awaited: str | None = None
        self._stop_runs = threading.Event()
        self._stop_run = threading.Event()
        self._ascii = AsciiFilter(options.ascii)
        self._styled = StyledFilter(self.no_color)
        for theme in KIT_THEMES:
            self.register_theme(theme)
        self.theme = options.settings.theme
        self.set_keymap(dict(options.settings.keys))

    @property
    def runs_folder(self) -> Path:
        return self.options.runs

    def on_mount(self) -> None:
        """Show the first screen, then start to read."""
        self.switch_mode(self.options.screen)
        if self.options.run is not None:
            self.select_run(self.options.run)
        self.run_worker(self._follow_runs, thread=True, group="runs", description="list of runs")
        self.set_interval(1.0, self._look_after_processes)
        for problem in self.options.settings.problems:
            self.say(problem, severity="warning", timeout=10)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters: list[LineFilter] = [self._styled, *super().get_line_filters(), self._ascii]
        return [line_filter for line_filter in filters if line_filter.enabled]

    def refresh_css(self, animate: bool = True) -> None:
        """Only a new theme needs the stylesheet to be parsed again, which Textual does at every change of screen."""
        variables = self.get_css_variables()
        if variables != self._css_variables:
            self._css_variables = variables
            super().refresh_css(animate)
            return
        with contextlib.suppress(ScreenError):
            self.stylesheet.update(self.screen, animate=animate)
            self.screen._css_update_count = self._css_update_count

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
        self.options.follow(run, lambda reading: self._post(RunRead(run.path, reading)), stop)

    def _follow_runs(self) -> None:
        def post(runs: tuple[RunSummary, ...], complete: bool, problem: str) -> None:
            self._post(RunsRead(runs, complete=complete, problem=problem))

        follow_runs(self.runs_folder, post, self._stop_runs)

    def _post(self, message: RunRead | RunsRead) -> None:
        if self.is_running:
            self.post_message(message)

    def on_run_read(self, message: RunRead) -> None:
        """Keep the newest reading of the run that is shown."""
        if self.run_directory is not None and message.run == self.run_directory.path:
            self._is_read = message.reading.state.complete
            self.reading = message.reading

    def on_runs_read(self, message: RunsRead) -> None:
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
    def is_settled(self) -> bool:
        """Whether everything that lies on the disk is on the screen."""
        screens_settled = all(screen.is_settled for screen in self.screen_stack if isinstance(screen, KitScreen))
        return self.runs_complete and (self.run_directory is None or self._is_read) and screens_settled

    # What screens ask for

    def say(self, text: str, *, severity: str = "information", timeout: float = 4) -> None:
        """A message in the corner; never markup."""
        assert severity in ("information", "warning", "error")
        self.notify(text, severity=severity, timeout=timeout, markup=False)  # type: ignore[arg-type]

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
        for started in list(self.started):
            code = started.process.poll()
            if code is not None:
                self.started.remove(started)
                self.post_message(ProcessEnded(started.label, code, started.last_words, started.log))

    def on_process_ended(self, message: ProcessEnded) -> None:
        """Tell how a process ended that was started here."""
        if message.code == 0:
            self.say(f"done: {message.label}")
        else:
            text = f"{message.label} ended with exit code {message.code}\n{message.last_words}\n(log: {message.log})"
            self.say(text, severity="error", timeout=15)

    # Actions

    def show(self, name: str) -> None:
        """Go to a screen, closing what lies over the current one."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if name != self.current_mode:
            self._history = [*self._history[-20:], self.current_mode]
            self.switch_mode(name)

    def action_show(self, name: str) -> None:
        """Go to a screen."""
        self.show(name)

    async def action_back(self) -> None:
        """Close what lies on top, or return to the screen before."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self._history:
            self.switch_mode(self._history.pop())

    def action_show_help(self) -> None:
        """What every key does."""
        from kit.dashboard.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def action_next_theme(self) -> None:
        """Dark, light, high contrast."""
        self.theme = THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)] if self.theme in THEMES else THEMES[0]
        self.say(f"theme {self.theme}", timeout=2)

    def action_save_svg(self) -> None:
        """A picture of the screen as it is, where the user says."""
        picture = self.export_screenshot(title=f"kit: {TITLES.get(self.current_mode, '')}")
        path = f"kit-{self.current_mode}.svg"
        self.ask("Save this screen to", lambda answer: self.write(answer, picture), value=path, check=check_new_file)

    def write(self, path: str, text: str) -> None:
        """Write a new file that the user asked for."""
        try:
            with Path(path).expanduser().open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.say(f"cannot write {path}: {error.strerror}", severity="error")
        else:
            self.say(f"written: {path}")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action of every screen, for the command palette."""
        keys = dict(self.options.settings.keys)
        here = self.current_mode
        for action in sorted(actions(), key=lambda action: (action.scope not in (here, "screen"), action.scope != "app")):
            where = TITLES.get(action.scope, "")
            title = f"{where}: {action.text}" if where else action.text
            help_text = f"key: {keys.get(action.id, action.keys)}"
            yield SystemCommand(title, help_text, partial(self.perform, action.scope, action.name))

    async def perform(self, scope: str, action: str) -> None:
        """Do an action as if its key was pressed on its screen."""
        if scope == "app":
            await self.run_action(action)
            return
        if scope in SCREENS and scope != self.current_mode:
            self.show(scope)
        screen = self.screen
        screen.call_later(screen.run_action, action)

    def exit(self, *args: object, **values: object) -> None:
        """Leave; the threads that read stop first."""
        self._stop_run.set()
        self._stop_runs.set()
        super().exit(*args, **values)  # type: ignore[arg-type]

    def on_unmount(self) -> None:
        """However the app ends."""
        self._stop_run.set()
        self._stop_runs.set()


def check_new_file(path: str) -> str:
    """What is wrong with a path for a new file."""
    target = Path(path).expanduser()
    if target.exists():
        return "this file exists already"
    return "" if target.parent.is_dir() else "there is no such folder"
