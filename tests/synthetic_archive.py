"""A small, complete submission made without torch: random weights, counts made up, everything else as a run leaves it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from kit import __version__
from kit.costs import costs, layers
from kit.events import (
    EvaluationFinished,
    EvaluationStarted,
    Event,
    PhaseFinished,
    PhaseStarted,
    RankMeasured,
    RunFinished,
    RunStarted,
    StepDone,
    SubnetEvaluated,
    to_line,
)
from kit.figures.drawing import draw
from kit.files import sha256_of_file
from kit.pool import Pool, draw_pool
from kit.rank_report import TRUTH_HASH
from kit.ranking.joining import join
from kit.ranking.truth_file import load_truth, shipped_truths
from kit.recipe import Profile, Recipe, load_profile, to_toml
from kit.results import dump_pool_scores
from kit.search_space import Architecture, Scale
from kit.submission import layout
from kit.submission.checks import CheckReport
from kit.submission.derived import derived_members, plots_of_run
from kit.submission.members import LocalMembers
from kit.submission.private_facts import clean_environment, clean_events, clean_profile, clean_resolved
from kit.submission.selection import Scored, by_code, default_selections
from kit.submission.tensors import expected_shapes, folded, prefixes, supernet_shapes

IMAGES = 360
EPOCHS, STEPS_PER_EPOCH = 2, 3
PHASES: list[dict[str, Any]] = [
    {"name": "pretrain", "method": "pretrain", "epochs": EPOCHS, "learning_rate": 0.1},
    {"name": "W", "method": "uniform", "epochs": EPOCHS, "learning_rate": 0.01, "paths": 2},
]
CELLS = {"partition": {"stages": [4], "cells": [["2"]], "rest": True}}
CELL_PHASE = {"name": "SSE-0", "method": "candidates", "cell": 0, "epochs": EPOCHS, "learning_rate": 0.01, "candidates": 2}
ENVIRONMENT = {
    "python": "3.11.7",
    "implementation": "CPython",
    "system": "Linux",
    "machine": "x86_64",
    "byteorder": "little",
    "packages": {"torch": "2.14.1+cpu", "timm": "1.0.31", "numpy": "2.4.6", "safetensors": "0.8.0"},
    "compute": {"threads": 1, "cpu_capability": "AVX2", "device": "cpu"},
}


@dataclass(frozen=True)
class Synthetic:
    """What all members are made from."""

    profile: Profile
    recipe: Recipe
    pool: Pool
    correct: tuple[int, ...]

    @property
    def members(self) -> int:
        return 0 if self.recipe.partition is None else self.recipe.partition.size

    @property
    def run(self) -> str:
        return f"{self.recipe.name}-{self.profile.name}-s0"

    @property
    def scale(self) -> Scale:
        return self.profile.scale


def synthetic(*, profile: str = "nano", size: int = 120, few_shot: bool = False, pool: Pool | None = None) -> Synthetic:
    """A recipe on a profile, a pool, and how many images each architecture got right."""
    chosen = load_profile(profile)
    phases = [*PHASES, *([CELL_PHASE] if few_shot else [])]
    document = {"name": "small", "title": "for tests", "phases": phases, **(CELLS if few_shot else {})}
    scored = pool or draw_pool(chosen.published_space, 200, 0).head(size)
    # Larger networks tend to be right more often, as in a run.
    noise = np.random.default_rng(0).integers(0, 60, len(scored))
    correct = tuple(int(100 + 8 * sum(a.depths) + bonus) for a, bonus in zip(scored.architectures, noise, strict=True))
    return Synthetic(chosen, Recipe.model_validate_json(json.dumps(document)), scored, correct)


def data_members(source: Synthetic, **settings: Any) -> dict[str, bytes]:
    """What a run and its exports give: everything but documents and seals. `settings` change `resolved.json`."""
    pool, profile = source.pool, source.profile
    accuracies = [count / IMAGES for count in source.correct]
    supernet = make_supernet(source)
    sha256 = LocalMembers({layout.SUPERNET: supernet}).sha256(layout.SUPERNET)
    rows = [(name, a.code, count, IMAGES) for (name, a), count in zip(pool, source.correct, strict=True)]
    rank = make_rank(source, accuracies)
    truth = load_truth(shipped_truths()["nano"])
    assert truth.made_with is not None
    resolved = {
        "kind": "recipe",
        "recipe": source.recipe.model_dump(mode="json"),
        "profile": profile.model_dump(mode="json", exclude={"runtime", "data"}),
        "seed": 0,
        "data_fingerprint": truth.provenance["data_fingerprint"],
        "data_source": truth.made_with.source,
        "classes": truth.made_with.classes,
        "pool_fingerprint": pool.fingerprint,
        "weights_sha256": None,
        "kit": __version__,
        "inputs": {"data": f"{profile.data}:/home/someone/data", "pool": None, "weights": None},
        **settings,
    }
    data = {
        layout.SUBMISSION: challenge_file(pool, accuracies, layout.SUBMISSION),
        layout.POOL: challenge_file(pool, [0.0] * len(pool), layout.POOL),
        layout.SUPERNET: supernet,
        layout.EVALUATIONS: dump_pool_scores(rows, sha256),
        layout.RECIPE: to_toml(source.recipe).encode(),
        layout.PROFILE: clean_profile(profile.model_copy(update={"data": f"{profile.data}:/home/someone/data"})),
        layout.RESOLVED: layout.dump_json(layout.RESOLVED, clean_resolved(resolved)),
        layout.ENVIRONMENT: layout.dump_json(layout.ENVIRONMENT, clean_environment({**ENVIRONMENT, "user": "someone"})),
        layout.EVENTS: b"".join(clean_events(to_line(event) for event in make_events(source, rank))),
        **make_exports(source, supernet, sha256),
    }
    return data if rank is None else {**data, layout.RANK: layout.dump_json(layout.RANK, rank)}


def whole(data: Mapping[str, bytes]) -> dict[str, bytes]:
    """All members but the seals."""
    figures = {path: draw(plot) for path, plot in plots_of_run(LocalMembers(data)).items()}
    return {**data, **figures, **derived_members({**data, **figures})}


def challenge_file(pool: Pool, accuracies: list[float], path: str) -> bytes:
    rows = {name: {"acc": accuracy, "arch": a.code} for (name, a), accuracy in zip(pool, accuracies, strict=True)}
    return layout.dump_json(path, rows)


def make_supernet(source: Synthetic) -> bytes:
    """Random weights of every sub-supernet."""
    rng = np.random.default_rng(1)
    shapes = supernet_shapes(source.profile.search_space, source.profile.num_classes, source.members)
    note: dict[str, Any] = {
        "format": 1,
        "num_classes": source.profile.num_classes,
        "space": source.profile.search_space.to_json(),
    }
    if source.recipe.partition is not None:
        note["cells"] = [cell.to_json() for cell in source.recipe.partition.subspaces(source.profile.search_space)]
    return save({name: random_tensor(name, shape, rng) for name, shape in shapes.items()}, {"kit": canonical(note)})


def random_tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    values = rng.standard_normal(shape, np.float32) * np.float32(0.2)
    return np.abs(values) + np.float32(0.5) if name.endswith(("running_var", "bn1.weight")) else values


def make_exports(source: Synthetic, supernet: bytes, sha256: str) -> dict[str, bytes]:
    """Calibrated weights and ONNX files of the default selection, and their index."""
    from safetensors.numpy import load

    tensors, profile = load(supernet), source.profile
    scored = [
        Scored(a, count, IMAGES, name, costs(a, source.scale).macs)
        for (name, a), count in zip(source.pool, source.correct, strict=True)
    ]
    found = {entry.code: entry for entry in scored}
    rng = np.random.default_rng(2)
    files: dict[str, bytes] = {}
    models = []
    for code, selections in by_code(default_selections(scored)).items():
        entry = found[code]
        weights = calibrate(source, entry.architecture, tensors, rng)
        note = {
            "format": 1,
            "num_classes": profile.num_classes,
            "code": code,
            "correct": entry.correct,
            "images": IMAGES,
            "kit": __version__,
        }
        file, calibrated = layout.onnx_path(code), layout.calibrated_path(code)
        files[calibrated] = save(weights, {"kit": canonical(note)})
        files[file] = make_onnx(source, entry, weights)
        hashes = LocalMembers(files)
        models.append(
            {
                "code": code,
                "file": file,
                "size": len(files[file]),
                "sha256": hashes.sha256(file),
                "selections": selections,
                "accuracy": entry.accuracy,
                "correct": entry.correct,
                "images": IMAGES,
                "macs": entry.macs,
                "params": costs(entry.architecture, source.scale).params,
                "weights": calibrated,
                "weights_sha256": hashes.sha256(calibrated),
                "max_abs_difference": 1e-6,
            }
        )
    size = profile.resolution
    index = {
        "format": 1,
        "opset": 18,
        "input": {"name": "images", "shape": ["batch", 3, size, size]},
        "output": {"name": "logits", "shape": ["batch", profile.num_classes]},
        "normalization": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "supernet_sha256": sha256,
        "models": models,
    }
    return {**files, layout.ONNX_INDEX: layout.dump_json(layout.ONNX_INDEX, index)}


def calibrate(
    source: Synthetic, architecture: Architecture, tensors: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Leading slices of the member that owns the architecture, with other BN statistics."""
    cells = [] if source.recipe.partition is None else source.recipe.partition.subspaces(source.profile.search_space)
    prefix = prefixes(len(cells))[next((i for i, cell in enumerate(cells) if architecture.depths in cell.depth_set), 0)]
    result = {}
    for name, shape in expected_shapes(architecture, source.profile.search_space, source.profile.num_classes).items():
        fresh = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        piece = (
            random_tensor(name, shape, rng) if fresh else tensors[f"{prefix}{name}"][tuple(slice(size) for size in shape)]
        )
        result[name] = np.array(piece, order="C")
    return result


