"""`kit benchmark device`: a GPU (else the CPU itself) against the CPU: the same results, how fast, how much memory."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit import __version__
from kit.benchmark.device_checks import DeviceChecks
from kit.benchmark.step import benchmark_step, step_inputs, step_paths
from kit.benchmark.sweep import benchmark_sweep, one_variant, sweep_inputs
from kit.benchmark.timing import CPU, measure, shares, timed, together
from kit.errors import KitError
from kit.evaluation import EvaluationImages, evaluate_prefix_tree
from kit.pool import Pool
from kit.processor import processor_name
from kit.recipe import Profile
from kit.run_dir import PACKAGES
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, extract_subnet
from kit.training import shared_backward

IMAGE_BYTES = 2**28
"""Of a GPU's free memory for each image of a step: a deep path at 224 x 224 takes about half of it."""
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is timed: a GPU wants much at once, a CPU has to be done in minutes."""

    resolution: int
    step_batch: int
    sweep_batch: int
    sweep_batches: int
    subnets: int

    @classmethod
    def for_device(cls, profile: Profile, device: torch.device) -> "Sizes":
        if device.type == "cuda":
            fits = max(8, torch.cuda.mem_get_info(device)[0] // IMAGE_BYTES)
            batch = min(128, fits)
            return cls(resolution=profile.resolution, step_batch=batch, sweep_batch=2 * batch, sweep_batches=2, subnets=64)
        batch = 8 if profile.resolution > 64 else 64
        size = min(112, profile.resolution)
        return cls(resolution=size, step_batch=batch, sweep_batch=batch, sweep_batches=1, subnets=16)


def benchmark_device(
    profile: Profile, pool: Pool, device: torch.device, *, seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Every check, then speeds for what is left of `seconds`; `tell` hears what comes next and how much time is left."""
    ends = time.monotonic() + seconds
    sizes = Sizes.for_device(profile, device)

    def left(part: float) -> float:
        return max(0.0, ends - time.monotonic()) * part

    def announce(what: str) -> None:
        tell(f"{what} (at most {left(1) / 60:.1f} min left)")

    checks = []
    for name, check in DeviceChecks(profile, pool, device).all.items():
        announce(f"check: {name}")
        ok, detail = _tried(check)
        checks.append({"name": name, "ok": ok, "detail": detail})
    announce("training steps")
    step = _steps(profile, sizes, device, left(0.5))
    announce("sweep")
    sweep = _sweep(profile, pool, sizes, device, left(0.8))
    return {
        "profile": profile.name,
        "device": device_name(device),
        "versions": _versions(device),
        "ok": all(check["ok"] for check in checks),
        **together({"step": step, "sweep": sweep}),
        "checks": checks,
        "step": step,
        "sweep": sweep,
    }


