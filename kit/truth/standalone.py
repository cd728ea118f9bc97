"""Training one architecture alone: what a supernet's ranking is compared with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from timm.models.resnet import ResNet
from torch.nn import functional as F

from kit.data import Batch, Data, normalize
from kit.errors import TrainingStoppedError
from kit.randomness import derive_seed
from kit.recipe import Profile
from kit.recipe.profile import TruthSettings
from kit.search_space import Architecture
from kit.supernet import build_subnet
from kit.truth.stacked import Stack


@dataclass(frozen=True, slots=True)
class StandaloneScore:
    """Validation result of one architecture trained alone from one seed; `loss` is the mean cross-entropy."""

    accuracy: float
    loss: float


def train_alone(
    architecture: Architecture, profile: Profile, data: Data, seeds: Sequence[int]
) -> tuple[StandaloneScore, ...]:
    """Train from scratch by the profile's `[truth]` settings, once for each seed, and score on the validation images.

    A seed decides initial weights and order of images; two architectures with one seed see the same images. Several seeds
    are trained as one `Stack`: the same trainings up to rounding.
    """
    settings = profile.truth
    network = Stack([_fresh(architecture, profile, data, seed) for seed in seeds]).train()
    optimizer = torch.optim.SGD(
        network.parameters(), settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    steps_per_epoch = max(1, data.train_size // settings.batch_size)
    steps = steps_per_epoch * settings.epochs
    warmup = round(steps_per_epoch * settings.warmup_epochs)
    step = 0
    for epoch in range(settings.epochs):
        for batches in zip(*(_epoch(settings, data, seed, epoch, steps_per_epoch) for seed in seeds), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * warmup_cosine(step, steps, warmup)
            optimizer.zero_grad(set_to_none=True)
            logits = network([normalize(batch.images, data) for batch in batches])
            losses = [F.cross_entropy(each, batch.labels) for each, batch in zip(logits, batches, strict=True)]
            torch.stack(losses).sum().backward()
            optimizer.step()
            step += 1
    return _score(network, profile, data, architecture)


def _fresh(architecture: Architecture, profile: Profile, data: Data, seed: int) -> ResNet:
    return build_subnet(
        architecture,
        profile.search_space,
        data.num_classes,
        generator=torch.Generator().manual_seed(derive_seed(seed, "truth", "weights", architecture.code)),
        zero_init_last=profile.network.zero_init_last,
    )


def _epoch(settings: TruthSettings, data: Data, seed: int, epoch: int, steps: int) -> Iterator[Batch]:
    order = derive_seed(seed, "truth", "order")
    return data.train_batches(seed=order, epoch=epoch, batch_size=settings.batch_size, steps=steps)


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a half cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def _score(network: Stack, profile: Profile, data: Data, architecture: Architecture) -> tuple[StandaloneScore, ...]:
    network.eval()
    correct = torch.zeros(network.count, dtype=torch.int64)
    losses = torch.zeros(network.count, dtype=torch.float64)
    for batch in data.val_batches(batch_size=profile.evaluation.batch_size):
        images = normalize(batch.images, data)
        for place, logits in enumerate(network([images] * network.count)):
            correct[place] += (logits.argmax(dim=1) == batch.labels).sum()
            losses[place] += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
    if not losses.isfinite().all():
        raise TrainingStoppedError(
            f"{architecture} trained alone ended with the losses {losses.tolist()}",
            hint="lower truth.learning_rate in the profile",
        )
    results = zip(correct.tolist(), losses.tolist(), strict=True)
    return tuple(StandaloneScore(right / data.val_size, loss / data.val_size) for right, loss in results)
