"""Calibrated sub-networks as ONNX files: BN folded, batch size free, nothing in them but the network.

The graph takes normalised images, float32 `(batch, 3, R, R)` with `(pixel / 255 - mean) / std` per channel, and gives logits
`(batch, classes)`; mean and deviation stand in the file's metadata and in `onnx/index.json`.
"""

import copy
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kit import __version__
from kit.costs import IN_CHANNELS, layers
from kit.errors import StorageError
from kit.search_space import Architecture, Scale
from kit.submission.onnx_file import BATCH, INPUT, OUTPUT

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
IR_VERSION = 10
PARITY_BATCHES = (1, 7)
TOLERANCE = 1e-4


def export_onnx(network: ResNet, *, resolution: int, metadata: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file of a calibrated network on the CPU; equal weights and metadata give equal bytes."""
    model = write_graph(fold_batch_norms(network), resolution=resolution, num_classes=network.num_classes)
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def write_graph(folded: Any, *, resolution: int, num_classes: int, batch: int | str = BATCH) -> ModelProto:
    """The graph of a timm `ResNet` of basic blocks without BN, under timm's names; kernels, strides and pads are its own."""
    graph = Graph()
    x = graph.stem(folded.conv1, folded.maxpool, INPUT)
    for name, module in folded.named_modules():
        if isinstance(module, BasicBlock):
            x = graph.block(name, module, x)
    graph.head(folded.fc, x)
    return graph.model([batch, IN_CHANNELS, resolution, resolution], [batch, num_classes])


class Graph:
    """An ONNX graph that grows by parts of a network: a method takes the name of what goes in, and gives its result's."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []
        self._numbers: Counter[str] = Counter()

    def stem(self, conv: Any, pool: Any, x: str) -> str:
        """The first convolution, and the pool behind it if there is one."""
        x = self._op("Relu", self._conv("conv1", conv, x))
        if not isinstance(pool, nn.MaxPool2d):
            return x
        return self._op("MaxPool", x, **_window(pool))

    def block(self, name: str, block: Any, x: str) -> str:
        """A basic block."""
        inner = self._op("Relu", self._conv(f"{name}.conv1", block.conv1, x))
        inner = self._conv(f"{name}.conv2", block.conv2, inner)
        shortcut = x if block.downsample is None else self._conv(f"{name}.downsample.0", block.downsample[0], x)
        return self._op("Relu", self._op("Add", inner, shortcut))

    def head(self, linear: Any, x: str) -> str:
        """The mean over the pixels, and the linear layer."""
        x = self._op("Flatten", self._op("GlobalAveragePool", x))
        return self._op("Gemm", x, *self._parameters("fc", linear), transB=1)

    def model(self, given: Sequence[int | str], result: Sequence[int | str]) -> ModelProto:
        """All of it, with these shapes of input and output."""
        self._nodes[-1].output[0] = OUTPUT
        images = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, given)
        logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, result)
        graph = helper.make_graph(self._nodes, "resnet48_subnet", [images], [logits], self._weights)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, producer_name="kit", producer_version=__version__, ir_version=IR_VERSION, opset_imports=opsets
        )

    def _conv(self, name: str, conv: Any, x: str) -> str:
        return self._op("Conv", x, *self._parameters(name, conv), **_window(conv))

    def _op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self._numbers[operator] += 1
        name = f"{operator.lower()}.{self._numbers[operator]}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def _parameters(self, name: str, layer: Any) -> list[str]:
        names = [f"{name}.weight", f"{name}.bias"]
        for each, values in zip(names, (layer.weight, layer.bias), strict=True):
            tensor = onnx.TensorProto(name=each, data_type=TensorProto.FLOAT, dims=values.shape)
            tensor.raw_data = values.detach().numpy().astype("<f4").tobytes()
            self._weights.append(tensor)
        return names


def _window(layer: Any) -> dict[str, list[int]]:
    """Kernel, strides and pads of a convolution or a pool; torch's are a number or a pair."""
    kernel, stride, padding = (
        [value] * 2 if isinstance(value, int) else list(value) for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    return {"kernel_shape": kernel, "pads": [*padding, *padding], "strides": stride}


def fold_batch_norms(network: nn.Module) -> Any:
    """A copy in eval mode whose convolutions have taken in the BN layers behind them."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
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
