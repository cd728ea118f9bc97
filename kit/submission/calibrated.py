"""Sub-networks as people take them home: extracted, calibrated as the evaluator does, a plain timm state dict."""

import math
from pathlib import Path

from timm.models.resnet import ResNet

from kit import __version__
from kit.errors import StorageError
from kit.evaluation import EvaluationImages, calibrated_subnet, count_correct
from kit.results import Counts
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.weights import save_weights


def allowed_difference(images: int, *, same_environment: bool, exact_precision: bool) -> int:
    """By how many correct predictions two scorings of one sub-network may differ.

    Not at all with the same versions, threads and kind of processor. Elsewhere sums are rounded in another order, which
    turns near ties: one image in 1,000 and one more in float32, one in 200 and one more in bfloat16.
    """
    if same_environment:
        return 0
    return 1 + math.ceil(images / (1000 if exact_precision else 200))


def calibrate_as_scored(
    supernet: ElasticResNet | FewShotSupernet,
    architecture: Architecture,
    images: EvaluationImages,
    *,
    recorded: Counts | None,
    same_environment: bool = True,
) -> tuple[ResNet, Counts]:
    """Extract and calibrate one sub-network, and make sure that it scores what the sweep recorded for it.

    Returns a plain timm `ResNet` on the CPU, in eval mode, and its score. `recorded` may be None for an architecture that
    was never scored. Raises `StorageError` when the score differs by more than `allowed_difference`: the weights or images
    are then not those of the recorded score.
    """
    network = calibrated_subnet(supernet, architecture, images)
    correct, total = count_correct(network, images)
    if recorded is not None:
        allowed = allowed_difference(total, same_environment=same_environment, exact_precision=images.autocast is None)
        if total != recorded[1] or abs(correct - recorded[0]) > allowed:
            raise StorageError(
                f"{architecture} gets {correct} of {total} images right, recorded are {recorded[0]} of {recorded[1]} "
                f"(a difference of {allowed} would be accepted)",
                hint="score the run again with `kit evaluate RUN --fresh`, with these versions and threads",
            )
    return network.cpu(), (correct, total)


def save_calibrated(network: ResNet, architecture: Architecture, score: Counts, path: Path) -> None:
    """Write the state dict as `.safetensors`; equal weights give equal bytes."""
    correct, images = score
    save_weights(network, path, extra={"code": architecture.code, "correct": correct, "images": images, "kit": __version__})
