"""Sub-networks taken out of a supernet: plain timm `ResNet`s that need nothing of the kit."""

from collections.abc import Mapping
from typing import Any

import torch
from timm.models import load_pretrained, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from kit.costs import IN_CHANNELS
from kit.recipe import load_profile
from kit.search_space import RESNET48, Architecture, SearchSpace
from kit.supernet.elastic import ElasticResNet, initialise, shape_like
from kit.supernet.few_shot import FewShotSupernet


def build_subnet(
    architecture: Architecture,
    space: SearchSpace = RESNET48,
    num_classes: int = 1000,
    *,
    generator: torch.Generator | None = None,
    zero_init_last: bool = True,
) -> ResNet:
    """A timm `ResNet` of this shape with fresh weights, as for training it alone."""
    network = _blank_subnet(architecture, space, num_classes)
    network.to_empty(device="cpu")
    initialise(network, generator, zero_init_last=zero_init_last)
    return network


def extract_subnet(supernet: ElasticResNet | FewShotSupernet, architecture: Architecture) -> ResNet:
    """Copy a sub-network out of its supernet: the leading slice of every tensor, in the supernet's mode.

    The result computes bitwise what the supernet computes for `architecture`, in eval and in train mode.
    """
    if isinstance(supernet, FewShotSupernet):
        return extract_subnet(supernet.member_of(architecture), architecture)
    network = _blank_subnet(architecture, supernet.space, supernet.num_classes)
    weights = supernet.state_dict()
    sliced = {
        name: weights[name][tuple(slice(size) for size in blank.shape)].clone(memory_format=torch.contiguous_format)
        for name, blank in network.state_dict().items()
    }
    network.load_state_dict(sliced, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.train(supernet.training)


@register_model  # type: ignore[untyped-decorator]
def resnet48_subnet(
    pretrained: bool = False,
    *,
    code: str,
    space: SearchSpace | dict[str, Any] | None = None,
    profile: str | None = None,
    num_classes: int | None = None,
    pretrained_cfg: Mapping[str, Any] | None = None,
    pretrained_model_args: Mapping[str, Any] | None = None,
    **kwargs: object,
) -> nn.Module:
    """`timm.create_model("resnet48_subnet", code="1252...")`: the static network of a code.

    What the digits mean and how many classes there are say `space` (also as its JSON) and `num_classes`, else `profile` (a
    name or a TOML file), else the challenge. `timm.create_model("local-dir:DIR", pretrained=True)` gives the network of a
    folder that `kit export hub` wrote; another `num_classes` gives it a new head.
    """
    config = dict(pretrained_cfg) if isinstance(pretrained_cfg, Mapping) else {}
    unknown = {key for key, value in kwargs.items() if value not in (None, {}, False)}
    if (pretrained and config.get("source") != "local-dir") or unknown:
        expected = "code, profile, space and num_classes"
        raise TypeError(f"resnet48_subnet takes {expected}; unexpected: {sorted(unknown) or 'pretrained'}")
    chosen = load_profile(profile or "imagenet")
    space = SearchSpace.from_json(space) if isinstance(space, dict) else space or chosen.search_space
    classes = num_classes or config.get("num_classes") or chosen.num_classes
    network: nn.Module = build_subnet(space.parse(code), space, classes)
    for name in ("pretrained_cfg", "default_cfg") if config else ():  # where timm looks for sizes and colours
        setattr(network, name, config)
    if pretrained:
        load_pretrained(network, config, num_classes=classes, in_chans=IN_CHANNELS)
    return network


def _blank_subnet(architecture: Architecture, space: SearchSpace, num_classes: int) -> ResNet:
    channels = tuple(stage.out_channels for stage in architecture.stages)
    network = ResNet(BasicBlock, architecture.depths, num_classes=num_classes, channels=channels, device="meta")
    shape_like(network, architecture, space.stem)
    return network
