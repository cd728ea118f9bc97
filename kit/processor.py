"""What this machine computes with, by name: figures of speed belong to it."""

import platform
import re
from pathlib import Path

ABOUT = Path("/proc/cpuinfo")


def processor_name() -> str:
    """The model that the operating system names, else the architecture."""
    about = ABOUT.read_text(encoding="utf-8", errors="replace") if ABOUT.exists() else ""
    named = re.search(r"^model name\s*: (.+)$", about, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()
