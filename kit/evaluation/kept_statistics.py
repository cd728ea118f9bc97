"""Calibrated BN statistics on disk: sub-networks that are scored again on more images are calibrated once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from kit.files import storage_errors, write_bytes
from kit.search_space import Architecture

SUFFIX = ".safetensors"


class KeptStatistics:
    """One flat tensor per architecture, in files that are named after their SHA-256; a damaged file counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, Path] | None = None

    def load(self, architectures: Sequence[Architecture]) -> list[Tensor] | None:
        """What was kept when this was first called, in their order; None unless it is there for all of them."""
        if self._places is None:
            self._places = {code: path for path in sorted(self.folder.glob(f"*{SUFFIX}")) for code in self._read(path)}
        found: dict[str, Tensor] = {}
        for architecture in architectures:
            path = self._places.get(architecture.code)
            if path is not None and architecture.code not in found:
                found |= self._read(path)
        missing = any(architecture.code not in found for architecture in architectures)
        return None if missing else [found[architecture.code] for architecture in architectures]

    def save(self, architectures: Sequence[Architecture], statistics: Sequence[Tensor]) -> None:
        """Keep what calibration made. Raises `StorageError`."""
        data = save({each.code: values.cpu() for each, values in zip(architectures, statistics, strict=True)})
        write_bytes(self.folder / f"{hashlib.sha256(data).hexdigest()}{SUFFIX}", data)

    def _read(self, path: Path) -> dict[str, Tensor]:
        with storage_errors("read", path):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.name.removesuffix(SUFFIX):
            return {}
        try:
            return load(data)
        except SafetensorError:
            return {}
