"""A run's log as the events in it."""

from pathlib import Path

from kit.events import Event, from_line


def read_events(path: Path) -> list[Event]:
    """Every event that can be read, oldest first; there may be no log yet."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [event for line in lines if (event := from_line(line)) is not None]
