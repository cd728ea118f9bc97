"""One trainer for every method: it asks a sampler for paths, steps, and yields events."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from kit.data import Batch, Data, normalize
from kit.errors import TrainingStoppedError
from kit.events import CandidateReplaced, CheckpointSaved, Event, StepDone
from kit.methods import Path, Phase, Sampler, Scope
from kit.process_group import ProcessGroup
from kit.recipe import OptimizerSettings
from kit.training.checkpoint import CheckpointStore
from kit.training.objective import Objective
from kit.training.optimization import GroupedSGD
from kit.training.prefix_step import shared_backward
from kit.training.separate_step import separate_backward

LOWER_RATE = "the last checkpoint is kept; try a lower rate (--set profile.training.learning_rate_factor=...)"

TEACHER = "; or the teacher's outputs are not finite: check the pretrained weights"


@dataclass(frozen=True, kw_only=True)
class PhaseSettings:
    """What a phase's training loop needs to know besides network, data and sampler."""

    batch_size: int
    """Images of one step, over all processes."""
    learning_rate: float
    """Of the first epoch, scaling done."""
    optimizer: OptimizerSettings
    first_epoch: int
    """Epochs trained in earlier phases: it counts on for the loader, so that phases see different orders of images."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where, in which number format and beside which other processes a step is computed."""

    device: torch.device
    group: ProcessGroup = field(default_factory=ProcessGroup)
    autocast: torch.dtype | None = None
    channels_last: bool = False


@dataclass(frozen=True, kw_only=True)
class StepRunner:
    """Computes the gradients of one step on a batch, and never waits for the device."""

    network: nn.Module
    data: Data
    hardware: Hardware
    teacher: nn.Module | None
    """Full network whose logits soften the labels; kept in eval mode."""
    shared: bool = False
    """Whether common prefixes of the paths are computed once."""
    objective: type[Objective] = Objective

    def backward(self, batch: Batch, paths: list[Path]) -> Tensor:
        """Add the step's gradient to `.grad`; returns each path's cross-entropy, `(paths,)`: nan if the teacher is."""
        images = self.prepare(batch.images)
        labels = batch.labels.to(self.hardware.device, non_blocking=True)
        teacher_logits = None
        if any(path.distillation and path.source is None for path in paths):
            assert self.teacher is not None, "distillation needs a teacher"
            with torch.no_grad():
                teacher_logits = self.teacher.eval()(images)
        backward = shared_backward if self.shared else separate_backward
        losses = backward(
            self.network,
            images,
            labels,
            paths,
            teacher_logits,
            autocast=self.hardware.autocast,
            objective=self.objective,
        )
        if teacher_logits is None:
            return losses
        # No reported loss learns from the teacher, and asking here whether its logits are finite would make the host wait.
        return torch.where(torch.isfinite(teacher_logits).all(), losses, torch.nan)

    def prepare(self, images: Tensor) -> Tensor:
        """Decoded images as the network wants them: `uint8 (N, 3, H, W) -> float32`, normalised, on the device."""
        return normalize(images, self.data, device=self.hardware.device, channels_last=self.hardware.channels_last)


def train_phase(
    settings: PhaseSettings,
    runner: StepRunner,
    sampler: Sampler[Phase],
    store: CheckpointStore,
    *,
    checkpoint_seconds: float,
    should_stop: Callable[[], bool],
) -> Iterator[Event]:
    """Train from the newest checkpoint (or the network's weights) to the end of the phase, or until `should_stop`.

    A stop saves a checkpoint first, so nothing is lost. Raises `TrainingStoppedError` before the optimizer step when a loss
    is not finite; the last checkpoint stays as it is.

    Of several processes each trains the same paths on its own part of the batch; gradients and losses are averaged in one
    exchange per step, BN statistics stay each process's own, the first one writes.
    """
    network, group, phase = runner.network.train(), runner.hardware.group, sampler.settings.name
    optimizer = GroupedSGD(network, settings.optimizer)
    step, sampler_state = store.load(network, optimizer)
    if sampler_state:
        sampler.restore(sampler_state)
    saved_at = time.monotonic()
    while step < sampler.steps:
        started = time.perf_counter()
        for batch in _rest_of_epoch(settings, runner, sampler.scope, step):
            data_seconds = time.perf_counter() - started
            done, stopping = _train_step(settings.learning_rate, runner, sampler, optimizer, batch, step, should_stop())
            replacement = sampler.finish_step(step)
            yield replace(done, seconds=time.perf_counter() - started, data_seconds=data_seconds)
            if replacement is not None:
                removed, added = replacement.removed.code, replacement.added.code
                yield CandidateReplaced(phase=phase, step=step, removed=removed, added=added)
            step += 1
            if step == sampler.steps:
                require_finite(network, phase, step)
            elif group.is_first and (stopping or time.monotonic() - saved_at >= checkpoint_seconds):
                require_finite(network, phase, step)
                store.save(step, network, optimizer, sampler.state())
                saved_at = time.monotonic()
                yield CheckpointSaved(phase=phase, step=step)
            if stopping:
                return
            started = time.perf_counter()


def _train_step(
    rate: float, runner: StepRunner, sampler: Sampler[Phase], optimizer: GroupedSGD, batch: Batch, step: int, stop: bool
) -> tuple[StepDone, bool]:
    """One optimizer step, not timed yet, and whether any process wants to `stop`; `rate` is the phase's first."""
    paths, rate = sampler.paths(step), sampler.learning_rate(step, rate)
    optimizer.prepare(rate, sampler.momentum_group(step))
    losses, stopping = runner.hardware.group.average(runner.network, runner.backward(batch, paths), stop)
    check_finite(losses, paths, sampler.settings.name, step)
    optimizer.step()
    done = StepDone(
        phase=sampler.settings.name,
        step=step,
        epoch=step // sampler.scope.steps_per_epoch,
        learning_rate=rate,
        seconds=0.0,
        data_seconds=0.0,
        losses=tuple(losses),
        codes=tuple(path.architecture.code for path in paths),
    )
    return done, stopping


def _rest_of_epoch(settings: PhaseSettings, runner: StepRunner, scope: Scope, step: int) -> Iterator[Batch]:
    """This process's batches from `step` (counted in the phase) to the end of its epoch."""
    epoch, within = divmod(step, scope.steps_per_epoch)
    group = runner.hardware.group
    return runner.data.train_batches(
        seed=scope.seed,
        epoch=settings.first_epoch + epoch,
        batch_size=settings.batch_size // group.size,
        start=within,
        steps=scope.steps_per_epoch,
        rank=group.rank,
        world_size=group.size,
    )


def check_finite(losses: list[float], paths: list[Path], phase: str, step: int) -> None:
    """Raise `TrainingStoppedError` naming phase, step and architecture of the first loss that is not finite."""
    for loss, path in zip(losses, paths, strict=True):
        if not math.isfinite(loss):
            raise TrainingStoppedError(
                f"phase {phase}, step {step}: the loss of {path.architecture} is {loss}; nothing was updated",
                hint=LOWER_RATE + (TEACHER if any(each.distillation and each.source is None for each in paths) else ""),
            )


def require_finite(network: nn.Module, phase: str, step: int) -> None:
    """Raise `TrainingStoppedError` rather than let weights that are not finite replace a good checkpoint."""
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise TrainingStoppedError(
                f"phase {phase}, step {step}: {name} is not finite any more; it was not saved",
                hint=LOWER_RATE,
            )
