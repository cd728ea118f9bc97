"""Numbers and foreign text as a terminal may show them."""

import os
import re
from pathlib import Path

SIZES = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` on one line, without what a terminal would obey instead of show."""
    return _CONTROL.sub("·", text) if _CONTROL.search(text) else text


def shown_path(path: Path) -> str:
    """A path as short as it can be: from the current folder if it lies there."""
    try:
        return clean(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))
    except OSError:
        return clean(str(path))


def duration(seconds: float | None) -> str:
    """A time span as people say it: 45 s, 3 min 20 s, 2 h 5 min; `-` when it is unknown."""
    if seconds is None:
        return "-"
    whole = max(0, round(min(seconds, 1e12)))
    for size, unit, smaller, small_unit in SIZES:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size:,} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with fixed decimals; `-` when there is none."""
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}f}"


def percent(fraction: float | None) -> str:
    """A part of a whole, rounded down: 100 % only when everything is done."""
    return "-" if fraction is None else f"{int(fraction * 100)} %"


def count(value: int | None) -> str:
    """A whole number with thousands; `-` when there is none."""
    return "-" if value is None else f"{value:,}"


def short_number(value: float | None) -> str:
    """A count in three digits and a unit: 2.41 G, 812 M, 45.1 k; `-` for None and nan."""
    if value is None or value != value:
        return "-"
    for unit, name in UNITS:
        if abs(value) >= 0.9995 * unit:
            scaled = value / unit
            return f"{scaled:,.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {name}"
    return f"{value:.0f}"


def size(amount: float | None) -> str:
    """Bytes in decimal units; `-` when unknown."""
    if amount is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
