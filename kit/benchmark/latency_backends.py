"""Blocks and whole networks as things to run: PyTorch's modules, or graphs in ONNX Runtime. Weights are random."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import metadata

import numpy as np
import onnx
import torch
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from kit.costs import IN_CHANNELS, strided
from kit.latency_table import HEAD, STEM, Block
from kit.search_space import Architecture, Scale
from kit.submission.onnx_export import Graph, fold_batch_norms, open_session, write_graph
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
        return self._work(network, IN_CHANNELS, self.scale.resolution)

    def _work(self, module: nn.Module, channels: int, size: int) -> Work:
        module = module.eval().requires_grad_(False)
        x = torch.randn(self.batch, channels, size, size)

        def run() -> object:
            with torch.inference_mode():
                return module(x)

        return run


class _Stem(nn.Module):
    def __init__(self, channels: int, scale: Scale) -> None:
        super().__init__()
        stem = scale.space.stem
        self.conv1 = nn.Conv2d(IN_CHANNELS, channels, stem.kernel, stem.stride, stem.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem.pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        return pooled


class _Head(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.global_pool = SelectAdaptivePool2d(flatten=True)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.global_pool(x))
        return logits


def torch_block(block: Block, scale: Scale) -> nn.Module:
    """The layers of timm's `ResNet` that a block stands for, under timm's names, with fresh weights."""
    given, mid, out, stride = block.in_channels, block.mid_channels, block.out_channels, block.stride
    if block.kind == STEM:
        return _Stem(out, scale)
    if block.kind == HEAD:
        return _Head(given, out)
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
        return self._work(block_graph(block, self.scale, self.batch), block.in_channels, block.size)

    def network(self, architecture: Architecture) -> Work:
        folded = fold_batch_norms(build_subnet(architecture, self.scale.space, self.scale.num_classes))
        size = self.scale.resolution
        model = write_graph(folded, resolution=size, num_classes=self.scale.num_classes, batch=self.batch)
        return self._work(model, IN_CHANNELS, size)

    def _work(self, model: onnx.ModelProto, channels: int, size: int) -> Work:
        session = open_session(model.SerializeToString(), threads=self.threads)
        shape = self.batch, channels, size, size
        given = {INPUT: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
        return lambda: session.run([OUTPUT], given)


BACKENDS: dict[str, type[Backend]] = {each.name: each for each in (TorchBackend, OnnxBackend)}


def block_graph(block: Block, scale: Scale, batch: int) -> onnx.ModelProto:
    """One block as a graph of its own."""
    graph, module = Graph(), fold_batch_norms(torch_block(block, scale))
    size = strided(block.size, block.stride)
    shape: list[int | str] = [batch, block.out_channels, size, size]
    if block.kind == STEM:
        graph.stem(module.conv1, module.maxpool, INPUT)
        if scale.space.stem.pool:
            shape[2:] = [strided(size, 2)] * 2
    elif block.kind == HEAD:
        graph.head(module.fc, INPUT)
        shape = shape[:2]
    else:
        graph.block("block", module, INPUT)
    return graph.model([batch, block.in_channels, block.size, block.size], shape)
