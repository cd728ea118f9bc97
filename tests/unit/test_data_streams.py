"""Laws of the batch streams: a function of (seed, epoch), whatever else the process does."""

import itertools
import random
import signal
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.data import AUGMENTATIONS, Batch, Data, normalize, open_data
from kit.data.augment import ArrayAugmenter, Augmentation
from kit.data.order import Order
from kit.errors import InputError

COUNT = 14


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, seven images each, of different sizes."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    for split, label, index in itertools.product(("train", "val"), ("a", "b"), range(COUNT // 2)):
        path = root / split / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in rng.integers(20, 60, 2))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def opened(image_folder: Path) -> dict[str, Data]:
    """Both kinds of data: decoded images and arrays in memory, each with 14 training images."""
    return {
        "images": open_data(f"folder:{image_folder}", resolution=16),
        "small images": open_data(f"folder:{image_folder}", resolution=16, augmentation="crop-flip"),
        "arrays": open_data("digits", resolution=8, augmentation="crop-flip", train_images=COUNT, val_images=20),
        "arrays as images": open_data("digits", resolution=8, train_images=COUNT, val_images=20),
    }


KINDS = ["images", "small images", "arrays", "arrays as images"]
kinds = pytest.mark.parametrize("kind", KINDS)


def same(first: list[Batch], second: list[Batch]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)


def stream(data: Data, **options: int) -> list[Batch]:
    return list(data.train_batches(**{"seed": 3, "epoch": 1, "batch_size": 4, **options}))


