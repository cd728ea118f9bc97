"""Pictures drawn once and kept: another version of the plotting library must not change what was published."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from kit.errors import StorageError
from kit.figures.drawing import draw
from kit.figures.plot import Plot
from kit.files import content_key, read_json, storage_errors, write_bytes, write_json

INDEX = "drawn.json"


def draw_once(plots: Mapping[str, Plot], folder: Path) -> dict[str, bytes]:
    """Each plot's picture by its path in `folder`: the one kept of this very plot, or one drawn and kept now."""
    try:
        known = read_json(folder / INDEX)
    except StorageError:  # absent or damaged
        known = {}
    pictures, index = {}, {}
    for path, plot in plots.items():
        key = content_key(asdict(plot))
        svg = _kept(folder / path, known.get(path), key)
        if svg is None:
            svg = draw(plot)
            write_bytes(folder / path, svg)
        pictures[path], index[path] = svg, {"plot": key, "sha256": hashlib.sha256(svg).hexdigest()}
    if index != known:
        write_json(folder / INDEX, index)
    return pictures


def _kept(path: Path, entry: object, key: str) -> bytes | None:
    if not isinstance(entry, dict) or entry.get("plot") != key or not path.is_file():
        return None
    with storage_errors("read", path):
        svg = path.read_bytes()
    return svg if hashlib.sha256(svg).hexdigest() == entry.get("sha256") else None
