"""Zen-score, NASWOT, SynFlow and gradient norm of a freshly initialised sub-network."""

import copy
import math
from dataclasses import dataclass

import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from kit.randomness import derive_seed
from kit.search_space import Architecture, Scale
from kit.supernet import build_subnet

ZEN_REPEATS = 32
ZEN_IMAGES = 16
ZEN_STEP = 0.01
BATCH = 128
"""Training images that NASWOT and the gradient norm look at."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the scores of a pool have in common."""

    scale: Scale
    seed: int
    images: Tensor | None = None
    """Normalised training images `(BATCH, 3, H, W)`, for the scores in `ON_DATA`."""
    labels: Tensor | None = None


def score(name: str, architecture: Architecture, setting: Setting) -> float:
    """The raw score, higher is better: a function of name, code, scale, seed and images, whatever was scored before."""
    generator = torch.Generator().manual_seed(derive_seed("zero-cost", name, setting.seed, architecture.code))
    scale = setting.scale
    network = build_subnet(architecture, scale.space, scale.num_classes, generator=generator, zero_init_last=False).train()
    if name == "zen":
        return zen(network, scale.resolution, generator, ZEN_REPEATS)
    if name == "synflow":
        return synflow(network, scale.resolution)
    assert setting.images is not None and setting.labels is not None, f"{name} looks at images"
    if name == "naswot":
        return naswot(network, setting.images)
    return grad_norm(network, setting.images, setting.labels)


@torch.no_grad()
def zen(network: ResNet, resolution: int, generator: torch.Generator, repeats: int) -> float:
    """log E|f(x) - f(x + .01 e)| + sum over BN layers of log sqrt(mean variance), mean of `repeats` draws of all Gaussians.

    f: the features before pooling, without shortcuts; x, e and the weights are standard normal (Zen-NAS). The variance that
    a BN layer divides by is that of its input in the batch, so the sum puts back what normalising took away.
    """
    norms = [network.bn1, *(norm for block in _blocks(network) for norm in (block.bn1, block.bn2))]
    for norm in norms:
        norm.momentum = 1.0
    total = 0.0
    for _ in range(repeats):
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.normal_(generator=generator)
        x = torch.randn(ZEN_IMAGES, 3, resolution, resolution, generator=generator)
        moved = x + ZEN_STEP * torch.randn(x.shape, generator=generator)
        features = plain_features(network, x)
        variances = sum(0.5 * _log(norm.running_var.mean()) for norm in norms)
        total += _log((features - plain_features(network, moved)).abs().mean()) + variances
    return total / repeats


def plain_features(network: ResNet, x: Tensor) -> Tensor:
    """What the last stage gives when no block has a shortcut: `(N, 3, H, W) -> (N, C, h, w)`."""
    x = network.maxpool(network.act1(network.bn1(network.conv1(x))))
    for block in _blocks(network):
        x = block.act1(block.bn1(block.conv1(x)))
        x = block.act2(block.bn2(block.conv2(x)))
    return x


@torch.no_grad()
def naswot(network: nn.Module, images: Tensor) -> float:
    """log |det K|, K[i, j] = in how many ReLU units images i and j agree whether it is active (NASWOT)."""
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

    def agree(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        active = (output > 0).flatten(1).to(torch.float32)
        both = active @ active.T + (1 - active) @ (1 - active).T
        kernel.add_(both)

    hooks = [module.register_forward_hook(agree) for module in network.modules() if isinstance(module, nn.ReLU)]
    network(images)
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet)


def synflow(network: ResNet, resolution: int) -> float:
    """Sum over weights of |w| dR/d|w|, R the summed outputs for an input of ones, BN as identity, in float64 (SynFlow)."""
    linear = copy.deepcopy(network).double()
    _without_norms(linear)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    linear(torch.ones(1, 3, resolution, resolution, dtype=torch.float64)).sum().backward()
    return float(sum((p.detach() * p.grad).sum() for p in linear.parameters() if p.grad is not None))


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """L2 norm of the whole gradient of the batch's cross-entropy."""
    F.cross_entropy(network(images), labels).backward()
    return float(torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm())


def _log(value: Tensor) -> float:
    """Of 0 a very small number instead: in a tiny network every ReLU of a layer may be off for all inputs."""
    return math.log(max(float(value), torch.finfo(torch.float32).tiny))


def _blocks(network: ResNet) -> list[BasicBlock]:
    return [block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage]


def _without_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            _without_norms(child)
