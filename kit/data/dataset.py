"""`Data`: one data set at one resolution, as reproducible streams of uint8 batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from kit.data.augment import ArrayAugmenter, Augmentation, evaluation_transform, resize_pixels, training_transform
from kit.data.batches import CHANNELS, Batch, Statistics, to_rgb
from kit.data.images import as_images
from kit.data.loading import Request, decoded_batches
from kit.data.order import Order
from kit.data.splits import ArraySplit, ImageSplit, Split, stratified_order
from kit.errors import InputError
from kit.randomness import derive_seed


@dataclass(frozen=True)
class Data:
    """A data set with what a network needs to know about it. Made by `open_data`."""

    classes: tuple[str, ...]
    train_size: int
    val_size: int
    resolution: int
    mean: Statistics
    std: Statistics
    source: str
    """Names the content of the whole data set, wherever it lies."""
    fingerprint: str
    """Names the images used: `source`, and how many of them."""
    feed: "ArrayFeed | ImageFeed"
    left_out: Split | None = None
    """Training images beyond `train_size`, which no training sees."""
    notes: tuple[str, ...] = ()
    """What a user should know, such as images that were left out."""

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def with_validation(self, count: int, start: int = 0) -> "Data":
        """The same data with `count` validation images, a fixed stratified draw in which every part is one, too.

        A smaller draw lies inside every larger one; `start` leaves out the images of the one of that size. Raises
        `InputError` where there are fewer images.
        """
        val = self.feed.val
        if count > len(val.labels):
            raise InputError(
                f"{count:,} validation images are asked for, there are {len(val.labels):,}",
                hint="leave --images out for all",
            )
        chosen = val.subset(torch.tensor(stratified_order(val.labels.tolist())[start:count], dtype=torch.int64))
        return replace(self, val_size=count - start, feed=self.feed.over_validation(chosen))

    def train_batches(
        self,
        *,
        seed: int,
        epoch: int,
        batch_size: int,
        start: int = 0,
        steps: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[Batch]:
        """The shuffled, augmented batches of steps `start` to `steps` of an epoch: a function of `seed` and `epoch`.

        `steps` is where the epoch ends (None: after one pass without its incomplete last batch); beyond one pass it goes on
        with a new permutation. `batch_size` is per rank, as in torch. Raises `InputError` if no whole global batch exists.
        """
        order = Order(derive_seed("training data", seed, epoch), self.train_size, batch_size, rank, world_size)
        return self.feed.training(order, start, order.steps_per_pass if steps is None else steps)

    def calibration_batches(self, *, seed: int, batch_size: int, batches: int) -> Sequence[Tensor]:
        """Training images `(batch_size, 3, H, W)` with training augmentation, for re-estimating BN statistics."""
        order = Order(derive_seed("calibration data", seed), self.train_size, batch_size)
        return [batch.images for batch in self.feed.training(order, 0, batches)]

    def val_batches(self, *, batch_size: int) -> "ValBatches":
        """All validation images in a fixed order; iterate as often as you like."""
        if batch_size < 1:
            raise InputError(f"a batch needs at least one image, not {batch_size}")
        return ValBatches(self.feed, self.val_size, batch_size)

    def unseen_batches(self, *, batch_size: int) -> Iterator[Batch]:
        """All images that training never sees: those for validation, then the training images that are left out."""
        yield from self.val_batches(batch_size=batch_size)
        if self.left_out is not None:
            yield from ValBatches(self._left_out_feed, len(self.left_out.labels), batch_size)

    @cached_property
    def _left_out_feed(self) -> "ArrayFeed | ImageFeed":
        """Kept, because it keeps what it has decoded for the next training that is scored."""
        assert self.left_out is not None
        return self.feed.over_validation(self.left_out)


@dataclass(frozen=True)
class ValBatches:
    """The validation split in batches; the last one may be smaller."""

    feed: "ArrayFeed | ImageFeed"
    size: int
    batch_size: int

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.feed.validation(self.batch_size)


@dataclass(frozen=True)
class ArrayFeed:
    """Batches cut out of memory; a batch of 128 small images takes well under a millisecond."""

    train: ArraySplit
    val: ArraySplit
    augmenter: ArrayAugmenter

    @classmethod
    def over(cls, train: ArraySplit, val: ArraySplit, augmentation: Augmentation, resolution: int) -> "ArrayFeed":
        train, val = (_resized(split, resolution) for split in (train, val))
        return cls(train, val, ArrayAugmenter.over(train.pixels, augmentation))

    def over_validation(self, val: Split) -> "ArrayFeed":
        """The same with other validation images."""
        assert isinstance(val, ArraySplit)
        return replace(self, val=_resized(val, self.val.pixels.shape[-1]))

    def training(self, order: Order, start: int, stop: int) -> Iterator[Batch]:
        drawn: tuple[int, Tensor] | None = None
        for turn in order.turns(start, stop):
            if drawn is None or drawn[0] != turn.pass_index:
                drawn = turn.pass_index, self.augmenter.draw(order.generator("augmentation", turn.pass_index))
            images = self.augmenter.apply(turn.indices, drawn[1][:, turn.places])
            yield Batch(images, self.train.labels[turn.indices])

    def validation(self, batch_size: int) -> Iterator[Batch]:
        for images, labels in zip(self.val.pixels.split(batch_size), self.val.labels.split(batch_size), strict=True):
            yield Batch(to_rgb(images), labels.clone())


def _resized(split: ArraySplit, resolution: int) -> ArraySplit:
    return replace(split, pixels=resize_pixels(split.pixels, resolution))


@dataclass
class ImageFeed:
    """Batches decoded from images; the validation split is decoded once if it fits into `cache_bytes`."""

    train: ImageSplit
    val: ImageSplit
    augmentation: Augmentation
    resolution: int
    workers: int
    cache_bytes: int
    _decoded: Batch | None = field(default=None, repr=False)

    def over_validation(self, val: Split) -> "ImageFeed":
        """The same with other validation images, none of them decoded yet."""
        return replace(self, val=as_images(val), _decoded=None)

    def training(self, order: Order, start: int, stop: int) -> Iterator[Batch]:
        def requests() -> Iterator[list[Request]]:
            for turn in order.turns(start, stop):
                yield [(index, order.sample_seed(turn.pass_index, index)) for index in turn.indices.tolist()]

        transform = training_transform(self.augmentation, self.resolution)
        return decoded_batches(self.train, transform, requests, workers=self.workers)

    def validation(self, batch_size: int) -> Iterator[Batch]:
        size = len(self.val.labels)
        if size * CHANNELS * self.resolution**2 > self.cache_bytes:
            yield from self._decode(batch_size)
            return
        if self._decoded is None:
            self._decoded = self._decode_all(size)
        for images, labels in zip(
            self._decoded.images.split(batch_size), self._decoded.labels.split(batch_size), strict=True
        ):
            # A copy, so that nobody's in-place change reaches the next iteration.
            yield Batch(images.clone(), labels.clone())

    def _decode_all(self, size: int) -> Batch:
        images = torch.empty(size, CHANNELS, self.resolution, self.resolution, dtype=torch.uint8)
        filled = 0
        for batch in self._decode(64):
            images[filled : filled + len(batch.images)] = batch.images
            filled += len(batch.images)
        return Batch(images, self.val.labels)

    def _decode(self, batch_size: int) -> Iterator[Batch]:
        def requests() -> Iterator[list[Request]]:
            positions = iter(range(len(self.val.labels)))
            while chunk := list(islice(positions, batch_size)):
                yield [(position, None) for position in chunk]

        # Images that are used whole in training (small ones) are used whole here too.
        transform = evaluation_transform(
            self.resolution, **({} if self.augmentation.resized_crop else {"crop_fraction": 1.0})
        )
        return decoded_batches(self.val, transform, requests, workers=self.workers)
