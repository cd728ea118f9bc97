"""Does a device compute what the CPU computes? The same networks, images and steps on both.

The reference is the CPU's float64. A number format that rounds by u is allowed two errors. Outputs and statistics depend on
the weights smoothly: rounding is passed on and grows with depth, by 2^10 u at most (the CPU's float32 shows 85 u on both
`nano` and `imagenet`). A gradient does not: where a ReLU or a pooled maximum falls on the other side, a whole contribution
comes or goes. A share of units in proportion to u do, so the norm of the difference grows with the root of u: 4 sqrt(u) at
most (the CPU shows 0.9 sqrt(u) in float32 and 2.1 in bfloat16). One path of four left out is off by 0.5, twice the limit of
bfloat16. Blocks begin with little weight in their sums (`LAST_SCALE`), as in training, else depth would hide all this.
Networks of very few channels round worse: where the CPU itself is off by more, `SLACK` times its own error is allowed. It
has no TF32; bfloat16, which rounds more coarsely, stands in.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kit.benchmark.step import step_inputs, step_paths
from kit.benchmark.sweep import one_variant, predictions_by_tree, sweep_inputs
from kit.benchmark.timing import CPU
from kit.evaluation import EvaluationImages, Unit
from kit.evaluation.prefix_tree import score_unit
from kit.methods import Path
from kit.pool import Pool
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, extract_subnet
from kit.supernet.calibration import calibrate
from kit.training import shared_backward

ROUNDING = {"float32": 2.0**-24, "TF32": 2.0**-11, "bfloat16": 2.0**-8}
"""Relative error u of one rounding: half a unit in the last of 24, 11, 8 binary digits."""
LAST_SCALE = 0.1
SLACK = 3.0
NEAR_TIES = 0.005
"""Share of predictions that may differ: where the two best logits lie as near as rounding."""
RESOLUTION, IMAGES, SUBNETS = 64, 8, 64
"""At most: results are compared, not speeds."""
CRAMPED_BYTES = 2**29
"""What the images of the first activation take when a GPU's memory is made to run out."""

Answer = tuple[bool, str]
Compute = Callable[[torch.device, torch.dtype, torch.dtype | None], list[Tensor]]
"""What comes out on a device, with weights and images in one format and maybe convolutions in a lower one."""
Change = Callable[[ElasticResNet, Tensor], Tensor]