class TestReproducibility:
    @kinds
    def test_seed_and_epoch_decide_everything(self, opened: dict[str, Data], kind: str) -> None:
        data = opened[kind]
        random.seed(1)
        torch.manual_seed(1)
        first = stream(data)
        random.seed(2)
        torch.manual_seed(2)
        np.random.seed(2)
        assert same(first, stream(data))
        assert not same(first, stream(data, seed=4))
        assert not same(first, stream(data, epoch=2))

    @kinds
    @settings(deadline=None, max_examples=8)
    @given(start=st.integers(0, 9), stop=st.integers(0, 9))
    def test_starting_in_the_middle_gives_the_rest(self, opened: dict[str, Data], kind: str, start: int, stop: int) -> None:
        whole = stream(opened[kind], steps=9)
        assert same(stream(opened[kind], steps=stop, start=start), whole[start:stop])

    @kinds
    @settings(deadline=None, max_examples=6)
    @given(world_size=st.integers(1, 3), batch_size=st.integers(1, 4), steps=st.integers(1, 5))
    def test_ranks_together_are_the_single_process(
        self, opened: dict[str, Data], kind: str, world_size: int, batch_size: int, steps: int
    ) -> None:
        data = opened[kind]
        whole = stream(data, batch_size=batch_size * world_size, steps=steps)
        parts = [
            stream(data, batch_size=batch_size, steps=steps, rank=rank, world_size=world_size) for rank in range(world_size)
        ]
        joined = [
            Batch(torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches]))
            for batches in zip(*parts, strict=True)
        ]
        assert same(joined, whole)

    @pytest.mark.parametrize("augmentation", sorted(AUGMENTATIONS))
    def test_workers_change_nothing(self, image_folder: Path, augmentation: str) -> None:
        alone, helped = (
            open_data(f"folder:{image_folder}", resolution=16, augmentation=augmentation, workers=workers)
            for workers in (0, 2)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert same(stream(alone, steps=8), stream(helped, steps=8))
            assert same(list(alone.val_batches(batch_size=5)), list(helped.val_batches(batch_size=5)))

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("spec", ["digits", "folder"])
    def test_global_generators_are_neither_used_nor_disturbed(self, image_folder: Path, spec: str, workers: int) -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
        python, numpy, default = random.getstate(), np.random.get_state(), torch.get_rng_state()
        data = open_data(spec if spec == "digits" else f"folder:{image_folder}", resolution=8, workers=workers)
        batches = data.train_batches(seed=0, epoch=0, batch_size=7)
        for _ in range(2):
            next(batches)
            # Between batches too, since the training step runs there.
            assert random.getstate() == python and torch.equal(torch.get_rng_state(), default)
        batches.close()  # type: ignore[attr-defined]
        data.calibration_batches(seed=0, batch_size=2, batches=1)
        list(data.val_batches(batch_size=100))
        after = np.random.get_state()
        assert random.getstate() == python and torch.equal(torch.get_rng_state(), default)
        assert after[0] == numpy[0] and np.array_equal(after[1], numpy[1]) and after[2:] == numpy[2:]

    def test_abandoned_workers_end_and_leave_signals_alone(self, image_folder: Path) -> None:
        import psutil

        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        others = set(psutil.Process().children())  # for instance multiprocessing's tracker, from an earlier test
        data = open_data(f"folder:{image_folder}", resolution=16, workers=2)
        batches = data.train_batches(seed=0, epoch=0, batch_size=2, steps=50)
        next(batches)
        children = [child for child in psutil.Process().children() if child not in others]
        assert children
        batches.close()  # type: ignore[attr-defined]
        assert not psutil.wait_procs(children, timeout=60)[1]
        assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


class TestPasses:
    @settings(deadline=None)
    @given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**40))
    def test_a_pass_shows_no_image_twice_and_drops_less_than_a_batch(
        self, size: int, batch: int, world: int, seed: int
    ) -> None:
        if batch * world > size:
            with pytest.raises(InputError, match=str(size)):
                Order(seed, size, batch, 0, world)
            return
        orders = [Order(seed, size, batch, rank, world) for rank in range(world)]
        steps = orders[0].steps_per_pass
        for first in (0, steps):
            seen = [
                index for order in orders for turn in order.turns(first, first + steps) for index in turn.indices.tolist()
            ]
            assert len(seen) == len(set(seen)) and set(seen) <= set(range(size))
            assert size - len(seen) < batch * world

    def test_the_next_pass_has_another_order_and_another_augmentation(self, opened: dict[str, Data]) -> None:
        order = Order(0, 1000, 100)
        passes = [torch.cat([turn.indices for turn in order.turns(first, first + 10)]) for first in (0, 10)]
        assert sorted(passes[0].tolist()) == sorted(passes[1].tolist()) and not torch.equal(*passes)
        batches = stream(opened["images"], batch_size=COUNT, steps=2)
        assert {image.numpy().tobytes() for image in batches[0].images}.isdisjoint(
            image.numpy().tobytes() for image in batches[1].images
        )

    @kinds
    def test_without_steps_it_is_one_pass(self, opened: dict[str, Data], kind: str) -> None:
        assert [len(batch.labels) for batch in stream(opened[kind])] == [4, 4, 4]

    def test_impossible_batches_are_refused_before_the_first(self, opened: dict[str, Data]) -> None:
        data = opened["arrays"]
        with pytest.raises(InputError, match="larger than the 14"):
            data.train_batches(seed=0, epoch=0, batch_size=15)
        with pytest.raises(InputError, match="at least one"):
            data.train_batches(seed=0, epoch=0, batch_size=0)
        with pytest.raises(InputError, match="at least one"):
            data.val_batches(batch_size=0)

    def test_images_keep_their_labels(self) -> None:
        data = open_data("digits", resolution=8, augmentation="none")
        (whole,) = data.train_batches(seed=0, epoch=0, batch_size=1437)
        label_of = {image.numpy().tobytes(): label for image, label in zip(whole.images, whole.labels.tolist(), strict=True)}
        for batch in data.train_batches(seed=9, epoch=4, batch_size=64):
            assert [label_of[image.numpy().tobytes()] for image in batch.images] == batch.labels.tolist()


