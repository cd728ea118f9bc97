"""What all seven screens have: the lines above and below, filter, copy, export, and the app's news."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from kit.dashboard.bindings import bindings
from kit.dashboard.widgets.bars import FilterBar, TopBar
from kit.watch.log_reader import Reading

if TYPE_CHECKING:
    from kit.dashboard.app import DashboardApp

Rows = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Titles and rows to export."""


class KitScreen(Screen[None]):
    """Override `compose_body`, and of the hooks below it whatever the screen has something for."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen")]
    NAME: ClassVar[str] = ""
    """Its key in `bindings.SCREENS`."""
    FILTER_HELP: ClassVar[str] = ""
    """What can be typed into the filter; without it the screen has none."""
    NEWS: ClassVar[tuple[str, ...]] = ("reading", "run_directory")
    """The app's reactives whose changes call `refresh_content`."""

    _is_stale = False

    @property
    def dashboard(self) -> "DashboardApp":
        return cast("DashboardApp", self.app)

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield from self.compose_body()
        yield FilterBar(compact=True)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Listen to the app."""
        self.query_one(TopBar).active = self.NAME
        for name in self.NEWS:
            self.watch(self.app, name, self._news, init=False)
        if "reading" not in self.NEWS:
            self.watch(self.app, "reading", self._update_bar, init=False)
        self._update()

    def _news(self) -> None:
        # A screen that nobody sees looks again when it is shown.
        if self.is_active or any(isinstance(screen, KitScreen) and screen is self for screen in self.app.screen_stack):
            self._update()
        else:
            self._is_stale = True

    def on_screen_resume(self) -> None:
        """Catch up with what happened behind the screen's back."""
        if self._is_stale:
            self._update()
        else:
            self._update_bar()

    def _update(self) -> None:
        self._is_stale = False
        self._update_bar()
        self.refresh_content(self.dashboard.reading)

    def _update_bar(self) -> None:
        app = self.dashboard
        bar = self.query_one(TopBar)
        bar.run_name = "" if app.run_directory is None else app.run_directory.id
        bar.status = app.reading.status if app.run_directory is not None else ""

    # Hooks

    @property
    def is_settled(self) -> bool:
        """Whether no worker of the screen still reads what it shows: `--once` and tests wait for it."""
        return True

    def compose_body(self) -> Iterable[Widget]:
        """The screen's own widgets."""
        raise NotImplementedError

    def refresh_content(self, reading: Reading) -> None:
        """Something that the app knows has changed: show it. Called once at the start, then at most some times a second."""

    def apply_filter(self, text: str) -> None:
        """Show only what matches; an empty text shows everything."""

    def copy_text(self) -> str | None:
        """What `copy` puts onto the clipboard."""
        return None

    def export_rows(self) -> Rows | None:
        """What `export` writes."""
        return None

    # Actions

    def action_filter(self) -> None:
        """Open the filter."""
        if self.FILTER_HELP:
            self.query_one(FilterBar).open(self.FILTER_HELP)
        else:
            self.dashboard.say("there is nothing to filter on this screen", severity="warning")

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Filter while typing."""
        self.apply_filter(message.text)

    def on_filter_bar_left(self) -> None:
        """Back to what the filter is about."""
        self.focus_body()

    def focus_body(self) -> None:
        """Give the keyboard to the screen's main widget."""
        target = next(iter(self.query(self.AUTO_FOCUS or "*")), None)
        self.set_focus(target if isinstance(target, Widget) else None)

    async def action_back(self) -> None:
        """Drop the filter, else go back."""
        bar = self.query_one(FilterBar)
        if bar.is_open:
            bar.close()
            self.focus_body()
        else:
            await self.dashboard.action_back()

    def action_copy(self) -> None:
        """Onto the clipboard, through the terminal (also over ssh)."""
        text = self.copy_text()
        if text is None:
            self.dashboard.say("there is nothing to copy yet", severity="warning")
            return
        self.app.copy_to_clipboard(text)
        self.dashboard.say(f"copied: {text if len(text) <= 60 else text[:59] + '…'}", timeout=2)

    def action_export(self) -> None:
        """Into a new file, as JSON or CSV by its ending."""
        from kit.dashboard.app import check_new_file

        rows = self.export_rows()
        if rows is None or not rows[1]:
            self.dashboard.say("there is nothing to export yet", severity="warning")
            return
        run = self.dashboard.run_directory
        name = f"kit-{self.NAME}-{run.id}.csv" if run is not None and self.NAME != "runs" else f"kit-{self.NAME}.csv"
        self.dashboard.ask(
            f"Export {len(rows[1]):,} rows to",
            lambda path: self.dashboard.write(path, as_text(rows, path)),
            value=name,
            detail="a new file; .json for JSON, anything else is CSV",
            check=check_new_file,
        )


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
