"""The app: which screen is shown, themes, and the palette of all actions."""

from collections.abc import Iterable, Sequence
from functools import partial

from textual.app import SystemCommand
from textual.filter import LineFilter
from textual.screen import Screen

from kit.dashboard.bindings import SCREENS, TITLES, actions
from kit.dashboard.host import Host, NotYetError, Options, check_new_file
from kit.dashboard.screens import SCREEN_CLASSES
from kit.dashboard.screens.base import KitScreen, following
from kit.dashboard.settings import THEMES
from kit.dashboard.themes import KIT_THEMES, AsciiFilter, StyledFilter

WIDTHS = [(0, "-tiny"), (50, "-narrow"), (100, "-normal"), (170, "-wide")]
HEIGHTS = [(0, "-flat"), (16, "-low"), (32, "-tall")]
"""Classes that a screen has from so many columns and rows on, for the stylesheet."""


class DashboardApp(Host):
    """Shows what event logs say."""

    CSS_PATH = "app.tcss"
    TITLE = "kit"
    MODES = SCREEN_CLASSES  # type: ignore[assignment]  # functions instead of classes: a screen is imported when it is shown
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    CLOSE_TIMEOUT = 2.0

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._history: list[str] = []
        self._ascii = AsciiFilter(options.ascii)
        self._styled = StyledFilter(self.no_color)
        for theme in KIT_THEMES:
            self.register_theme(theme)
        self.theme = options.settings.theme
        self.set_keymap(dict(options.settings.keys))

    def on_mount(self) -> None:
        self.switch_mode(self.options.screen)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters: list[LineFilter] = [self._styled, *super().get_line_filters(), self._ascii]
        return [line_filter for line_filter in filters if line_filter.enabled]

    @property
    def is_settled(self) -> bool:
        """Whether everything that lies on the disk is on the screen."""
        if not self.runs_complete or (self.run_directory is not None and not self.is_read):
            return False
        return all(screen.is_settled for screen in self.screen_stack if isinstance(screen, KitScreen))

    # Actions

    def show(self, name: str) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if name != self.current_mode:
            self._history = [*self._history[-20:], self.current_mode]
            self.switch_mode(name)

    action_show = show

    def action_show_ladder(self) -> None:
        """The ladder that was chosen last, else the newest one, one that runs first."""
        ladders = [summary for summary in self.runs if summary.kind == "ladder"]
        if not ladders:
            raise NotYetError("there is no ladder here", hint="kit run ladder makes one")
        if self.run_directory not in [summary.run for summary in ladders]:
            self.select_run(next((each for each in ladders if each.status == "running"), ladders[0]).run)
        self.show("run")

    async def action_back(self) -> None:
        """Close what lies on top, or return to the screen before."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self._history:
            self.switch_mode(self._history.pop())

    def action_show_help(self) -> None:
        from kit.dashboard.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def action_next_theme(self) -> None:
        """Dark, light, high contrast."""
        self.theme = following(THEMES, self.theme)
        self.say(f"theme {self.theme}", timeout=2)

    def action_save_svg(self) -> None:
        """A picture of the screen as it is, where the user says."""
        picture = self.export_screenshot(title=f"kit: {TITLES.get(self.current_mode, '')}")
        path = f"kit-{self.current_mode}.svg"
        self.ask(
            "Save this screen to",
            lambda answer: self.write(answer, picture),
            value=path,
            check=partial(check_new_file, endings=(".svg",)),
        )

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
