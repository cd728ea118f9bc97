"""The one seam of every training method: weighted paths in, gradients out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kit.methods import Path
from kit.supernet.elastic import precision
from kit.supernet.slicing import gradients_into_slices


def separate_backward(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Path],
    teacher_logits: Tensor | None = None,
    *,
    autocast: torch.dtype | None = None,
) -> Tensor:
    """Add to `.grad` the gradient of the weighted sum of the paths' losses, one forward and backward per path.

    loss = sum over paths of weight * CE(labels) + distillation * CE(softmax(teacher_logits)), temperature 1.
    Gradients accumulate, so memory is that of one path.

    Args:
        network: called as `network(images, architecture)`; `(N, 3, H, W) -> (N, classes)`.
        images: `(N, 3, H, W)`, normalised.
        labels: `(N,)`, class indices.
        paths: what to train; an architecture may occur more than once.
        teacher_logits: `(N, classes)`, needed when a path has a distillation weight.
        autocast: lower precision of the forward pass; losses are computed in float32 (or the network's own, if higher).

    Returns:
        Each path's cross-entropy to the labels, detached, in order: `(paths,)`.
    """
    soft_labels = None if teacher_logits is None else teacher_logits.detach().softmax(dim=1)
    losses = []
    for path in paths:
        with precision(images.device, autocast), gradients_into_slices():
            logits = network(images, path.architecture)
        cross_entropy, loss = path_loss(logits, labels, path, soft_labels)
        loss.backward()
        losses.append(cross_entropy.detach())
    return torch.stack(losses)


def path_loss(logits: Tensor, labels: Tensor, path: Path, soft_labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """A path's cross-entropy to the labels, and the weighted loss it contributes to the step."""
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    cross_entropy = F.cross_entropy(logits, labels)
    loss = path.weight * cross_entropy
    if path.distillation:
        assert soft_labels is not None, "a path with a distillation weight needs teacher_logits"
        loss = loss + path.distillation * F.cross_entropy(logits, soft_labels.to(logits.dtype))
    return cross_entropy, loss