def make_onnx(source: Synthetic, entry: Scored, weights: dict[str, Any]) -> bytes:
    """Convolutions with BN folded in, a pool and a linear layer; shortcuts are added."""
    architecture, profile = entry.architecture, source.profile
    nodes, constants = [], []
    for name, weight, bias in folded(weights.__getitem__, architecture, profile.search_space, profile.num_classes):
        constants += [numpy_helper.from_array(np.asarray(weight, np.float32), f"{name}.weight")]
        constants += [numpy_helper.from_array(np.asarray(bias, np.float32), f"{name}.bias")]
    at = "images"
    for layer in layers(architecture, source.scale):
        inputs = [at, f"{layer.name}.weight", f"{layer.name}.bias"]
        if layer.name == "fc":
            nodes += [
                helper.make_node("GlobalAveragePool", [at], ["pooled"], "pool"),
                helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
                helper.make_node("Gemm", ["flat", *inputs[1:]], ["logits"], "fc", transB=1),
            ]
        elif "downsample" not in layer.name:
            half = layer.kernel // 2
            nodes.append(helper.make_node("Conv", inputs, [layer.name], layer.name, pads=[half] * 4))
            at = layer.name
    size = profile.resolution
    graph = helper.make_graph(
        nodes,
        "resnet48_subnet",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", profile.num_classes])],
        constants,
    )
    model = helper.make_model(graph, producer_name="kit", ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    metadata = {
        "code": entry.code,
        "recipe": source.recipe.name,
        "profile": profile.name,
        "accuracy": repr(entry.accuracy),
        "kit": __version__,
        "mean": "0.5 0.5 0.5",
        "std": "0.25 0.25 0.25",
    }
    helper.set_model_props(model, dict(sorted(metadata.items())))
    data: bytes = model.SerializeToString(deterministic=True)
    assert onnx.load_from_string(data) == model
    return data


def make_rank(source: Synthetic, accuracies: list[float]) -> dict[str, Any] | None:
    path = shipped_truths().get(source.profile.name)
    if path is None:
        return None
    report = join(dict(zip(source.pool.codes, accuracies, strict=True)), load_truth(path)).rank(source.scale)
    return json.loads(json.dumps({**report.to_json(), TRUTH_HASH: sha256_of_file(path)}))


def make_events(source: Synthetic, rank: dict[str, Any] | None) -> Iterator[Event]:
    """The log of a run, with what a log holds of the machine."""
    phases = source.recipe.phases
    yield RunStarted(
        time=1.5, run=source.run, recipe=source.recipe.name, profile=source.profile.name, seed=0, pid=4711,
        phases=tuple(phase.name for phase in phases), passes=100, continued=False,
    )  # fmt: skip
    codes = source.pool.codes
    for number, phase in enumerate(phases):
        steps = EPOCHS * STEPS_PER_EPOCH
        yield PhaseStarted(
            time=2.0 + number, phase=phase.name, key=f"{number}" * 64, method=phase.method, epochs=EPOCHS, steps=steps,
            paths_per_step=phase.paths_per_step, first_step=0, subspace=source.profile.search_space.describe(),
        )  # fmt: skip
        for step in range(steps):
            losses = tuple(2.3 - 0.1 * number - 0.05 * step + 0.01 * path for path in range(phase.paths_per_step))
            yield StepDone(
                time=2.25 + number, phase=phase.name, step=step, epoch=step // STEPS_PER_EPOCH, learning_rate=0.1,
                seconds=0.125, data_seconds=0.0625, losses=losses, codes=codes[: len(losses)],
            )  # fmt: skip
        yield PhaseFinished(time=2.5 + number, phase=phase.name, key=f"{number}" * 64, steps=steps, loss=2.0)
    yield EvaluationStarted(time=9.0, subnets=len(codes), done=0, images=IMAGES, calibration_images=64)
    for done, (code, correct) in enumerate(zip(codes, source.correct, strict=True), 1):
        yield SubnetEvaluated(
            time=9.5, code=code, correct=correct, images=IMAGES, done=done, subnets=len(codes), seconds=0.25
        )
    yield EvaluationFinished(time=10.0, subnets=len(codes), predictions="/home/someone/runs/x/predictions.json")
    if rank is not None:
        yield RankMeasured(time=10.5, truth=f"{source.profile.name}.json", report=rank)
    yield RunFinished(time=11.0, run=source.run)


def failed_rules(report: CheckReport) -> list[str]:
    """Ids of the rules that found something, warnings included."""
    return list(dict.fromkeys(finding.id for finding in report.checks if not finding.ok))


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