@dataclass(frozen=True)
class DeviceChecks:
    """Everything to compare, by name, in the order in which to do it."""

    profile: Profile
    pool: Pool
    device: torch.device

    @property
    def all(self) -> dict[str, Callable[[], Answer]]:
        """Each tells whether it holds, and a sentence."""
        return {
            "logits": partial(self._close, self._logits),
            "logits, channels_last": partial(self._close, partial(self._logits, change=_channels_last)),
            "logits, compiled blocks": self._on_gpu(partial(self._close, partial(self._logits, change=_compiled))),
            "BN statistics": partial(self._close, self._statistics),
            "gradients, float32": partial(self._close, self._gradients, smooth=False),
            "gradients, TF32": self._on_gpu(partial(self._close, self._gradients, "TF32", smooth=False)),
            "gradients, bfloat16": partial(self._close, self._gradients, "bfloat16", smooth=False),
            "predictions": self._predictions,
            "CUDA graphs": self._on_gpu(self._graphs),
            "out of memory": self._out_of_memory,
        }

    def _on_gpu(self, check: Callable[[], Answer]) -> Callable[[], Answer]:
        return check if self.device.type == "cuda" else lambda: (True, "skipped: it needs a GPU")

    def _close(self, compute: Compute, number_format: str = "float32", *, smooth: bool = True) -> Answer:
        """Whether the device is as near to the CPU's float64 as this format should be."""
        rounding = ROUNDING[number_format]
        limit = 2**10 * rounding if smooth else 4 * rounding**0.5
        exact = compute(CPU, torch.float64, None)

        def off(device: torch.device, low: torch.dtype | None) -> float:
            found = compute(device, torch.float32, low)
            if smooth:
                return max(map(_relative, found, exact))
            return _relative(*(torch.cat([each.flatten() for each in tensors]) for tensors in (found, exact)))

        with tf32(number_format == "TF32"):
            error = off(self.device, torch.bfloat16 if number_format == "bfloat16" else None)
        if error > limit:
            limit = max(limit, SLACK * off(CPU, None if number_format == "float32" else torch.bfloat16))
        return error <= limit, f"off by {error:.1e}, at most {limit:.1e}"

    def _inputs(self, device: torch.device, dtype: torch.dtype) -> tuple[ElasticResNet, Tensor, Tensor, list[Path]]:
        network, images, labels = step_inputs(self.profile, IMAGES, self._size, device)
        for layer in network.modules():
            if hasattr(layer, "bn2"):
                nn.init.constant_(layer.bn2.weight, LAST_SCALE)
        return network.to(dtype), images.to(dtype), labels, step_paths(self.profile)["w3"]

    @property
    def _size(self) -> int:
        return min(RESOLUTION, self.profile.resolution)

    @torch.no_grad()
    def _logits(
        self, device: torch.device, dtype: torch.dtype, low: torch.dtype | None, change: Change | None = None
    ) -> list[Tensor]:
        network, images, _, paths = self._inputs(device, dtype)
        images = images if change is None else change(network, images)
        return [network(images, path.architecture) for path in paths]

    def _gradients(self, device: torch.device, dtype: torch.dtype, low: torch.dtype | None) -> list[Tensor]:
        network, images, labels, paths = self._inputs(device, dtype)
        teacher = torch.linspace(-1, 1, len(labels) * self.profile.num_classes, device=device, dtype=dtype)
        paths[0] = replace(paths[0], weight=0.5, distillation=0.5)
        shared_backward(network, images, labels, paths, teacher.view(len(labels), -1), autocast=low)
        return [torch.zeros_like(each) if each.grad is None else each.grad for each in network.parameters()]

    def _statistics(self, device: torch.device, dtype: torch.dtype, low: torch.dtype | None) -> list[Tensor]:
        network, images, _, paths = self._inputs(device, dtype)
        alone = extract_subnet(network, paths[0].architecture)
        calibrate(alone, images.chunk(2))
        return [value for name, value in alone.state_dict().items() if "running" in name]

    def _sweep(self, device: torch.device, images: int = 2 * IMAGES) -> tuple[ElasticResNet, EvaluationImages]:
        return sweep_inputs(self.profile, images, self._size, calibration=1, validation=1, device=device)

    @property
    def _subnets(self) -> list[Architecture]:
        """Some that begin alike; in a small pool there are few of them, and others fill up."""
        return list(dict.fromkeys([*one_variant(self.pool, SUBNETS), *self.pool.architectures]))[:SUBNETS]

    def _predictions(self) -> Answer:
        """Calibration and classification through the tree, of as many sub-networks as a unit has."""
        chosen = self._subnets
        with tf32(False):
            found, expected = (
                predictions_by_tree(network, chosen, images).cpu()
                for network, images in map(self._sweep, (self.device, CPU))
            )
        differ, count = int((found != expected).sum()), found.numel()
        told = f"{differ:,} of {count:,} predictions of {len(chosen)} sub-networks differ"
        return differ <= NEAR_TIES * count, f"{told}, at most {NEAR_TIES:.1%} may"

    def _scores(
        self, network: ElasticResNet, images: EvaluationImages, note: Callable[[str], None] = lambda message: None
    ) -> list[int]:
        unit = Unit(tuple(self._subnets[:4]))
        return [score.correct for score in score_unit(network, unit, images, note=note)]

    def _graphs(self) -> Answer:
        network, images = self._sweep(self.device)
        found = self._scores(network, replace(images, cuda_graphs=True))
        return _same_scores(found, self._scores(network, images), 2 * IMAGES)

    def _out_of_memory(self) -> Answer:
        """A GPU's memory is really limited; on a CPU the allocator's error is raised on its behalf."""
        gpu = self.device.type == "cuda"
        count = CRAMPED_BYTES // (4 * self.profile.network.base_channels[0] * self._size**2) if gpu else 2 * IMAGES
        network, images = self._sweep(self.device, count)
        images = replace(images, calibration=[batch[: count // 4] for batch in images.calibration])
        notes: list[str] = []
        if gpu:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            expected = self._scores(network, images)
            with _limited(before + int(0.7 * (torch.cuda.max_memory_allocated() - before))):
                found = self._scores(network, images, notes.append)
        else:
            expected = self._scores(network, images)
            found = self._scores(network, replace(images, prepare=partial(_refuse, images, count // 2)), notes.append)
        same, told = _same_scores(found, expected, count)
        return same and bool(notes), "; ".join([told, *notes])


def _same_scores(found: list[int], expected: list[int], images: int) -> Answer:
    worst = max(abs(one - other) for one, other in zip(found, expected, strict=True))
    return worst <= NEAR_TIES * images, f"scores differ by {worst} of {images} images at most"


def _relative(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|; infinite, not nan, where a number is not finite."""
    error = float((found.cpu().double() - expected).norm() / expected.norm())
    return error if math.isfinite(error) else math.inf


def _channels_last(network: ElasticResNet, images: Tensor) -> Tensor:
    network.to(memory_format=torch.channels_last)
    return images.to(memory_format=torch.channels_last)


def _compiled(network: ElasticResNet, images: Tensor) -> Tensor:
    if images.is_cuda:  # the reference stays as it is
        network.layer4[0].compile()
    return images


def _refuse(images: EvaluationImages, most: int, pixels: Tensor) -> Tensor:
    if len(pixels) > most:
        raise RuntimeError("can't allocate memory (the check says so)")
    return images.prepare(pixels)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of float32 products to 11 binary digits."""
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = on
    try:
        yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was


@contextmanager
def _limited(most: int) -> Iterator[None]:
    """Let this process have `most` bytes of the current GPU's memory."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most / torch.cuda.mem_get_info()[1])
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
