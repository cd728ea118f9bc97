"""Several networks of one shape as one grouped network: what each would compute alone, in fewer and larger operations."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn


class Stack(nn.Module):
    """Networks of one architecture side by side, without influence on each other.

    A batch `(N, C, H, W)` for each of them -> its logits `(N, classes)`. A single network stays as it is.
    """

    def __init__(self, networks: Sequence[ResNet]) -> None:
        super().__init__()
        self.count = len(networks)
        self.network: nn.Module = networks[0]
        if self.count > 1:
            self.network = deepcopy(networks[0])
            for name, _ in list(self.network.named_modules()):
                merged = _merge([each.get_submodule(name) for each in networks])
                if merged is not None:
                    self.network.set_submodule(name, merged)
            # Grouped convolutions are twice as fast in this layout, single ones are not.
            self.network.to(memory_format=torch.channels_last)

    def forward(self, batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if self.count == 1:
            return (self.network(batches[0]),)
        images = torch.cat(list(batches), dim=1).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(images)  # (N, K, classes)
        return logits.unbind(1)


class SideBySide(nn.Module):
    """Linear layers of one shape, each on its own share of the features: `(N, K * F)` -> `(N, K, classes)`."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))  # (K, classes, F)
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, features: Tensor) -> Tensor:
        count, _, width = self.weight.shape
        shares = features.view(-1, count, width).transpose(0, 1)
        return torch.baddbmm(self.bias.unsqueeze(1), shares, self.weight.mT).transpose(0, 1)


def _merge(layers: Sequence[nn.Module]) -> nn.Module | None:
    """One layer that does what these do side by side; None for what has no weights."""
    first, count = layers[0], len(layers)
    if isinstance(first, nn.Linear):
        return SideBySide([layer for layer in layers if isinstance(layer, nn.Linear)])
    if isinstance(first, nn.Conv2d):
        channels = count * first.in_channels, count * first.out_channels
        shape = first.kernel_size, first.stride, first.padding
        merged: nn.Module = nn.Conv2d(*channels, *shape, groups=count, bias=False)  # type: ignore[arg-type]
    elif isinstance(first, nn.BatchNorm2d):
        merged = nn.BatchNorm2d(count * first.num_features, first.eps, first.momentum)
    else:
        return None
    states = [layer.state_dict() for layer in layers]
    # BN's count of batches is a single number, the same for all.
    whole = {
        name: torch.cat([state[name] for state in states]) if value.ndim else value for name, value in states[0].items()
    }
    merged.load_state_dict(whole, assign=True)
    for parameter in merged.parameters():
        parameter.requires_grad_(True)
    return merged
