"""Calibrated sub-networks as ONNX files: BN folded, batch size free, nothing in them but the network.

The graph takes normalised images, float32 `(batch, 3, R, R)` with `(pixel / 255 - mean) / std` per channel, and gives logits
`(batch, classes)`; mean and deviation stand in the file's metadata and in `onnx/index.json`.
"""

import copy
import math
import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnx import ModelProto, NodeProto, helper, shape_inference
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kit import __version__
from kit.costs import layers
from kit.errors import StorageError
from kit.search_space import Architecture, Scale
from kit.submission.onnx_file import BATCH, INPUT, OUTPUT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
IR_VERSION = 10
PARITY_BATCHES = (1, 7)
TOLERANCE = 1e-4
EXPORT_BATCH = 2  # 0 and 1 are special to torch.export


def export_onnx(network: ResNet, *, resolution: int, metadata: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file of a calibrated network on the CPU; equal weights and metadata give equal bytes."""
    example = torch.zeros(EXPORT_BATCH, 3, resolution, resolution)
    program = torch.onnx.export(
        fold_batch_norms(network),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    model = _bare(program.model_proto)
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def fold_batch_norms(network: ResNet) -> nn.Module:
    """A copy in eval mode whose convolutions have taken in the BN layers behind them."""
    folded: nn.Module = copy.deepcopy(network).eval().requires_grad_(False)
    for name, module in list(folded.named_modules()):
        bn = getattr(module, "bn1", None)
        if isinstance(bn, nn.BatchNorm2d):
            for number in ("1", "2"):
                if hasattr(module, f"bn{number}"):
                    _fold(module, f"conv{number}", f"bn{number}")
        elif name.endswith("downsample"):
            _fold(module, "0", "1")
    return folded


def check_graph(data: bytes, architecture: Architecture, scale: Scale) -> None:
    """Make sure that a graph holds exactly the architecture's weights and multiply-adds. Raises `StorageError`."""
    model = shape_inference.infer_shapes(onnx.load_from_string(data), strict_mode=True, data_prop=True)
    operators = Counter(node.op_type for node in model.graph.node)
    expected = list(layers(architecture, scale))
    found = {
        "BatchNormalization nodes": (operators["BatchNormalization"], 0),
        "convolutions": (operators["Conv"], len(expected) - 1),
        "linear layers": (operators["Gemm"], 1),
        "multiply-adds": (_macs(model), sum(each.macs for each in expected)),
        "parameters (BN folded)": (_floats(model), sum(each.weights + each.out_channels for each in expected)),
    }
    wrong = [f"{have:,} {what}, expected {want:,}" for what, (have, want) in found.items() if have != want]
    if wrong:
        raise StorageError(
            f"the ONNX export of {architecture} has {'; '.join(wrong)}",
            hint="this PyTorch exports another graph than the kit knows: report it with the version of torch",
        )


@torch.no_grad()
def check_parity(data: bytes, network: ResNet, images: Tensor) -> float:
    """Compare ONNX Runtime with PyTorch on normalised images, at every batch size of `PARITY_BATCHES`.

    Returns the largest absolute difference of a logit. Raises `StorageError` beyond `TOLERANCE`, or if a class differs.
    """
    session = open_session(data)
    largest = 0.0
    for size in PARITY_BATCHES:
        for batch in images.split(size):
            if len(batch) < size and len(images) >= size:
                continue
            expected = network(batch)
            found = torch.from_numpy(session.run([OUTPUT], {INPUT: batch.numpy()})[0])
            difference = float((found - expected).abs().max())
            same = torch.equal(found.argmax(dim=1), expected.argmax(dim=1))
            # Not `>`, which a nan would pass.
            if not (math.isfinite(difference) and difference <= TOLERANCE and same):
                raise StorageError(
                    f"ONNX Runtime and PyTorch disagree at batch {size}: logits by {difference:.1e} (allowed {TOLERANCE}), "
                    f"classes {'equal' if same else 'NOT equal'}",
                    hint="this pair of PyTorch and onnxruntime does not fit: report it with both versions",
                )
            largest = max(largest, difference)
    return largest


def open_session(data: bytes, *, threads: int = 1) -> "InferenceSession":
    """A graph in ONNX Runtime: on the CPU, no log, no reports to its maker."""
    # Its official builds send events over the network and keep an identifier in the home folder, unless this is set before
    # they are imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def describe_graph(*, resolution: int, num_classes: int) -> dict[str, Any]:
    """Opset, input and output of every exported graph: the head of `onnx/index.json`."""
    return {
        "opset": OPSET,
        "input": {"name": INPUT, "shape": [BATCH, 3, resolution, resolution]},
        "output": {"name": OUTPUT, "shape": [BATCH, num_classes]},
    }


def _fold(owner: nn.Module, conv_name: str, bn_name: str) -> None:
    # In float64, so that the one rounding is that of the result.
    conv, bn = getattr(owner, conv_name).double(), getattr(owner, bn_name).double()
    setattr(owner, conv_name, fuse_conv_bn_eval(conv, bn).float())
    setattr(owner, bn_name, nn.Identity())


def _bare(exported: ModelProto) -> ModelProto:
    """The same graph without what the exporter notes about itself and this machine, and with names of our own.

    Nodes carry stack traces with absolute paths, and names with counters that depend on torch's version.
    """
    graph = exported.graph
    assert not exported.functions and [value.name for value in graph.input] == [INPUT]
    names = {INPUT: INPUT, OUTPUT: OUTPUT}
    numbers: Counter[str] = Counter()
    for initializer in graph.initializer:
        known = initializer.name.endswith((".weight", ".bias"))
        names[initializer.name] = initializer.name if known else f"constant.{numbers['constant']}"
        numbers["constant"] += not known
    nodes: list[NodeProto] = []
    for node in graph.node:
        numbers[node.op_type] += 1
        label = f"{node.op_type.lower()}.{numbers[node.op_type]}"
        for place, output in enumerate(node.output):
            names.setdefault(output, f"{label}.{place}" if place else label)
        bare = helper.make_node(
            node.op_type, [names[i] if i else "" for i in node.input], [names[o] for o in node.output], label
        )
        bare.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
        nodes.append(bare)
    constants = []
    for initializer in graph.initializer:
        constant = onnx.TensorProto()
        constant.name, constant.data_type = names[initializer.name], initializer.data_type
        constant.dims.extend(initializer.dims)
        constant.raw_data = onnx.numpy_helper.to_array(initializer).tobytes()
        constants.append(constant)
    (given,), (result,) = graph.input, graph.output
    described = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [BATCH, *(d.dim_value for d in shape.dim[1:])])
        for name, shape in ((INPUT, given.type.tensor_type.shape), (OUTPUT, result.type.tensor_type.shape))
    ]
    renamed = helper.make_graph(nodes, "resnet48_subnet", described[:1], described[1:], constants)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        renamed, producer_name="kit", producer_version=__version__, ir_version=IR_VERSION, opset_imports=opsets
    )


def _macs(model: ModelProto) -> int:
    weights = {initializer.name: math.prod(initializer.dims) for initializer in model.graph.initializer}
    pixels = {
        value.name: math.prod(dim.dim_value for dim in value.type.tensor_type.shape.dim[2:])
        for value in (*model.graph.value_info, *model.graph.output)
    }
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    return sum(weights[node.input[1]] * pixels[node.output[0]] for node in products)


def _floats(model: ModelProto) -> int:
    return sum(math.prod(i.dims) for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT)
