"""Every key of the dashboard, in one table. A user's file may give any of them another key, by its id.

The palette and the help screen read this table too, so what is not here does not exist; an action's docstring says only what
is not here.
"""

from dataclasses import dataclass

from textual.binding import Binding, BindingType

SCREENS = ("runs", "run", "rank", "architectures", "submission", "recipes", "system")
TITLES = {name: name.capitalize() for name in SCREENS}

Row = tuple[str, str, str, str, bool]
"""Id within the scope, keys, action, what it does, whether the bottom line shows it."""

_TABLE: dict[str, tuple[Row, ...]] = {
    "app": (
        *((name, str(number), f"show('{name}')", TITLES[name], False) for number, name in enumerate(SCREENS, 1)),
        ("ladder", "8", "show_ladder", "Newest ladder", False),
        ("help", "question_mark,f1", "show_help", "Help", True),
        ("palette", "ctrl+p", "command_palette", "All actions", False),
        ("theme", "t", "next_theme", "Next theme", False),
        ("screenshot", "ctrl+s", "save_svg", "Save this screen as SVG", False),
        ("quit", "q,ctrl+c", "quit", "Quit", True),
    ),
    "screen": (
        ("filter", "slash", "filter", "Filter", True),
        ("copy", "c", "copy", "Copy", True),
        ("export", "e", "export", "Export", True),
        ("back", "escape", "back", "Back", False),
    ),
    "runs": (
        ("open", "enter", "open", "Open", True),
        ("start", "s", "start", "Start", True),
        ("stop", "x", "stop", "Stop", True),
        ("continue", "r", "continue", "Continue", True),
        ("mark", "space", "mark", "Mark", True),
        ("compare", "v", "compare", "Compare", True),
        ("remove", "delete,d", "remove", "Remove", True),
        ("sort", "o", "sort", "Sort by next column", False),
    ),
    "run": (
        ("curve", "m", "next_curve", "Curve", True),
        ("log_scale", "l", "log_scale", "Log scale", True),
        ("scope", "p", "next_phase", "Phase", True),
        ("stop", "x", "stop", "Stop", True),
        ("continue", "r", "continue", "Continue", False),
        ("panel", "v", "next_panel", "Log or step", True),
        ("follow", "f", "follow", "Follow the log", False),
    ),
    "rank": (
        ("metric", "m", "next_metric", "Metric", True),
        ("cells", "b", "by_cell", "By cell", True),
        ("next", "n", "step(1)", "Step forward", True),
        ("previous", "p", "step(-1)", "Step back", True),
        ("play", "space", "play", "Play", True),
        ("truth", "u", "truth", "Truth", True),
        ("opponent", "a", "opponent", "Add an opponent", False),
        ("panel", "v", "next_panel", "Panel", True),
        ("open", "o", "open", "Open the architecture", False),
    ),
    "architectures": (
        ("detail", "v", "detail", "Drawing", True),
        ("front", "f", "front", "Pareto front", True),
        ("edit", "i", "edit", "Edit code", True),
        ("mark", "space", "mark", "Mark", True),
        ("unmark", "u", "unmark", "Unmark all", False),
        ("onnx", "x", "onnx", "ONNX export", True),
        ("sort", "o", "sort", "Sort by next column", False),
        ("reverse", "r", "reverse", "Reverse the order", False),
        ("pool", "p", "pool", "Pool file", True),
    ),
    "submission": (
        ("build", "b", "build", "Build", True),
        ("reproduce", "p", "reproduce", "Reproduce", True),
        ("check", "u", "check", "Check again", True),
        ("failures", "f", "only_failures", "Only failures", True),
        ("open", "o", "open", "Open a file", True),
        ("next", "n", "next_archive", "Next archive", False),
        ("panel", "v", "next_panel", "Panel", True),
        ("stop", "x", "stop_job", "Stop", False),
    ),
    "recipes": (
        ("plan", "l", "plan", "Plan", True),
        ("run", "r", "run_recipe", "Run", True),
        ("profile", "p", "next_profile", "Profile", True),
        ("override", "o", "override", "Set", True),
        ("mark", "space", "mark", "Mark", True),
        ("difference", "d", "difference", "Difference", True),
        ("new", "n", "copy_recipe", "Copy to a file", True),
        ("written", "f", "only_written", "Hide defaults", False),
        ("panel", "v", "next_panel", "Panel", False),
        ("again", "u", "read_again", "Read again", False),
    ),
    "system": (),
    "table": (
        ("up", "up,k", "cursor('up')", "Row up", False),
        ("down", "down,j", "cursor('down')", "Row down", False),
        ("page_up", "pageup", "cursor('page_up')", "Page up", False),
        ("page_down", "pagedown", "cursor('page_down')", "Page down", False),
        ("home", "home,g", "cursor('home')", "First row", False),
        ("end", "end,G", "cursor('end')", "Last row", False),
        ("left", "left,h", "scroll_columns(-8)", "Scroll left", False),
        ("right", "right", "scroll_columns(8)", "Scroll right", False),
        ("select", "enter", "select", "Choose the row", False),
    ),
    "tree": (
        ("up", "up,k", "cursor_up", "Line up", False),
        ("down", "down,j", "cursor_down", "Line down", False),
        ("page_up", "pageup", "page_up", "Page up", False),
        ("page_down", "pagedown", "page_down", "Page down", False),
        ("home", "home,g", "scroll_home", "First line", False),
        ("end", "end,G", "scroll_end", "Last line", False),
        ("parent", "left,h", "cursor_parent", "Folder above", False),
        ("toggle", "enter,space", "toggle_node", "Open or close a folder", False),
    ),
    "plot": (
        ("zoom_in", "plus,equals_sign", "zoom_x_in", "Zoom in", False),
        ("zoom_out", "minus", "zoom_x_out", "Zoom out", False),
        ("zoom_y_in", "right_square_bracket", "zoom_y_in", "Zoom in vertically", False),
        ("zoom_y_out", "left_square_bracket", "zoom_y_out", "Zoom out vertically", False),
        ("left", "left", "pan_left", "Move left", False),
        ("right", "right", "pan_right", "Move right", False),
        ("up", "up", "pan_up", "Move up", False),
        ("down", "down", "pan_down", "Move down", False),
        ("reset", "0", "reset_scales", "Show everything", False),
    ),
    "start": (
        ("plan", "ctrl+l", "plan", "Plan", False),
        ("start", "ctrl+r", "start", "Start what was planned", False),
        ("cancel", "escape", "cancel", "Cancel", False),
    ),
    "editor": (
        ("copy", "ctrl+y", "copy", "Copy the code", False),
        ("cancel", "escape", "cancel", "Cancel", False),
    ),
    "dialog": (
        ("cancel", "escape", "cancel", "Cancel", False),
        ("yes", "y", "yes", "Yes", False),
        ("no", "n", "cancel", "No", False),
    ),
}


def bindings(scope: str) -> list[BindingType]:
    """The bindings of a scope, for a class's `BINDINGS`."""
    return [Binding(keys, action, text, show=show, id=f"{scope}.{name}") for name, keys, action, text, show in _TABLE[scope]]


def ids() -> list[str]:
    """The id of every binding, as a user's file names it."""
    return [f"{scope}.{row[0]}" for scope, rows in _TABLE.items() for row in rows]


@dataclass(frozen=True)
class Action:
    """A row of the table."""

    scope: str
    id: str
    keys: str
    name: str
    text: str


def actions(*, all_scopes: bool = False) -> list[Action]:
    """What can be done; with `all_scopes` also inside tables, plots and dialogs."""
    return [
        Action(scope, f"{scope}.{name}", keys, action, text)
        for scope, rows in _TABLE.items()
        for name, keys, action, text, _ in rows
        if all_scopes or scope in ("app", "screen", *SCREENS)
    ]
