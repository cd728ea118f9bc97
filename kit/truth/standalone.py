"""Training one architecture alone: what a supernet's ranking is compared with."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from kit.data import Data, normalize
from kit.errors import TrainingStoppedError
from kit.randomness import derive_seed
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.supernet import build_subnet


@dataclass(frozen=True, slots=True)
class StandaloneScore:
    """Validation result of one architecture trained alone from one seed; `loss` is the mean cross-entropy."""

    accuracy: float
    loss: float


def train_alone(architecture: Architecture, profile: Profile, data: Data, seed: int) -> StandaloneScore:
    """Train from scratch by the profile's `[truth]` settings and score on the validation images.

    The seed decides initial weights and order of images; two architectures with one seed see the same images.
    """
    settings = profile.truth
    generator = torch.Generator().manual_seed(derive_seed(seed, "truth", "weights", architecture.code))
    network = build_subnet(
        architecture,
        profile.search_space,
        data.num_classes,
        generator=generator,
        zero_init_last=profile.network.zero_init_last,
    ).train()
    optimizer = torch.optim.SGD(
        network.parameters(), settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    steps_per_epoch = max(1, data.train_size // settings.batch_size)
    steps = steps_per_epoch * settings.epochs
    warmup = round(steps_per_epoch * settings.warmup_epochs)
    step = 0
    for epoch in range(settings.epochs):
        order_seed = derive_seed(seed, "truth", "order")
        for batch in data.train_batches(seed=order_seed, epoch=epoch, batch_size=settings.batch_size, steps=steps_per_epoch):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * warmup_cosine(step, steps, warmup)
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(normalize(batch.images, data)), batch.labels)
            loss.backward()
            optimizer.step()
            step += 1
    return _score(network, profile, data, architecture)


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a half cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def _score(network: torch.nn.Module, profile: Profile, data: Data, architecture: Architecture) -> StandaloneScore:
    network.eval()
    correct, total, loss = 0, 0, 0.0
    for batch in data.val_batches(batch_size=profile.evaluation.batch_size):
        logits = network(normalize(batch.images, data))
        correct += int((logits.argmax(dim=1) == batch.labels).sum())
        loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        total += len(batch.labels)
    if not math.isfinite(loss):
        raise TrainingStoppedError(
            f"{architecture} trained alone ended with the loss {loss}", hint="lower truth.learning_rate in the profile"
        )
    return StandaloneScore(correct / total, loss / total)
