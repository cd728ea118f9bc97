"""Which image comes when: a pure function of (seed, epoch, step), whatever process asks and wherever it starts."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.errors import InputError
from kit.randomness import derive_seed


@dataclass(frozen=True, slots=True)
class Turn:
    """What one step of one rank reads: `indices` of images, found at `places` of the pass's permutation."""

    pass_index: int
    places: slice
    indices: Tensor


@dataclass(frozen=True, slots=True)
class Order:
    """A stream of shuffled passes over `size` images, each cut into whole global batches.

    A global batch is the ranks' batches side by side: rank r of w with batch b sees the r-th b images of what a single
    process with batch w x b would see. `seed` stands for everything random here and in the augmentation.
    """

    seed: int
    size: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.world_size, f"rank {self.rank} of {self.world_size}"
        if self.batch_size < 1:
            raise InputError(f"a batch needs at least one image, not {self.batch_size}")
        if self.steps_per_pass < 1:
            images = self.batch_size * self.world_size
            raise InputError(
                f"a global batch of {images} images is larger than the {self.size} training images",
                hint="choose a smaller batch or more training images",
            )

    @property
    def steps_per_pass(self) -> int:
        return self.size // (self.batch_size * self.world_size)

    def turns(self, start: int, stop: int) -> Iterator[Turn]:
        """The turns of steps `start` to `stop`, without computing the ones before."""
        shuffled: tuple[int, Tensor] | None = None
        for step in range(start, stop):
            pass_index, within = divmod(step, self.steps_per_pass)
            if shuffled is None or shuffled[0] != pass_index:
                shuffled = pass_index, torch.randperm(self.size, generator=self.generator("permutation", pass_index))
            first = (within * self.world_size + self.rank) * self.batch_size
            places = slice(first, first + self.batch_size)
            yield Turn(pass_index, places, shuffled[1][places])

    def generator(self, purpose: str, pass_index: int) -> torch.Generator:
        """A private generator for one pass."""
        return torch.Generator().manual_seed(derive_seed(self.seed, purpose, pass_index))

    def sample_seed(self, pass_index: int, index: int) -> int:
        """The seed of one image's augmentation in one pass."""
        return derive_seed(self.seed, "augmentation", pass_index, index)
