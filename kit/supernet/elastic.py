"""The elastic ResNet-48: timm's `ResNet` with weights sliced where they are used; forward takes the architecture."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from kit.costs import IN_CHANNELS
from kit.search_space import RESNET48, SLOTS, Architecture, SearchSpace, Stem
from kit.supernet.slicing import leading_entries, leading_slice


def elastic_conv(conv: nn.Conv2d, x: Tensor, out_channels: int) -> Tensor:
    """Convolve with the leading slice of the weights that fits `x` and `out_channels`."""
    weight = leading_slice(conv.weight, out_channels, x.shape[1])
    return F.conv2d(x, weight, None, conv.stride, conv.padding)


def elastic_batch_norm(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise with the leading entries; a leading slice of a buffer is a view, so statistics update in place."""
    channels = x.shape[1]
    assert bn.running_mean is not None and bn.running_var is not None and bn.momentum is not None
    if bn.training and bn.num_batches_tracked is not None:
        bn.num_batches_tracked.add_(1)
    statistics = leading_entries(bn.running_mean, channels), leading_entries(bn.running_var, channels)
    scale, shift = leading_entries(bn.weight, channels), leading_entries(bn.bias, channels)
    return F.batch_norm(x, *statistics, scale, shift, bn.training, bn.momentum, bn.eps)


class ElasticBasicBlock(BasicBlock):  # type: ignore[misc]
    """timm's basic block whose widths are arguments: `(N, in, H, W) -> (N, out_channels, H / stride, W / stride)`."""

    def forward(self, x: Tensor, mid_channels: int, out_channels: int) -> Tensor:
        """Apply the block at inner width `mid_channels` and output width `out_channels`."""
        shortcut = x
        x = self.act1(elastic_batch_norm(self.bn1, elastic_conv(self.conv1, x, mid_channels)))
        x = elastic_batch_norm(self.bn2, elastic_conv(self.conv2, x, out_channels))
        if self.downsample is not None:
            conv, bn = self.downsample
            shortcut = elastic_batch_norm(bn, elastic_conv(conv, shortcut, out_channels))
        x += shortcut
        activated: Tensor = self.act2(x)
        return activated


class ElasticResNet(ResNet):  # type: ignore[misc]
    """A supernet holding every sub-network of `space` in the leading slices of its weights.

    The state dict has exactly the keys of timm's `ResNet` with basic blocks. Weights are initialised from `generator`
    (None: torch's default one) as timm does; `zero_init_last` starts each block as the identity.
    """

    def __init__(
        self,
        space: SearchSpace = RESNET48,
        num_classes: int = 1000,
        *,
        generator: torch.Generator | None = None,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__(ElasticBasicBlock, SLOTS, num_classes=num_classes, channels=space.base_channels, device="meta")
        self.space = space
        self.full_architecture = space.whole.largest
        shape_like(self, self.full_architecture, space.stem)
        self.to_empty(device="cpu")
        initialise(self, generator, zero_init_last=zero_init_last)

    def init_weights(self, zero_init_last: bool = True) -> None:
        """Nothing: timm calls this for weights that have no memory yet; `initialise` fills them."""

    def forward(self, x: Tensor, architecture: Architecture | None = None) -> Tensor:
        """Classify with one sub-network (the full one by default): `(N, 3, H, W) -> (N, classes)`."""
        architecture = architecture or self.full_architecture
        x = self.forward_stem(x, architecture.stem_channels)
        for layer, stage in zip(self.stages, architecture.stages, strict=True):
            for block, mid_channels in zip(layer, stage.mid_channels, strict=False):  # elastic depth: the first d blocks
                x = block(x, mid_channels, stage.out_channels)
        return self.forward_head(x)

    def forward_stem(self, x: Tensor, channels: int) -> Tensor:
        """Images to the input of stage 1: `(N, 3, H, W) -> (N, channels, H', W')`."""
        x = self.act1(elastic_batch_norm(self.bn1, elastic_conv(self.conv1, x, channels)))
        pooled: Tensor = self.maxpool(x)
        return pooled

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify with the leading inputs of the linear layer: `(N, channels, H, W) -> (N, classes)`."""
        x = self.global_pool(x)
        # Contiguous, because the gradient's matrix product is chosen by the layout and must round as a plain layer's.
        return x if pre_logits else F.linear(x, self.fc.weight[:, : x.shape[1]].contiguous(), self.fc.bias)

    @property
    def stages(self) -> tuple[nn.Sequential, ...]:
        return self.layer1, self.layer2, self.layer3, self.layer4


def precision(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """Run convolutions and linear layers in `dtype` inside the block; None leaves everything as it is."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def shape_like(network: ResNet, architecture: Architecture, stem: Stem) -> None:
    """Give a timm `ResNet` the layers of `architecture`, without memory (on the meta device).

    timm's constructor knows neither inner widths per block nor other stems, and adds a shortcut convolution to stage 1
    when the base width is not 64.
    """
    channels = architecture.stem_channels
    network.conv1 = nn.Conv2d(IN_CHANNELS, channels, stem.kernel, stem.stride, stem.kernel // 2, bias=False, device="meta")
    network.bn1 = nn.BatchNorm2d(channels, device="meta")
    if not stem.pool:
        network.maxpool = nn.Identity()
    network.feature_info[0]["num_chs"] = channels
    layers = (network.layer1, network.layer2, network.layer3, network.layer4)
    for index, (layer, stage) in enumerate(zip(layers, architecture.stages, strict=True)):
        for block, mid in zip(layer, stage.mid_channels, strict=True):
            block.conv1 = nn.Conv2d(channels, mid, 3, block.stride, 1, bias=False, device="meta")
            block.bn1 = nn.BatchNorm2d(mid, device="meta")
            block.conv2 = nn.Conv2d(mid, stage.out_channels, 3, 1, 1, bias=False, device="meta")
            block.bn2 = nn.BatchNorm2d(stage.out_channels, device="meta")
            if index == 0:
                block.downsample = None
            elif block.downsample is not None:
                block.downsample[0] = nn.Conv2d(channels, stage.out_channels, 1, block.stride, bias=False, device="meta")
                block.downsample[1] = nn.BatchNorm2d(stage.out_channels, device="meta")
            channels = stage.out_channels
    network.num_features = network.head_hidden_size = channels
    network.fc = nn.Linear(channels, network.num_classes, device="meta")


def initialise(network: nn.Module, generator: torch.Generator | None, *, zero_init_last: bool) -> None:
    """timm's initialisation of a `ResNet`, from a generator that is passed in."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    if zero_init_last:
        for module in network.modules():
            if isinstance(module, BasicBlock):
                module.zero_init_last()


@register_model  # type: ignore[untyped-decorator]
def resnet48_elastic(pretrained: bool = False, *, space: SearchSpace = RESNET48, **kwargs: Any) -> ElasticResNet:
    """`timm.create_model("resnet48_elastic")`: the supernet of the challenge's space."""
    return ElasticResNet(space, **_supported(pretrained, kwargs))


def _supported(pretrained: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keep what the kit's networks take; timm's factory passes more keys with empty values."""
    if pretrained:
        raise ValueError("there are no downloadable weights: load some with kit.supernet.weights.load_weights")
    known = {"num_classes", "generator", "zero_init_last"}
    unknown = {key for key, value in kwargs.items() if key not in known and value not in (None, {}, False)}
    if unknown:
        raise TypeError(f"unexpected arguments {sorted(unknown)}; possible: {sorted(known)}")
    return {key: value for key, value in kwargs.items() if key in known}
