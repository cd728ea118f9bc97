"""What a step trains: the target and weight of each path, in an order in which what they depend on is known."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kit.errors import InputError, KitError
from kit.methods import Path


class Objective:
    """The losses of one step. A method may bring a subclass with another `loss`.

    Where a path learns from the output of another or its weight depends on other losses, these are measured first; they are
    detached, so a path has a gradient from its own loss only.
    """

    def __init__(self, paths: Sequence[Path], labels: Tensor, teacher_logits: Tensor | None = None) -> None:
        self.paths = paths
        self.labels = labels
        self.soft_labels = None if teacher_logits is None else teacher_logits.detach().softmax(dim=1)
        self.needs = [_needs(path) for path in paths]
        self.independent = not any(self.needs)
        self.sources = {path.source for path in paths}
        self.losses: dict[int, Tensor] = {}
        """Cross-entropies measured so far, detached, by position."""
        self.outputs: dict[int, Tensor] = {}
        """Logits of the paths that others learn from, detached, by position."""

    def order(self) -> list[int]:
        """Positions of all paths: those that only go forward first, each after those it needs, else as they stand."""
        waiting = sorted(range(len(self.paths)), key=lambda position: self.paths[position].trained)
        if self.independent:
            return waiting
        ordered: list[int] = []
        while waiting:
            ready = next((position for position in waiting if self.needs[position] <= set(ordered)), None)
            assert ready is not None, f"paths {waiting} wait for one another"
            waiting.remove(ready)
            ordered.append(ready)
        return ordered

    def missing(self, positions: Iterable[int]) -> set[int]:
        """What these paths need of others and is not measured yet."""
        wanted = set(positions)
        return set().union(*(self.needs[position] for position in wanted)) - wanted - self.losses.keys()

    def measure(self, position: int, logits: Tensor) -> Tensor:
        """Note the cross-entropy of a path (and its output, where another path learns from it) and return it."""
        logits = _precise(logits)
        cross_entropy = F.cross_entropy(logits, self.labels)
        self.losses[position] = cross_entropy.detach()
        if position in self.sources:
            self.outputs[position] = logits.detach()
        return cross_entropy

    def add(self, position: int, logits: Tensor) -> Tensor:
        """Measure a path that is trained, and return the weighted loss that it adds to the step."""
        return self.loss(self.paths[position], _precise(logits), self.measure(position, logits))

    def loss(self, path: Path, logits: Tensor, cross_entropy: Tensor) -> Tensor:
        """weight * factor * CE(labels, smoothed) + distillation * CE(softmax of the source's or the teacher's logits)."""
        loss = path.weight * cross_entropy
        if path.smoothing:
            loss = path.weight * F.cross_entropy(logits, self.labels, label_smoothing=path.smoothing)
        if path.factor is not None:
            given = [self.losses[position] for position in path.factor.given]
            loss = loss * path.factor(cross_entropy.detach(), *given)
        if path.distillation:
            soft = self.soft_labels if path.source is None else self.outputs[path.source].softmax(dim=1)
            assert soft is not None, "a path that learns from the teacher needs teacher_logits"
            loss = loss + path.distillation * F.cross_entropy(logits, soft.to(logits.dtype))
        return loss

    def result(self) -> Tensor:
        """Every path's cross-entropy, in order: `(paths,)`."""
        return torch.stack([self.losses[position] for position in range(len(self.paths))])


def _precise(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _needs(path: Path) -> frozenset[int]:
    if not path.trained:
        return frozenset()
    given = () if path.factor is None else path.factor.given
    source = () if path.source is None else (path.source,)
    return frozenset((*given, *source))


def checked(kind: Any, file: str) -> type[Objective]:
    """An objective from outside the kit, whose answers are believed only where a step can use them.

    Raises `InputError` naming its `file` where it is no `Objective`, fails, or gives no single number with a gradient.
    """
    if not (isinstance(kind, type) and issubclass(kind, Objective)):
        raise InputError(f"{file}: Objective must be a kit.training.objective.Objective (found {kind!r})")

    class Checked(kind):  # type: ignore[misc]
        def loss(self, path: Path, logits: Tensor, cross_entropy: Tensor) -> Tensor:
            try:
                loss = super().loss(path, logits, cross_entropy)
            except KitError:
                raise
            except Exception as error:
                raise InputError(f"{file}: loss(...) failed: {type(error).__name__}: {error}") from error
            if not (isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad):
                found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
                raise InputError(f"{file}: loss(...) returned {found}, not one number with a gradient")
            return loss

    return Checked
