"""Blocks and whole networks as things to run: PyTorch's modules, or graphs in ONNX Runtime. Weights are random."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from timm.models.resnet import BasicBlock
from torch import nn

from kit.costs import strided
from kit.latency_table import HEAD, STEM, Block, blocks_of
from kit.search_space import Architecture, Scale
from kit.submission.onnx_export import IR_VERSION, OPSET, open_session
from kit.submission.onnx_file import INPUT, OUTPUT
from kit.supernet.subnet import build_subnet

Work = Callable[[], object]


class Backend(ABC):
    """How a network is run; each `Work` runs one batch."""

    name: str
    packages: tuple[str, ...]

    def __init__(self, scale: Scale, batch: int, threads: int) -> None:
        self.scale = scale
        self.batch = batch
        self.threads = threads

    @abstractmethod
    def block(self, block: Block) -> Work:
        """One block on an input of its own."""

    @abstractmethod
    def network(self, architecture: Architecture) -> Work:
        """A whole network on one batch of images."""

    @property
    def versions(self) -> dict[str, str]:
        return {name: metadata.version(name) for name in self.packages}


class TorchBackend(Backend):
    """timm's networks as they are extracted, in eval mode."""

    name = "torch"
    packages = ("torch", "timm")

    def block(self, block: Block) -> Work:
        return self._work(torch_block(block, self.scale), block.in_channels, block.size)

    def network(self, architecture: Architecture) -> Work:
        network = build_subnet(architecture, self.scale.space, self.scale.num_classes)
        return self._work(network, 3, self.scale.resolution)

    def _work(self, module: nn.Module, channels: int, size: int) -> Work:
        module = module.eval().requires_grad_(False)
        x = torch.randn(self.batch, channels, size, size)

        def run() -> object:
            with torch.inference_mode():
                return module(x)

        return run


def torch_block(block: Block, scale: Scale) -> nn.Module:
    """The layers of timm's `ResNet` that a block stands for, with fresh weights."""
    given, mid, out, stride = block.in_channels, block.mid_channels, block.out_channels, block.stride
    if block.kind == STEM:
        stem = scale.space.stem
        conv = nn.Conv2d(given, out, stem.kernel, stride, stem.kernel // 2, bias=False)
        pool = nn.MaxPool2d(3, 2, 1) if stem.pool else nn.Identity()
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True), pool)
    if block.kind == HEAD:
        return nn.Sequential(SelectAdaptivePool2d(flatten=True), nn.Linear(given, out))
    shortcut = None
    if stride > 1:
        shortcut = nn.Sequential(nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    module = BasicBlock(given, out, stride, shortcut)
    module.conv1, module.bn1 = nn.Conv2d(given, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
    module.conv2 = nn.Conv2d(mid, out, 3, 1, 1, bias=False)
    found: nn.Module = module
    return found


class OnnxBackend(Backend):
    """Graphs as `kit export onnx` writes them: BN folded, so that only convolutions are left."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")

    def block(self, block: Block) -> Work:
        return self._work([block])

    def network(self, architecture: Architecture) -> Work:
        return self._work(list(blocks_of(architecture, self.scale)))

    def _work(self, blocks: Sequence[Block]) -> Work:
        session = open_session(onnx_graph(blocks, self.scale, self.batch).SerializeToString(), threads=self.threads)
        shape = self.batch, blocks[0].in_channels, blocks[0].size, blocks[0].size
        given = {INPUT: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
        return lambda: session.run([OUTPUT], given)


BACKENDS: dict[str, type[Backend]] = {each.name: each for each in (TorchBackend, OnnxBackend)}


def onnx_graph(blocks: Sequence[Block], scale: Scale, batch: int) -> onnx.ModelProto:
    """The blocks in a row, with random weights; a whole network's has the operators of the exported file."""
    graph = _Graph()
    name = INPUT
    for block in blocks:
        name = graph.add(block, name, scale)
    graph.nodes[-1].output[0] = OUTPUT
    first, last = blocks[0], blocks[-1]
    size = strided(last.size, last.stride)
    if last.kind == STEM and scale.space.stem.pool:
        size = strided(size, 2)
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, first.in_channels, first.size, first.size])
    shape = [batch, last.out_channels] + ([] if last.kind == HEAD else [size, size])
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)
    made = helper.make_graph(graph.nodes, "blocks", [given], [result], graph.weights)
    return helper.make_model(made, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self._random = np.random.default_rng(0)

    def add(self, block: Block, x: str, scale: Scale) -> str:
        """Append a block to what `x` names; the name of its output."""
        given, mid, out, stride = block.in_channels, block.mid_channels, block.out_channels, block.stride
        if block.kind == STEM:
            stem = scale.space.stem
            x = self._op("Relu", self._conv(x, given, out, stem.kernel, stride))
            pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
            return self._op("MaxPool", x, **pool) if stem.pool else x
        if block.kind == HEAD:
            pooled = self._op("Flatten", self._op("GlobalAveragePool", x))
            return self._op("Gemm", pooled, self._weight(out, given), self._weight(out), transB=1)
        inner = self._op("Relu", self._conv(x, given, mid, 3, stride))
        shortcut = self._conv(x, given, out, 1, stride) if stride > 1 else x
        return self._op("Relu", self._op("Add", self._conv(inner, mid, out, 3, 1), shortcut))

    def _conv(self, x: str, given: int, out: int, kernel: int, stride: int) -> str:
        shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self._op("Conv", x, self._weight(out, given, kernel, kernel), self._weight(out), **shape)

    def _op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(0.05)
        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name