def _tried(check: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    """A check's answer; what the device itself refuses is an answer, too."""
    try:
        return check()
    except (KitError, RuntimeError) as error:
        return False, f"{type(error).__name__}: {error}".splitlines()[0]


def _steps(profile: Profile, sizes: Sizes, device: torch.device, seconds: float) -> dict[str, Any]:
    """Shared and separate steps of each kind. Images are those of the batch, however many paths a step has."""
    kinds, batch, size = step_paths(profile), sizes.step_batch, sizes.resolution
    _forget_peak(device)
    found = benchmark_step(profile, batch=batch, resolution=size, repeats=REPEATS, seconds=seconds, device=device)
    for kind in kinds:
        row = found[kind]
        row["images_per_second"] = batch / row["shared_seconds"]
        row["separate_images_per_second"] = batch / row["separate_seconds"]
    ratio = 1.0
    if device.type != "cpu":
        few = Sizes.for_device(profile, CPU).step_batch
        seconds_on_cpu = timed(partial(shared_backward, *step_inputs(profile, few, size), kinds["w3"]))()
        ratio = found["w3"]["images_per_second"] * seconds_on_cpu / few
    return {
        "images_per_second": len(kinds) * batch / sum(found[kind]["shared_seconds"] for kind in kinds),
        "ratio_to_cpu": ratio,
        "peak_memory_bytes": _peak(device),
        **found,
    }


def _sweep(profile: Profile, pool: Pool, sizes: Sizes, device: torch.device, seconds: float) -> dict[str, Any]:
    """The tree against one by one, other ways through the tree, and the device's own convolutions of the same shapes.

    Images are forward passes of single sub-networks, calibration included, as if nothing were shared.
    """
    batch, size, batches, parts = sizes.sweep_batch, sizes.resolution, sizes.sweep_batches, shares(seconds, 2)
    inputs = partial(sweep_inputs, profile, resolution=size, calibration=batches, validation=batches)
    _forget_peak(device)
    found = benchmark_sweep(
        profile,
        pool,
        subnets=sizes.subnets,
        resolution=size,
        batch=batch,
        calibration=batches,
        validation=batches,
        repeats=REPEATS,
        seconds=next(parts),
        device=device,
    )
    chosen = one_variant(pool, sizes.subnets)
    speed = found["subnets"] * found["images"] / found["tree_seconds"]
    ratio = 1.0
    if device.type != "cpu":
        few = Sizes.for_device(profile, CPU).sweep_batch
        network, images = inputs(batch=few)
        seconds_on_cpu = timed(lambda: list(evaluate_prefix_tree(network, chosen, images)))()
        ratio = speed * seconds_on_cpu / (len(chosen) * 2 * batches * few)
    peak = _peak(device)
    network, images = inputs(batch=batch, device=device)
    convolutions = convolution_speed(network, chosen[len(chosen) // 2], images, seconds=seconds / 20)
    return {
        "images_per_second": speed,
        "ratio_to_cpu": ratio,
        "peak_memory_bytes": peak,
        "convolution_macs_per_second": convolutions,
        "share_of_convolution_speed": found["macs_per_second"] / convolutions,
        "variants": _variants(network, chosen, images, seconds=next(parts)),
        **found,
    }


def _variants(
    network: ElasticResNet, chosen: list[Architecture], images: EvaluationImages, *, seconds: float
) -> dict[str, dict[str, float]]:
    """The tree's seconds over those of the same tree computed another way: above 1, the other way is faster."""

    def score(way: EvaluationImages) -> None:
        list(evaluate_prefix_tree(network, chosen, way))

    def channels_last(pixels: Tensor) -> Tensor:
        return images.prepare(pixels).contiguous(memory_format=torch.channels_last)

    ways = {"plain": images, "channels_last": replace(images, prepare=channels_last)}
    if network.fc.weight.device.type == "cuda":
        low = partial(replace, autocast=torch.bfloat16)
        ways |= {"bfloat16": low(images), "bfloat16, channels_last": low(ways["channels_last"])}
        ways["cuda_graphs"] = replace(images, cuda_graphs=True)
    timings = [timed(partial(score, way)) for way in ways.values()]
    compared = [(0, other) for other in range(1, len(ways))]
    found = measure(timings, repeats=REPEATS, seconds=seconds, compared=compared)
    return {name: found.ratio(0, other).document() for other, name in enumerate(ways) if other}


def convolution_speed(
    network: ElasticResNet, architecture: Architecture, images: EvaluationImages, *, seconds: float
) -> float:
    """Multiply-adds a second of the convolutions of one sub-network by themselves, one after another, float32."""
    layers: list[tuple[nn.Conv2d, Tensor]] = []
    macs = 0

    def take(conv: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        layers.append((conv, torch.randn_like(inputs[0])))
        macs += conv.weight.numel() * output[:, 0].numel()

    def convolve() -> None:
        for conv, x in layers:
            F.conv2d(x, conv.weight, None, conv.stride, conv.padding)

    alone = extract_subnet(network, architecture)
    for layer in alone.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(take)
    with torch.no_grad():
        alone(images.prepare(images.calibration[0]))
        found = measure([timed(convolve, network.fc.weight.device)], repeats=REPEATS, seconds=seconds, compared=())
    return macs / found.seconds(0)


def device_name(device: torch.device) -> str:
    """The graphics card, or the processor and how many threads are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' * (threads > 1)}"


def _versions(device: torch.device) -> dict[str, str]:
    found = {"kit": __version__, **{name: metadata.version(name) for name in PACKAGES}}
    if device.type == "cuda":
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return found


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """Bytes: on a GPU the most that tensors took since the last `_forget_peak`, else the most this process ever took."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
