"""What an architecture costs: multiply-adds and parameters, layer by layer."""

from collections.abc import Iterator
from dataclasses import dataclass

from kit.search_space import Architecture, SearchSpace

IN_CHANNELS = 3


def macs(architecture: Architecture, *, space: SearchSpace, resolution: int, num_classes: int) -> int:
    """Multiply-adds of convolutions and linear layer for one image of `resolution` x `resolution` pixels."""
    return sum(
        layer.in_channels * layer.out_channels * layer.kernel**2 * layer.out_size**2
        for layer in layers(architecture, space=space, resolution=resolution, num_classes=num_classes)
    )


def params(architecture: Architecture, *, space: SearchSpace, num_classes: int) -> int:
    """All trainable numbers: convolutions, scale and shift of every BN, linear layer with bias."""
    return sum(
        layer.in_channels * layer.out_channels * layer.kernel**2 + (2 if layer.normalised else 1) * layer.out_channels
        for layer in layers(architecture, space=space, resolution=1, num_classes=num_classes)
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (or the linear layer, as a 1 x 1 convolution on one pixel) with what its cost depends on."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    out_size: int
    normalised: bool = True


def layers(architecture: Architecture, *, space: SearchSpace, resolution: int, num_classes: int) -> Iterator[Layer]:
    """Every layer with weights, in the order of computation, under timm's names."""
    size = _strided(resolution, space.stem.stride)
    channels = architecture.stem_channels
    yield Layer("conv1", IN_CHANNELS, channels, space.stem.kernel, size)
    if space.stem.pool:
        size = _strided(size, 2)
    for index, stage in enumerate(architecture.stages):
        for block, mid in enumerate(stage.mid_channels):
            name = f"layer{index + 1}.{block}"
            if index and not block:
                size = _strided(size, 2)
                yield Layer(f"{name}.downsample.0", channels, stage.out_channels, 1, size)
            yield Layer(f"{name}.conv1", channels, mid, 3, size)
            yield Layer(f"{name}.conv2", mid, stage.out_channels, 3, size)
            channels = stage.out_channels
    yield Layer("fc", channels, num_classes, 1, 1, normalised=False)


def _strided(size: int, stride: int) -> int:
    # Padding is kernel // 2 everywhere, so only the stride changes the size.
    return (size - 1) // stride + 1
