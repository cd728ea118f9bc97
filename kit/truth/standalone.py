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
from kit.recipe import OptimizerSettings, Profile
from kit.search_space import Architecture
from kit.supernet import build_subnet
from kit.training.optimization import GroupedSGD
from kit.truth.stacked import Stack

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class StandaloneScore:
    """Validation result of one architecture trained alone from one seed; `loss` is the mean cross-entropy."""

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: its learning rate, and the mean cross-entropy of each seed's batch."""

    learning_rate: float
    losses: tuple[float, ...]


class StandaloneTraining:
    """One architecture trained by the profile's `[truth]` settings, once for each seed, as one `Stack`.

    A seed decides initial weights (unless `networks` brings them) and order of images; two architectures with one seed see
    the same images. Several seeds together are the same trainings as one after another, up to rounding.
    """

    def __init__(
        self,
        architecture: Architecture,
        profile: Profile,
        data: Data,
        seeds: Sequence[int],
        *,
        networks: Sequence[ResNet] | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.architecture = architecture
        self.profile = profile
        self.data = data
        self.seeds = seeds
        self.device = device
        networks = networks or [_fresh(architecture, profile, data, seed) for seed in seeds]
        self.network = Stack([network.to(device) for network in networks]).train()
        settings = profile.truth
        optimizer = OptimizerSettings(momentum=settings.momentum, weight_decay=settings.weight_decay)
        self.optimizer = GroupedSGD(self.network, optimizer)
        self.steps_per_epoch = max(1, data.train_size // settings.batch_size)
        self.steps = self.steps_per_epoch * settings.epochs
        self.step = 0
        """How many are done. Who restores network and optimizer sets it, and the rest is the same bit for bit."""

    def run(self) -> Iterator[Step]:
        """Train from `step` to the end. Raises `TrainingStoppedError`, before the optimizer's step, where it diverges."""
        settings = self.profile.truth
        warmup = round(self.steps_per_epoch * settings.warmup_epochs)
        while self.step < self.steps:
            for batches in zip(*map(self._rest_of_epoch, self.seeds), strict=True):
                rate = settings.learning_rate * warmup_cosine(self.step, self.steps, warmup)
                self.optimizer.prepare(rate)
                logits = self.network([normalize(batch.images, self.data, device=self.device) for batch in batches])
                losses = torch.stack(
                    [
                        F.cross_entropy(each, batch.labels.to(self.device))
                        for each, batch in zip(logits, batches, strict=True)
                    ]
                )
                values = losses.tolist()
                self._require_finite(values, f"has at step {self.step + 1}")
                losses.sum().backward()
                self.optimizer.step()
                self.step += 1
                yield Step(rate, tuple(values))

    def _require_finite(self, losses: Sequence[float], when: str) -> None:
        if not all(map(math.isfinite, losses)):
            raise TrainingStoppedError(
                f"{self.architecture} trained alone {when} the losses {losses}",
                hint="lower truth.learning_rate in the profile",
            )

    def _rest_of_epoch(self, seed: int) -> Iterator[Batch]:
        epoch, start = divmod(self.step, self.steps_per_epoch)
        return self.data.train_batches(
            seed=derive_seed(seed, "truth", "order"),
            epoch=epoch,
            batch_size=self.profile.truth.batch_size,
            start=start,
            steps=self.steps_per_epoch,
        )

    @torch.no_grad()
    def score(self) -> tuple[StandaloneScore, ...]:
        """Each seed's accuracy and loss on the images that `truth.validation` names.

        Raises `TrainingStoppedError` where it diverged.
        """
        network = self.network.eval()
        correct = torch.zeros(network.count, dtype=torch.int64)
        losses = torch.zeros(network.count, dtype=torch.float64)
        size, batch_size = 0, self.profile.evaluation.batch_size
        unseen = self.profile.truth.validation == "unseen"
        batches = self.data.unseen_batches if unseen else self.data.val_batches
        for batch in batches(batch_size=batch_size):
            size += len(batch.labels)
            images, labels = normalize(batch.images, self.data, device=self.device), batch.labels.to(self.device)
            for place, logits in enumerate(network([images] * network.count)):
                correct[place] += (logits.argmax(dim=1) == labels).sum().cpu()
                losses[place] += float(F.cross_entropy(logits, labels, reduction="sum"))
        network.train()
        self._require_finite(losses.tolist(), "ended with")
        results = zip(correct.tolist(), losses.tolist(), strict=True)
        return tuple(StandaloneScore(right / size, loss / size) for right, loss in results)


def train_alone(
    architecture: Architecture, profile: Profile, data: Data, seeds: Sequence[int]
) -> tuple[StandaloneScore, ...]:
    """Train from scratch, see `StandaloneTraining`, and score on the validation images."""
    training = StandaloneTraining(architecture, profile, data, seeds)
    for _ in training.run():
        pass
    return training.score()


def _fresh(architecture: Architecture, profile: Profile, data: Data, seed: int) -> ResNet:
    return build_subnet(
        architecture,
        profile.search_space,
        data.num_classes,
        generator=torch.Generator().manual_seed(derive_seed(seed, "truth", "weights", architecture.code)),
        zero_init_last=profile.network.zero_init_last,
    )


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a half cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
