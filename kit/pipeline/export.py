"""Sub-networks out of a scored run: calibrated weights, ONNX files, and an index of both."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import __version__
from kit.costs import costs
from kit.files import sha256_of_file, write_bytes, write_json
from kit.pipeline.scored_run import Networks
from kit.submission import layout
from kit.submission.calibrated import save_calibrated
from kit.submission.onnx_export import check_graph, check_parity, describe_graph, export_onnx

PARITY_IMAGES = 56  # eight batches of seven


@dataclass(frozen=True)
class Places:
    """Names of what is written, relative to the folder of the exports."""

    onnx: Callable[[str], str]
    weights: Callable[[str], str]
    index: str


IN_ARCHIVE = Places(layout.onnx_path, layout.calibrated_path, layout.ONNX_INDEX)
FLAT = Places(lambda code: f"{code}.onnx", lambda code: f"{code}.safetensors", "index.json")


Exported = tuple[dict[str, Any], float]
"""A sub-network that is calibrated, exported, compared and on disk: its entry in the index, and the seconds it took."""


def export_subnets(
    networks: Networks, chosen: Mapping[str, Sequence[str]], folder: Path, places: Places = FLAT
) -> Iterator[Exported]:
    """Calibrate and export each code of `chosen` (with the names of the selections it is in), then write the index.

    Every file is checked before it is written: score, graph, agreement of ONNX Runtime and PyTorch. Raises `KitError`.
    """
    exporter = _Exporter(networks, folder, places)
    models = []
    for code in sorted(chosen):
        started = time.perf_counter()
        models.append(exporter.export(code, sorted(chosen[code])))
        yield models[-1], time.perf_counter() - started
    write_json(folder / places.index, exporter.index(models))


class _Exporter:
    def __init__(self, networks: Networks, folder: Path, places: Places) -> None:
        self.networks = networks
        self.origin = networks.origin
        self.folder = folder
        self.places = places
        self.sample = networks.sample(PARITY_IMAGES)

    def export(self, code: str, selections: list[str]) -> dict[str, Any]:
        """Write one sub-network's files; returns its entry in the index."""
        profile, scale = self.origin.profile, self.origin.scale
        architecture = scale.space.parse(code)
        network, (correct, images) = self.networks.subnet(architecture)
        data = export_onnx(network, resolution=profile.resolution, metadata=self._metadata(code, correct / images))
        check_graph(data, architecture, scale)
        difference = check_parity(data, network, self.sample)
        cost = costs(architecture, scale)
        file, weights = self.places.onnx(code), self.places.weights(code)
        save_calibrated(network, architecture, (correct, images), self.folder / weights)
        write_bytes(self.folder / file, data)
        return {
            "code": code,
            "file": file,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "selections": selections,
            "accuracy": correct / images,
            "correct": correct,
            "images": images,
            "macs": cost.macs,
            "params": cost.params,
            "weights": weights,
            "weights_sha256": sha256_of_file(self.folder / weights),
            "max_abs_difference": difference,
        }

    def index(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        data = self.origin.data
        return {
            "format": 1,
            **describe_graph(resolution=self.origin.profile.resolution, num_classes=data.num_classes),
            "normalization": {"mean": list(data.mean), "std": list(data.std)},
            "supernet_sha256": self.origin.weights_sha256,
            "models": models,
        }

    def _metadata(self, code: str, accuracy: float) -> dict[str, str]:
        data = self.origin.data
        return {
            "code": code,
            "recipe": self.origin.recipe,
            "profile": self.origin.profile.name,
            "accuracy": repr(accuracy),
            "kit": __version__,
            "mean": " ".join(map(repr, data.mean)),
            "std": " ".join(map(repr, data.std)),
        }