class TestCalibration:
    @kinds
    def test_drawn_by_its_seed_alone(self, opened: dict[str, Data], kind: str) -> None:
        data = opened[kind]
        first, again, other = (data.calibration_batches(seed=seed, batch_size=5, batches=4) for seed in (1, 1, 2))
        assert len(first) == 4 and all(images.shape[:2] == (5, 3) and images.dtype == torch.uint8 for images in first)
        assert all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))
        training = stream(data, seed=1, epoch=0, batch_size=5, steps=4)
        assert not all(torch.equal(images, batch.images) for images, batch in zip(first, training, strict=True))


class TestVal:
    @kinds
    @pytest.mark.parametrize("batch_size", [1, 3, 20, 100])
    def test_every_image_once_in_order_as_often_as_asked(self, opened: dict[str, Data], kind: str, batch_size: int) -> None:
        data = opened[kind]
        batches = data.val_batches(batch_size=batch_size)
        first = list(batches)
        assert len(batches) == len(first) and sum(len(batch.labels) for batch in first) == data.val_size
        assert same(first, list(batches))
        whole = next(iter(data.val_batches(batch_size=1000)))
        assert torch.equal(torch.cat([batch.images for batch in first]), whole.images)
        assert torch.equal(torch.cat([batch.labels for batch in first]), whole.labels)


class TestAugmentations:
    def shifted(self, augmentation: Augmentation, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
        """One bright pixel off the centre: where it lands, by rows and columns."""
        pixels = torch.zeros(count, 1, 9, 9, dtype=torch.uint8)
        pixels[:, 0, 4, 3] = 255
        augmenter = ArrayAugmenter.over(pixels, augmentation)
        images = augmenter.apply(torch.arange(count), augmenter.draw(torch.Generator().manual_seed(0)))
        assert (images == 255).sum((1, 2, 3)).eq(3).all()
        return tuple((images[:, 0] == 255).nonzero()[:, 1:].T)  # type: ignore[return-value]

    def test_shift_reaches_all_nine_neighbours_and_no_other_pixel(self) -> None:
        rows, columns = self.shifted(AUGMENTATIONS["shift"])
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == set(itertools.product((3, 4, 5), (2, 3, 4)))

    def test_crop_and_flip_reach_both_sides(self) -> None:
        rows, columns = self.shifted(AUGMENTATIONS["crop-flip"], count=4000)
        assert set(rows.tolist()) == {2, 3, 4, 5, 6}
        # Unflipped around 3, flipped around 9 - 1 - 3.
        assert set(columns.tolist()) == {1, 2, 3, 4, 5, 6, 7}
        assert abs((columns <= 2).double().mean() - (columns >= 6).double().mean()) < 0.05

    def test_what_comes_in_from_outside_is_black(self) -> None:
        pixels = torch.full((200, 3, 8, 8), 255, dtype=torch.uint8)
        augmenter = ArrayAugmenter.over(pixels, AUGMENTATIONS["shift"])
        choices = augmenter.draw(torch.Generator().manual_seed(1))
        images = augmenter.apply(torch.arange(200), choices)
        whole_rows = (images == 255).any(3).all(1).sum(1)
        assert set(whole_rows.tolist()) == {7, 8}
        assert set(images.unique().tolist()) == {0, 255}

    def test_imagenet_crops_flips_and_changes_no_colour(self, tmp_path: Path) -> None:
        """On a picture of a horizontal ramp, crops are ramps: rising, or falling when flipped, and grey stays grey."""
        ramp = np.broadcast_to(np.linspace(20, 235, 96, dtype=np.uint8)[None, :, None], (96, 96, 3)).copy()
        for split, label in itertools.product(("train", "val"), ("a", "b")):
            for index in range(40):
                path = tmp_path / split / label / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(ramp).save(path)
        data = open_data(f"folder:{tmp_path}", resolution=16)
        (batch,) = data.train_batches(seed=0, epoch=0, batch_size=80)
        images = batch.images.int()
        assert (images[:, 0] == images[:, 1]).all() and (images[:, 0] == images[:, 2]).all()
        assert images.min() >= 20 and images.max() <= 235
        slopes = images[:, 0, :, -1] - images[:, 0, :, 0]
        rising = (slopes > 0).all(1)
        assert ((slopes < 0).all(1) | rising).all() and 20 < rising.sum() < 60
        # The widest crops show nearly all of the ramp, the narrowest a third or less of it.
        assert slopes.abs().max() > 170 and slopes.abs().min() < 80

    def test_imagenet_never_overshoots(self, tmp_path: Path) -> None:
        """Bilinear interpolation stays between its neighbours; bicubic does not at an edge."""
        edges = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8) * 90 + 80
        for split, label, index in itertools.product(("train", "val"), ("a", "b"), range(10)):
            path = tmp_path / split / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(edges).convert("RGB").save(path)
        data = open_data(f"folder:{tmp_path}", resolution=64)
        for batch in (*data.train_batches(seed=0, epoch=0, batch_size=20), *data.val_batches(batch_size=20)):
            assert batch.images.min() == 80 and batch.images.max() == 170


