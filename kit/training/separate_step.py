"""The plain step: one forward and backward pass per path. The shared step is tested against it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kit.methods import Path
from kit.supernet.elastic import precision
from kit.supernet.slicing import gradients_into_slices
from kit.training.objective import Objective


def separate_backward(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Path],
    teacher_logits: Tensor | None = None,
    *,
    autocast: torch.dtype | None = None,
    objective: type[Objective] = Objective,
) -> Tensor:
    """Add to `.grad` the gradient of the weighted sum of the paths' losses, one forward and backward per path.

    loss = sum over paths of weight * CE(labels) + distillation * CE(softmax(teacher_logits)), temperature 1; `Path` tells
    what else a path may ask for. Gradients accumulate, so memory is that of one path.

    The network is called as `network(images, architecture)`: `(N, 3, H, W) -> (N, classes)`, images normalised; labels are
    class indices `(N,)`, teacher logits `(N, classes)`. An architecture may occur more than once. `autocast` is a lower
    precision for the forward pass; losses are computed in float32 (or the network's own, if higher). `objective` turns
    logits into losses.

    Returns each path's cross-entropy to the labels, detached, in order: `(paths,)`.
    """
    step = objective(paths, labels, teacher_logits)
    for position in step.order():
        path = paths[position]
        with torch.set_grad_enabled(path.trained), precision(images.device, autocast), gradients_into_slices():
            logits = network(images, path.architecture)
        if path.trained:
            step.add(position, logits).backward()
        else:
            step.measure(position, logits)
    return step.result()
