"""Beside the curves of a search: its limits, the best so far, the front."""

from textual.content import Content

from kit.dashboard.widgets.parts import Part, cut, muted
from kit.watch.run_state import RunState
from kit.watch.search_view import SearchView
from kit.watch.text import clean, short_number

SHOWN = 20


def search_panel(state: RunState, view: SearchView | None, width: int) -> Content:
    """The panel's text, for `width` columns."""
    if view is None:
        return muted("reading what was found")
    parts: list[Part] = [("Limits\n", "bold $text-primary")]
    parts += [f" {limit}\n" for limit in view.limits_in_words] or [(" none\n", "$text-muted")]
    parts += ["\n", ("Best so far\n", "bold $text-primary")]
    for phase in state.phases:
        if phase.best is not None:
            code, accuracy = phase.best
            parts += [(f" {accuracy:.4f}", "$text-success"), (f" {clean(phase.name)}\n", "$text-muted")]
            parts.append(f" {cut(clean(code), width - 2)}\n")
    parts += ["\n", ("Front ", "bold $text-primary"), (f"of {view.scored:,} architectures\n", "$text-muted")]
    for entry in view.front[:SHOWN]:
        parts += [(f" {entry.accuracy:.4f}", "$text-success"), f" {short_number(entry.macs):>7} "]
        parts.append((f"{cut(clean(entry.code), max(1, width - 18))}\n", "$text-muted"))
    if len(view.front) > SHOWN:
        parts.append((f" and {len(view.front) - SHOWN} more\n", "$text-muted"))
    return Content.assemble(*parts)