class TestNormalize:
    @kinds
    def test_it_agrees_with_torchvision(self, opened: dict[str, Data], kind: str) -> None:
        from torchvision.transforms.functional import convert_image_dtype
        from torchvision.transforms.functional import normalize as reference

        images = stream(opened[kind])[0].images
        expected = reference(convert_image_dtype(images, torch.float64), opened[kind].mean, opened[kind].std)
        exact = normalize(images, opened[kind], dtype=torch.float64)
        assert torch.allclose(exact, expected, rtol=1e-12, atol=1e-12)
        single = normalize(images, opened[kind])
        assert single.dtype == torch.float32 and torch.allclose(single.double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(normalize(images, opened[kind], dtype=torch.bfloat16), single.bfloat16())

    def test_training_pixels_have_mean_zero_and_deviation_one(self) -> None:
        data = open_data("digits", resolution=8, augmentation="none")
        (batch,) = data.train_batches(seed=0, epoch=0, batch_size=data.train_size)
        pixels = normalize(batch.images, data, dtype=torch.float64).transpose(0, 1).flatten(1)
        assert pixels.mean(1).abs().max() < 1e-9 and (pixels.std(1, unbiased=False) - 1).abs().max() < 1e-9

    def test_layout_changes_no_value_and_the_bytes_stay(self, opened: dict[str, Data]) -> None:
        images = stream(opened["images"])[0].images
        kept = images.clone()
        last, first = (normalize(images, opened["images"], channels_last=choice) for choice in (True, False))
        assert torch.equal(last, first) and torch.equal(images, kept)
        assert last.is_contiguous(memory_format=torch.channels_last) and first.is_contiguous()


class TestUnseen:
    @pytest.mark.parametrize("count", [2, 5, COUNT - 1, COUNT])
    @pytest.mark.parametrize("spec", ["folder", "digits"])
    def test_what_training_sees_and_what_it_does_not_are_all_images_once(
        self, image_folder: Path, spec: str, count: int
    ) -> None:
        """One by one, as both kinds of data show images in evaluation."""
        spec, sizes = (f"folder:{image_folder}", {}) if spec == "folder" else (spec, {"val_images": 20})
        small = open_data(spec, resolution=8, train_images=count, **sizes)
        everything = open_data(spec, resolution=8, **sizes)

        def trained_on(data: Data) -> Counter[bytes]:
            return images(data.feed.over_validation(data.feed.train).validation(3))

        def images(batches: Iterable[Batch]) -> Counter[bytes]:
            return Counter(
                image.numpy().tobytes() + bytes([label])
                for batch in batches
                for image, label in zip(batch.images, batch.labels.tolist(), strict=True)
            )

        unseen = images(small.unseen_batches(batch_size=4))
        assert trained_on(small) + unseen == trained_on(everything) + images(everything.val_batches(batch_size=4))
        assert unseen.total() == small.val_size + everything.train_size - count
        first = [batch.images for batch in itertools.islice(small.unseen_batches(batch_size=4), 2)]
        assert all(map(torch.equal, first, (batch.images for batch in small.val_batches(batch_size=4))))
