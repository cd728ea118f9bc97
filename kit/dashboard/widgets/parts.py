"""Pieces of styled text that several widgets are made of: bars, blocks, marks and styles of states."""

from collections.abc import Sequence
from statistics import fmean

from textual.content import Content

Part = str | tuple[str, str]
"""Text, or text with a style; never markup."""
EIGHTHS = " ▏▎▍▌▋▊▉"
BLOCKS = "▁▂▃▄▅▆▇█"
STATUS_STYLES = {
    "running": "$text-success",
    "finished": "$text-primary",
    "stopped": "$text-warning",
    "crashed": "bold $text-error",
    "damaged": "bold $text-error",
    "queued": "$text-muted",
}
STATUS_MARKS = {"running": "▶", "finished": "✓", "stopped": "■", "crashed": "✗", "damaged": "✗", "queued": "○"}
PHASE_STYLES = {
    "done": "$text-success",
    "reused": "$text-success",
    "running": "bold $text-accent",
    "waiting": "$text-muted",
    "failed": "bold $text-error",
}
PHASE_MARKS = {"done": "✓", "reused": "↺", "running": "▶", "waiting": "·", "failed": "✗"}


def muted(text: str) -> Content:
    """Text that stands back."""
    return Content.styled(text, "$text-muted")


def cut(text: str, width: int) -> str:
    """`text` in at most `width` characters."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def bar(fraction: float | None, width: int) -> tuple[str, str]:
    """A bar in eighths of a character: the full part, and what is missing."""
    width = max(1, width)
    full, rest = divmod(int(min(1.0, max(0.0, fraction or 0.0)) * width * 8), 8)
    done = "█" * full + (EIGHTHS[rest] if rest else "")
    return done, "░" * (width - len(done))


def block(fraction: float) -> str:
    """A character as high as `fraction` of a line."""
    return BLOCKS[min(len(BLOCKS) - 1, int(min(1.0, max(0.0, fraction)) * len(BLOCKS)))]


def blocks_of(values: Sequence[float], width: int) -> str:
    """A line of block characters, the mean of its part of `values` each."""
    width = max(1, min(width, len(values)))
    low, high = min(values), max(values)
    text = ""
    for index in range(width):
        mean = fmean(values[index * len(values) // width : (index + 1) * len(values) // width])
        text += block((mean - low) / (high - low) if high > low else 0.0)
    return text
