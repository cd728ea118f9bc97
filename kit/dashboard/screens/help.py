"""What every key does, and where the user's own keys go."""

from collections.abc import Iterable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kit.dashboard.bindings import TITLES, actions
from kit.dashboard.screens.base import KitScreen
from kit.dashboard.settings import settings_path
from kit.dashboard.widgets.parts import Part

_HEADINGS = {
    "app": "Everywhere",
    "screen": "On every screen",
    "table": "In tables",
    "plot": "In plots",
    "start": "When starting a run",
    "dialog": "In dialogs",
}
_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


class HelpScreen(KitScreen):
    """The table of keys as it is now."""

    AUTO_FOCUS = "#help"

    def compose_body(self) -> Iterable[Widget]:
        with VerticalScroll(id="help"):
            yield Static(self._text(), markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to filter, copy or export here."""
        return action not in ("filter", "copy", "export")

    async def action_back(self) -> None:
        self.dismiss()

    def _text(self) -> Content:
        user_keys = dict(self.app.options.settings.keys)
        parts: list[Part] = []
        scope = ""
        for action in actions(all_scopes=True):
            if action.scope != scope:
                scope = action.scope
                parts.append(
                    (f"\n{_HEADINGS.get(scope) or TITLES.get(scope) or scope.capitalize()}\n", "bold $text-primary")
                )
            keys = ", ".join(_NAMES.get(key, key) for key in user_keys.get(action.id, action.keys).split(","))
            parts += [(f"  {keys:<18}", "$text-accent"), action.text, (f"   {action.id}\n", "$text-muted")]
        path = settings_path()
        parts.append((f"\nYour own keys and theme go into {path}:\n", "bold"))
        parts.append('\n  theme = "kit-light"\n\n  [keys]\n  "app.quit" = "ctrl+q"\n  "runs.start" = "n,f2"\n')
        return Content.assemble(*parts)
