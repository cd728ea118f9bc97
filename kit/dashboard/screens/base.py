"""What all screens have: the lines above and below, filter, copy, export, panels, work in threads, and the app's news."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, TypeVar

from textual import getters
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from kit.dashboard.bindings import SCREENS, bindings
from kit.dashboard.host import Host, NotYetError, check_new_file
from kit.dashboard.widgets.bars import FilterBar, TopBar
from kit.dashboard.widgets.table import Rows
from kit.errors import KitError
from kit.files import user_path
from kit.watch.log_reader import Reading

T = TypeVar("T")


class KitScreen(Screen[None]):
    """Override `compose_body`, and of the hooks below it whatever the screen has something for."""

    app = getters.app(Host)
    BINDINGS = bindings("screen")
    NAME: ClassVar[str] = ""
    """Its key in `bindings.SCREENS`; the keys of that scope are its own."""
    FILTER_HELP: ClassVar[str] = ""
    """What can be typed into the filter; without it the screen has none."""
    NEWS: ClassVar[tuple[str, ...]] = ("reading", "run_directory")
    """The app's variables whose changes call `refresh_content`."""
    PANELS: ClassVar[Mapping[str, str]] = {}
    """Panels by name, each with what has the keyboard in it: where there is room for one only, a key changes it."""

    _is_stale = False

    def __init_subclass__(cls, **options: bool) -> None:
        if cls.NAME in SCREENS:
            cls.BINDINGS = bindings(cls.NAME)
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self.panel = next(iter(self.PANELS), "")
        self.words: list[str] = []
        """Of the filter, in small letters."""
        self.at_work: Counter[str] = Counter()
        """How many workers of each kind still read what the screen shows."""

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield from self.compose_body()
        yield FilterBar(compact=True)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Listen to the app."""
        self.query_one(TopBar).active = self.NAME
        if self.panel:
            self._mark_panel()
        for name in self.NEWS:
            self.watch(self.app, name, self._news, init=False)
        if "reading" not in self.NEWS:
            self.watch(self.app, "reading", self._update_bar, init=False)
        self._update()

    def _news(self) -> None:
        # A screen that nobody sees looks again when it is shown.
        if self in self.app.screen_stack:
            self._update()
        else:
            self._is_stale = True

    def on_screen_resume(self) -> None:
        """Catch up with what happened behind the screen's back."""
        if self._is_stale:
            self._update()
        else:
            self._update_bar()
        self.call_after_refresh(self.app.spare_collector)

    def _update(self) -> None:
        self._is_stale = False
        self._update_bar()
        self.refresh_content(self.app.reading)

    def _update_bar(self) -> None:
        run = self.app.run_directory
        bar = self.query_one(TopBar)
        bar.run_name = "" if run is None else run.id
        bar.status = "" if run is None else self.app.reading.status

    @property
    def is_shown(self) -> bool:
        """Whether somebody sees it, if under a dialog."""
        return self.app.screen_stack[:1] == [self]

    # Hooks

    @property
    def is_settled(self) -> bool:
        """Whether no worker of the screen still reads what it shows: `--once` and tests wait for it."""
        return not self.at_work.total()

    def compose_body(self) -> Iterable[Widget]:
        """The screen's own widgets."""
        raise NotImplementedError

    def refresh_content(self, reading: Reading) -> None:
        """Something that the app knows has changed: show it. Called once at the start, then at most some times a second."""

    def apply_filter(self, text: str) -> None:
        """Show only what matches; an empty text shows everything."""
        self.words = text.lower().split()
        self.refresh_content(self.app.reading)

    def has_words(self, text: str) -> bool:
        """Whether all words of the filter are in a text."""
        return all(word in text.lower() for word in self.words)

    def copy_text(self) -> str | None:
        """What `copy` puts onto the clipboard."""
        return None

    def export_rows(self) -> Rows | None:
        """What `export` writes."""
        return None

    # Work

    def in_thread(self, work: Callable[[], T], then: Callable[[T], object], group: str) -> None:
        """Do `work`, which may take its time with files, and then `then` with what came of it; an error is told."""
        self.at_work[group] += 1

        def finish(act: Callable[[], object]) -> None:
            self.at_work[group] -= 1
            if self.is_mounted:
                self.app.attempt(act)

        def run() -> None:
            try:
                result = work()
            except KitError as error:
                self.call_later(finish, partial(self.app.report, error))
            else:
                self.call_later(finish, partial(then, result))

        self.run_worker(run, thread=True, group=group)

    # Panels

    def open_panel(self, name: str) -> None:
        """Show a panel where there is room for one only, and give it the keyboard."""
        self.panel = name
        self._mark_panel()
        self.call_after_refresh(self._arrive)

    def _mark_panel(self) -> None:
        # A column shows one panel where rows are few; where columns are few, only the column of the current panel is shown.
        path = [each for each in self.query_one(self.PANELS[self.panel]).ancestors_with_self if isinstance(each, Widget)]
        panel, column = (next(each for each in path if each.has_class(name)) for name in ("panel", "column"))
        for each in self.query(".column"):
            each.set_class(each is column, "-active")
        for each in column.query(".panel"):
            each.set_class(each is panel, "-current")
        for name in self.PANELS:
            self.set_class(name == self.panel, f"-panel-{name}")

    def _arrive(self) -> None:
        inside = self.query(f"{self.PANELS[self.panel]}, {self.PANELS[self.panel]} *").results(Widget)
        if (target := next((widget for widget in inside if widget.focusable), None)) is not None:
            self.set_focus(target)

    def action_next_panel(self) -> None:
        self.open_panel(following(list(self.PANELS), self.panel))

    # Actions

    def action_filter(self) -> None:
        if not self.FILTER_HELP:
            raise NotYetError("there is nothing to filter on this screen")
        self.query_one(FilterBar).open(self.FILTER_HELP)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        self.apply_filter(message.text)

    def on_filter_bar_left(self) -> None:
        self.focus_body()

    def focus_body(self) -> None:
        """Give the keyboard to the screen's main widget."""
        self.set_focus(next(iter(self.query(self.AUTO_FOCUS or "*").results(Widget)), None))

    async def action_back(self) -> None:
        """Drop the filter, else go back."""
        bar = self.query_one(FilterBar)
        if bar.is_open:
            bar.close()
            self.focus_body()
        else:
            await self.app.action_back()

    def action_copy(self) -> None:
        """Onto the clipboard, through the terminal (also over ssh)."""
        text = self.copy_text()
        if text is None:
            raise NotYetError("there is nothing to copy yet")
        self.app.copy_to_clipboard(text)
        self.app.say(f"copied: {text if len(text) <= 60 else text[:59] + '…'}", timeout=2)

    def action_export(self) -> None:
        """Into a new file, as JSON or CSV by its ending."""
        rows = self.export_rows()
        if rows is None or not rows[1]:
            raise NotYetError("there is nothing to export yet")
        run = self.app.run_directory
        about = "" if run is None or self.NAME in ("runs", "compare") else f"-{run.id}"
        self.app.ask(
            f"Export {len(rows[1]):,} rows to",
            lambda path: self.app.write(path, as_text(rows, path)),
            value=f"kit-{self.NAME}{about}.csv",
            detail="a new file: .csv or .json",
            check=partial(check_new_file, endings=(".csv", ".json")),
        )


def following(options: Sequence[T], current: T) -> T:
    """The option after the current one; the first after the last, and when the current one is not among them."""
    return options[(options.index(current) + 1) % len(options)] if current in options else options[0]


def check_file(text: str) -> str:
    """What is wrong with a path that somebody names."""
    return "" if user_path(text).is_file() else "there is no such file"


def as_text(rows: Rows, path: str) -> str:
    """The text of an exported file."""
    titles, values = rows
    if path.endswith(".json"):
        return json.dumps([dict(zip(titles, row, strict=True)) for row in values], indent=1, default=str) + "\n"
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(values)
    return buffer.getvalue()
