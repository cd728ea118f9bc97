"""What architectures cost, one or a whole pool at once: multiply-adds, parameters, depth; and which are worth it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from kit.search_space import CODE_LENGTH, FIRST_SLOT_POSITION, SLOTS, STAGES, Architecture, Scale, Stage

IN_CHANNELS = 3
AT_ONCE = 4096
"""That many codes are priced together: each takes about 2 KB meanwhile."""

if TYPE_CHECKING:  # numpy is imported where a pool is priced: one architecture is told without it
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (or the linear layer, as a 1 x 1 convolution on one pixel) with what its cost depends on."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    out_size: int
    normalised: bool = True

    @property
    def weights(self) -> int:
        return self.in_channels * self.out_channels * self.kernel**2

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.weights * self.out_size**2

    @property
    def params(self) -> int:
        """Trainable numbers: weights with scale and shift of the BN behind them, or with the bias."""
        return self.weights + (2 if self.normalised else 1) * self.out_channels


@dataclass(frozen=True, slots=True)
class Costs:
    """Multiply-adds of convolutions and linear layer for one image, all trainable numbers, and the number of blocks."""

    macs: int
    params: int
    depth: int


@dataclass(frozen=True, slots=True)
class PoolCosts:
    """`Costs` in columns, a row per code."""

    macs: Integers
    params: Integers
    depth: Integers

    @property
    def total_macs(self) -> int:
        return int(self.macs.sum())


class StageCost(NamedTuple):
    """A stage, the stem or the linear layer: pixels of its side and multiply-adds."""

    size: int
    macs: int


def costs(architecture: Architecture, scale: Scale) -> Costs:
    """What one architecture costs."""
    network = list(layers(architecture, scale))
    return Costs(sum(each.macs for each in network), sum(each.params for each in network), sum(architecture.depths))


def pool_costs(codes: Sequence[str], scale: Scale) -> PoolCosts:
    """What each of these codes of `scale.space` costs: the same whole numbers as `costs`, 45,000 of them in 0.1 seconds.

    The pool is one deep architecture whose channels are arrays: the formulas are sums and products, which arrays go through
    as numbers do.
    """
    import numpy as np

    if len(codes) > AT_ONCE:
        parts = [pool_costs(codes[start : start + AT_ONCE], scale) for start in range(0, len(codes), AT_ONCE)]
        columns = ([getattr(part, name) for part in parts] for name in ("macs", "params", "depth"))
        return PoolCosts(*map(np.concatenate, columns))
    digits = code_digits(codes)
    depths = digits[:, 1 : 1 + STAGES]
    stages = []
    position = FIRST_SLOT_POSITION
    for slots, widths in zip(SLOTS, scale.space.channels, strict=True):
        # An empty slot, digit 0, has no channels: nothing is multiplied there.
        channels = np.array((0, *widths))[digits[:, position : position + 2 * slots]].T
        stages.append(Stage(cast(int, channels[1]), cast(tuple[int, ...], tuple(channels[::2]))))
        position += 2 * slots
    network = list(layers(Architecture("", tuple(stages)), scale))
    # Of an empty slot only the last BN is left, which no network has.
    unused = sum((slots - depths[:, n]) * 2 * stages[n].out_channels for n, slots in enumerate(SLOTS))
    macs, params = (
        cast("Integers", sum(column)) for column in zip(*((each.macs, each.params) for each in network), strict=True)
    )
    return PoolCosts(macs, params - unused, depths.sum(axis=1))


def stage_costs(architecture: Architecture, scale: Scale) -> dict[str, StageCost]:
    """By `conv1`, `layer1` to `layer4` and `fc`, in this order."""
    found: dict[str, StageCost] = {}
    for layer in layers(architecture, scale):
        name = layer.name.split(".")[0]
        found[name] = StageCost(layer.out_size, layer.macs + (found[name].macs if name in found else 0))
    return found


def layers(architecture: Architecture, scale: Scale) -> Iterator[Layer]:
    """Every layer with weights, in the order of computation, under timm's names."""
    stem = scale.space.stem
    size = strided(scale.resolution, stem.stride)
    channels = architecture.stem_channels
    yield Layer("conv1", IN_CHANNELS, channels, stem.kernel, size)
    if stem.pool:
        size = strided(size, 2)
    for index, stage in enumerate(architecture.stages):
        for block, mid in enumerate(stage.mid_channels):
            name = f"layer{index + 1}.{block}"
            if index and not block:
                size = strided(size, 2)
                yield Layer(f"{name}.downsample.0", channels, stage.out_channels, 1, size)
            yield Layer(f"{name}.conv1", channels, mid, 3, size)
            yield Layer(f"{name}.conv2", mid, stage.out_channels, 3, size)
            channels = stage.out_channels
    yield Layer("fc", channels, scale.num_classes, 1, 1, normalised=False)


def pareto_front(cost: ArrayLike, value: ArrayLike, names: Sequence[str] | None = None) -> Integers:
    """Positions of those that nothing beats in value at the same or a lower cost, from the cheapest up.

    Of equals the first by name is taken (without names: by position). What has no value (nan) is left out.
    """
    import numpy as np

    cost, value = np.asarray(cost), np.asarray(value, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(value))
    ties = known if names is None else np.array([names[index] for index in known.tolist()], dtype=np.str_)
    order: Integers = known[np.lexsort((ties, -value[known], cost[known]))]
    best = np.maximum.accumulate(value[order])
    front: Integers = order[np.concatenate([np.ones(len(order[:1]), dtype=np.bool_), value[order][1:] > best[:-1]])]
    return front


def code_digits(codes: Sequence[str]) -> Integers:
    """The digits of codes that have 52 of them each, shape (codes, 52)."""
    import numpy as np

    digits = np.frombuffer("".join(codes).encode(), dtype=np.uint8).reshape(len(codes), CODE_LENGTH)
    return digits.astype(np.int64) - ord("0")


def strided(size: int, stride: int) -> int:
    """The side of what a convolution or a pool of this stride makes of `size` pixels."""
    # Padding is kernel // 2 everywhere, so only the stride changes the size.
    return (size - 1) // stride + 1
