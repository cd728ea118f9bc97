"""Light, dark, high contrast; and a last resort for terminals that show nothing but ASCII."""

import os
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

KIT_THEMES = (
    Theme(
        name="kit-dark",
        primary="#7aa2f7",
        secondary="#565f89",
        accent="#e0af68",
        success="#9ece6a",
        warning="#e0af68",
        error="#f7768e",
        foreground="#c8d0e8",
        background="#14161f",
        surface="#191c28",
        panel="#232738",
        dark=True,
        variables={"block-cursor-text-style": "none", "footer-key-foreground": "#7aa2f7", "text-muted": "#7f88a8"},
    ),
    Theme(
        name="kit-light",
        primary="#2257a8",
        secondary="#7f8aa3",
        accent="#9a5b00",
        success="#2e7d32",
        warning="#9a5b00",
        error="#b3261e",
        foreground="#1c2333",
        background="#fafafa",
        surface="#f0f2f6",
        panel="#e2e6ee",
        dark=False,
        variables={"block-cursor-text-style": "none", "footer-key-foreground": "#2257a8", "text-muted": "#6a7388"},
    ),
    Theme(
        name="kit-contrast",
        primary="#ffff00",
        secondary="#ffffff",
        accent="#00ffff",
        success="#00ff00",
        warning="#ffff00",
        error="#ff6060",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        dark=True,
        luminosity_spread=0.3,
        text_alpha=1.0,
        variables={
            "block-cursor-foreground": "#000000",
            "block-cursor-background": "#ffff00",
            "block-cursor-text-style": "bold",
            "text-muted": "#ffffff",
            "footer-key-foreground": "#ffff00",
            "border": "#ffffff",
        },
    ),
)

_ASCII = {
    **dict.fromkeys("─━═╌┄┈╴╶╸╺▔▁⎯", "-"),
    **dict.fromkeys("│┃║╎┆┊╵╷╹╻▏▕▎▍▌▐", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋╭╮╰╯╔╗╚╝╠╣╦╩╬╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫┍┎┑┒┕┖┙┚┝┞┟┠┡┢┥┦┧┨┩┪┭┮┯┰┱┲┵┶┷┸┹┺┽┾┿╀╁╂╃╄╅╆╇╈╉╊", "+"),
    **dict.fromkeys("█▉▊▋▓▇▆▅▄▃▂▀▖▗▘▙▚▛▜▝▞▟■●◆", "#"),
    **dict.fromkeys("░▒·•∙▪", "."),
    **dict.fromkeys("▶▸►→▷", ">"),
    **dict.fromkeys("◀◂◄←", "<"),
    **dict.fromkeys("▲↑▴", "^"),
    **dict.fromkeys("▼↓▾", "v"),
    **dict.fromkeys("✓✔", "+"),
    **dict.fromkeys("✗✘\u00d7\u2a2f", "x"),
    **dict.fromkeys("○◌", "o"),
    **dict.fromkeys("◉◈", "@"),
    "…": "~",
    "\u2013": "-",
    "—": "-",
    "≥": ">",
    "≤": "<",
    "Δ": "d",
    "τ": "t",
    "\N{GREEK SMALL LETTER RHO}": "p",
}


NO_STYLE = Style()


class AsciiFilter(LineFilter):
    """Puts the nearest ASCII character in place of every other, whatever painted it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else Segment(to_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


class StyledFilter(LineFilter):
    """Gives every segment a style: Textual's filter for NO_COLOR expects one, plots leave it out."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.style is not None else Segment(segment.text, NO_STYLE, segment.control)
            for segment in segments
        ]


@lru_cache(4096)
def to_ascii(text: str) -> str:
    """`text` in ASCII, as wide as it was."""
    return "".join(map(_ascii_char, text))


def _ascii_char(char: str) -> str:
    if char.isascii():
        return char
    if "\u2800" <= char <= "\u28ff":
        return " " if char == "\u2800" else "*"
    return _ASCII.get(char) or "?" * cell_len(char)


def shows_unicode() -> bool:
    """Whether the terminal is likely to show more than ASCII. `KIT_ASCII=1` says that it does not."""
    if os.environ.get("KIT_ASCII", "") not in ("", "0"):
        return False
    if os.environ.get("TERM", "") in ("dumb", "vt100", "vt102", "vt220"):
        return False
    named = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "UTF-8"
    return "utf" in named.lower()
