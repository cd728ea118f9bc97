"""Rules about weights and exports: whole, finite, of this architecture, and taken out of this very supernet."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from kit.costs import costs, pool_costs
from kit.errors import InputError
from kit.search_space import Architecture, SearchSpace
from kit.submission import layout, tensors
from kit.submission.checks.contents import Submission
from kit.submission.checks.registry import Problem, rule
from kit.submission.checks.schemas import ExportedModel
from kit.submission.onnx_file import BATCH, INPUT, OUTPUT, Initializer, OnnxFile, read_numbers
from kit.submission.tensors import Shape, TensorFile

NOTE_FORMAT = 1
VERSION = re.compile(r"\d[\w.+-]{0,30}")
ONNX_FORMAT = 1
MAX_DIFFERENCE = 1e-4
RELATIVE, ABSOLUTE = 1e-4, 1e-5
MAX_CONSTANT = 4  # axes and shapes are a few whole numbers
SELECTIONS = ("best", "code", "codes", "largest", "pareto", "smallest")
OPERATORS = {
    "Add", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Identity", "MatMul", "MaxPool", "ReduceMean", "Relu", "Reshape",
    "Squeeze", "Transpose",
}  # fmt: skip


@rule("supernet-weights", "the supernet's file has every tensor of the profile's network, and cells as the recipe says")
def _supernet_weights(submission: Submission) -> Iterator[Problem]:
    file = layout.SUPERNET
    partition = submission.recipe.partition
    members = 0 if partition is None else partition.size
    with submission.tensors(file) as weights:
        wanted = tensors.supernet_shapes(submission.space, submission.profile.num_classes, members)
        yield from (Problem(file, message) for message in _shape_problems(wanted, weights))
        note, notes = weights.note, set(weights.notes)
    if notes != {tensors.NOTE} or set(note) - {"cells"} != {"format", "num_classes", "space"}:
        yield Problem(file, f"its notes are {sorted(notes)} with {sorted(note)}"[:200])
        return
    if note["format"] != NOTE_FORMAT or note["num_classes"] != submission.profile.num_classes:
        yield Problem(file, f"it notes format {note['format']!r} and {note['num_classes']!r} classes"[:200])
    own = submission.space
    try:
        space, cells = SearchSpace.from_json(note["space"]), tensors.cells_of(note)
        same = all((each.channels, each.stem) == (own.channels, own.stem) for each in (space, *cells))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        yield Problem(file, f"the space that it notes is none: {error!r}"[:200])
        return
    if not same:
        yield Problem(file, "it notes other channels than the profile's")
    wanted_cells = () if partition is None else partition.subspaces(own)
    if [(cell.depth_set, cell.out_digits) for cell in cells] != [(cell.depth_set, cell.out_digits) for cell in wanted_cells]:
        yield Problem(file, f"it notes {len(cells)} cells that are not those of the recipe's partition")


@rule("finite-weights", "all weights are finite and all variances positive")
def _finite_weights(submission: Submission) -> Iterator[Problem]:
    for file in submission.archive.names():
        if file.endswith(".safetensors"):
            with submission.tensors(file) as weights:
                for name in weights.not_finite():
                    yield Problem(file, f"{name} holds values that are not finite, or a negative variance")


@rule("weights-hash", "scores and exports are of these very weights")
def _weights_hash(submission: Submission) -> Iterator[Problem]:
    sha256 = submission.supernet_sha256
    if submission.index.supernet_sha256 != sha256:
        yield Problem(layout.ONNX_INDEX, f"its exports are of the supernet {submission.index.supernet_sha256}, not {sha256}")
    others = [row for row in submission.evaluations if row.weights_sha256 != sha256]
    if others:
        first = f"the first, {others[0].name[:60]!r}, names {others[0].weights_sha256}"
        yield Problem(layout.EVALUATIONS, f"{len(others)} lines are of other weights than {sha256}: {first}")
    for model in submission.index.models:
        for name, found in ((model.file, model.sha256), (model.weights, model.weights_sha256)):
            if name in submission.archive and submission.archive.sha256(name) != found:
                yield Problem(name, f"{layout.ONNX_INDEX} lists another SHA-256 for it")


@rule("calibrated-weights", "calibrated sub-networks are slices of the supernet, only their BN statistics differ")
def _calibrated_weights(submission: Submission) -> Iterator[Problem]:
    with submission.tensors(layout.SUPERNET) as supernet:
        for model in submission.index.models:
            file = layout.calibrated_path(model.code)
            with submission.tensors(file) as weights:
                yield from (Problem(file, message) for message in _calibrated_problems(submission, model, weights, supernet))


@rule("onnx-index", "onnx/index.json agrees with the profile, the scores, the costs and its files", layout.ONNX_INDEX)
def _onnx_index(submission: Submission) -> Iterator[str]:
    index, profile = submission.index, submission.profile
    size = profile.resolution
    head = {
        "format": (index.format, ONNX_FORMAT),
        "input": ((index.input.name, index.input.shape), (INPUT, [BATCH, 3, size, size])),
        "output": ((index.output.name, index.output.shape), (OUTPUT, [BATCH, profile.num_classes])),
        "codes": ([model.code for model in index.models], sorted({model.code for model in index.models})),
        "std": (len(index.normalization.std), len(index.normalization.mean)),
    }
    for key, (found, expected) in head.items():
        if found != expected:
            yield f"{key} is {found}, expected {expected}"[:300]
    if not index.models:
        yield "no sub-network is exported"
    for model in index.models:
        yield from (f"{model.code}: {message}" for message in _model_problems(submission, model))
    yield from _selection_problems(submission)


@rule("onnx-files", "ONNX files hold the calibrated weights with BN folded, and nothing else")
def _onnx_files(submission: Submission) -> Iterator[Problem]:
    for model in submission.index.models:
        file = layout.onnx_path(model.code)
        found = submission.onnx(file)
        for message in (*_graph_problems(submission, found), *_metadata_problems(submission, model, found)):
            yield Problem(file, message)
        with submission.tensors(layout.calibrated_path(model.code)) as weights, submission.archive.open(file) as numbers:
            for message in _folding_problems(submission, submission.space.parse(model.code), weights, found, numbers):
                yield Problem(file, message)


def _shape_problems(wanted: Mapping[str, Shape], found: TensorFile) -> Iterator[str]:
    missing, extra = sorted(wanted.keys() - found.tensors.keys()), sorted(found.tensors.keys() - wanted.keys())
    for what, names in (("missing", missing), ("not of this network", extra)):
        if names:
            yield f"{len(names)} tensors are {what}: {', '.join(name[:80] for name in names[:3])}"
    for name, info in found.tensors.items():
        if name in wanted and info.shape != wanted[name]:
            yield f"{name} has the shape {info.shape}, expected {wanted[name]}"
        if name in wanted and info.dtype != ("I64" if name.endswith(tensors.COUNTER) else "F32"):
            yield f"{name} is of type {info.dtype}"


def _calibrated_problems(
    submission: Submission, model: ExportedModel, found: TensorFile, supernet: TensorFile
) -> Iterator[str]:
    architecture, cells = submission.space.parse(model.code), tensors.cells_of(supernet.note)
    prefix = tensors.prefixes(len(cells))[next((i for i, cell in enumerate(cells) if cell.owns(architecture)), 0)]
    wanted = tensors.expected_shapes(architecture, submission.space, submission.profile.num_classes)
    problems = list(_shape_problems(wanted, found))
    yield from problems
    note = found.note
    expected = {"code": model.code, "num_classes": submission.profile.num_classes, "images": model.images}
    wrong = [key for key, value in expected.items() if note.get(key) != value]
    if set(found.notes) != {tensors.NOTE} or wrong:
        yield f"its note names another {', '.join(wrong) or 'format'}"
    if problems:
        return
    for name, shape in wanted.items():
        source = f"{prefix}{name}"
        if name.endswith(tensors.STATISTICS):
            continue
        if source not in supernet.tensors or any(a < b for a, b in zip(supernet.tensors[source].shape, shape, strict=True)):
            yield f"the supernet has no such slice for {name}"
            continue
        piece = np.ascontiguousarray(supernet.read(source)[tuple(slice(size) for size in shape)])
        # Bits, not values: -0.0 is not 0.0 here.
        if not np.array_equal(piece.view("<u4"), found.read(name).view("<u4")):
            yield f"{name} is not the leading slice of the supernet's {source}"


def _model_problems(submission: Submission, model: ExportedModel) -> Iterator[str]:
    try:
        architecture = submission.space.parse(model.code)
    except InputError as error:
        yield str(error)[:200]
        return
    cost = costs(architecture, submission.profile.scale)
    facts: dict[str, tuple[Any, Any]] = {
        "file": (model.file, layout.onnx_path(model.code)),
        "weights": (model.weights, layout.calibrated_path(model.code)),
        "macs": (model.macs, cost.macs),
        "params": (model.params, cost.params),
        "accuracy": (model.accuracy, model.correct / model.images),
    }
    if model.file in submission.archive:
        facts["size"] = (model.size, submission.archive.size(model.file))
    if model.code in submission.counts:
        facts["correct and images"] = ((model.correct, model.images), submission.counts[model.code])
    elif submission.evaluations:
        facts["images"] = (model.images, submission.evaluations[0].images)
    for key, (found, expected) in facts.items():
        if found != expected:
            yield f"{key} is {found}, expected {expected}"
    if model.max_abs_difference > MAX_DIFFERENCE:
        yield f"max_abs_difference is {model.max_abs_difference}, more than {MAX_DIFFERENCE}"
    if set(model.selections) - set(SELECTIONS) or model.selections != sorted(set(model.selections)):
        yield f"selections are {model.selections}, expected some of {', '.join(SELECTIONS)}, sorted"[:200]


def _selection_problems(submission: Submission) -> Iterator[str]:
    """Whether what is called smallest, largest, best or Pareto-optimal is that among the pool."""
    codes = list(submission.architectures)
    macs = dict(zip(codes, pool_costs(codes, submission.profile.scale).macs.tolist(), strict=True))
    scored = {code: (macs[code], correct / images) for code, (correct, images) in submission.counts.items() if code in macs}
    named = {name: [model.code for model in submission.index.models if name in model.selections] for name in SELECTIONS}
    if not scored:
        return
    extremes = {"smallest": min(cost for cost, _ in scored.values()), "largest": max(cost for cost, _ in scored.values())}
    for name, cost in extremes.items():
        yield from (
            f"{code} is not the {name} of the pool" for code in named[name] if code in scored and scored[code][0] != cost
        )
    top = sorted((accuracy for _, accuracy in scored.values()), reverse=True)[: len(named["best"])]
    if sorted((scored[code][1] for code in named["best"] if code in scored), reverse=True) != top:
        yield f"the {len(named['best'])} called best are not the most accurate ones of the pool"
    for code in named["pareto"]:
        if code in scored and any(
            cost <= scored[code][0] and accuracy > scored[code][1] for cost, accuracy in scored.values()
        ):
            yield f"{code} is called Pareto-optimal, but others are more accurate at no more multiply-adds"


def _graph_problems(submission: Submission, found: OnnxFile) -> Iterator[str]:
    size, classes = submission.profile.resolution, submission.profile.num_classes
    if found.inputs != {INPUT: [BATCH, 3, size, size]} or found.outputs != {OUTPUT: [BATCH, classes]}:
        yield f"its input and output are {found.inputs} and {found.outputs}"[:200]
    opsets = [(opset.domain, opset.version) for opset in found.model.opset_import]
    if opsets != [("", submission.index.opset)]:
        yield f"its operator sets are {opsets}"[:200]
    unknown = {node.op_type for node in found.graph.node} - OPERATORS | {node.domain for node in found.graph.node} - {""}
    if found.model.functions or found.model.training_info or unknown:
        yield f"it has functions or operators that this network does not need: {sorted(unknown)}"[:200]
    if any(initializer.external for initializer in found.initializers):
        yield "some of its weights lie in another file"


def _metadata_problems(submission: Submission, model: ExportedModel, found: OnnxFile) -> Iterator[str]:
    normalization, told = submission.index.normalization, dict(found.metadata)
    expected = {
        "code": model.code,
        "recipe": submission.recipe.name,
        "profile": submission.profile.name,
        "accuracy": repr(model.accuracy),
        # Exports are kept: an earlier kit may have made them.
        "kit": told["kit"] if VERSION.fullmatch(told.get("kit", "")) else submission.manifest.kit,
        "mean": " ".join(map(repr, normalization.mean)),
        "std": " ".join(map(repr, normalization.std)),
    }
    for key in sorted(expected.keys() | told.keys()):
        if told.get(key) != expected.get(key):
            yield f"its metadata say {key[:60]} = {told.get(key)!r}, expected {expected.get(key)!r}"[:300]
    if len(told) != len(found.metadata):
        yield "its metadata have a key twice"


def _folding_problems(
    submission: Submission, architecture: Architecture, weights: TensorFile, found: OnnxFile, file: BinaryIO
) -> Iterator[str]:
    """Compare every folded layer with the calibrated weights: numbers that belong together cannot be changed apart."""
    wanted = tensors.expected_shapes(architecture, submission.space, submission.profile.num_classes)
    if {name: info.shape for name, info in weights.tensors.items()} != wanted:
        yield "the calibrated weights that it should hold are not whole"
        return
    named = {initializer.name: initializer for initializer in found.initializers}
    if len(named) != len(found.initializers):
        yield "two of its weights have one name"
    for layer, weight, bias in tensors.folded(weights.read, architecture, submission.space, submission.profile.num_classes):
        for name, value in ((f"{layer}.weight", weight), (f"{layer}.bias", bias)):
            initializer = named.pop(name, None)
            if initializer is None:
                yield f"it has no weights named {name}"
            elif not _is_close(file, initializer, value):
                yield f"{name} is not what folding the calibrated weights gives"
    for initializer in named.values():
        if initializer.dtype != np.int64 or math.prod(initializer.shape) > MAX_CONSTANT:
            yield f"it holds numbers that are no weights: {initializer.name[:60]!r}"


def _is_close(file: BinaryIO, initializer: Initializer, value: Any) -> bool:
    if initializer.dtype != np.float32 or initializer.shape != value.shape:
        return False
    found = read_numbers(file, initializer)
    if found is None:
        return False
    # As `numpy.allclose`, with half of its copies; a nan is not close to anything.
    difference = np.subtract(found, value)
    np.abs(difference, out=difference)
    bound = np.abs(value)
    bound *= RELATIVE
    bound += ABSOLUTE
    return bool((difference <= bound).all())
