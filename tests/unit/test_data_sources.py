"""Data specs: what opens, what it holds, and what is refused."""

import gzip
import itertools
import os
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.dataset_factory import create_dataset
from torchvision.datasets import ImageFolder

from kit.data import Data, open_data
from kit.data.idx import read_idx
from kit.data.splits import stratified_order
from kit.errors import ExitCode, InputError, StorageError

FASHION = Path("/usr/share/datasets/fashion-mnist")
MODES = ("RGB", "L", "RGBA", "P", "LA", "CMYK")


def write_image(path: Path, rng: np.random.Generator, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = (int(side) for side in rng.integers(20, 70, 2))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
    options = {"transparency": bytes(range(256))} if mode == "P" else {}
    image.save(path.with_suffix(".jpg" if mode == "CMYK" else ".png"), **options)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three classes, six training and two validation images each, of all sizes and modes."""
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("ant", "bee", "cat")):
            for index in range(count):
                write_image(root / split / name / f"{index}.png", rng, MODES[(index + label) % len(MODES)])
    return root


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    data = header + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_idx_family(folder: Path, *, suffix: str = "", train: int = 30, val: int = 20, size: int = 12) -> None:
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", val)):
        pixels = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", pixels)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", (np.arange(count) % 10).astype(np.uint8))


def val_of(data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(data.val_batches(batch_size=7))
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def refused(spec: str, kind: type[Exception] = InputError, **options: object) -> Exception:
    with pytest.raises(kind) as caught:
        open_data(spec, **{"resolution": 16, **options})  # type: ignore[arg-type]
    return caught.value


class TestDigits:
    def test_sizes_classes_and_balance(self) -> None:
        data = open_data("digits", resolution=8, augmentation="none")
        labels = val_of(data)[1]
        assert (data.train_size, data.val_size, data.num_classes) == (1437, 360, 10)
        assert data.classes == tuple("0123456789")
        assert labels.bincount().min() >= 34 and labels.bincount().max() <= 38

    def test_train_and_val_together_are_all_of_scikit_learns_images(self) -> None:
        from sklearn.datasets import load_digits

        data = open_data("digits", resolution=8, augmentation="none")
        (train,) = data.train_batches(seed=0, epoch=0, batch_size=1437)
        images = torch.cat([train.images, val_of(data)[0]])
        assert (images[:, 0] == images[:, 1]).all() and (images[:, 0] == images[:, 2]).all()
        # Sixteenths of 255, so the original values come back exactly.
        values = (images[:, 0].flatten(1).double() * 16 / 255).round().int()
        expected = load_digits().data.astype(int)
        assert sorted(map(tuple, values.tolist())) == sorted(map(tuple, expected.tolist()))

    @pytest.mark.parametrize("resolution", [0, -8, 7, 129, 224, 100_000])
    def test_absurd_resolutions_are_refused(self, resolution: int) -> None:
        assert str(resolution) in str(refused("digits", resolution=resolution))

    def test_larger_pixels_keep_the_brightness(self) -> None:
        small, large = (val_of(open_data("digits", resolution=r, augmentation="none"))[0] for r in (8, 24))
        assert large.shape == (360, 3, 24, 24)
        assert (large.float().mean((1, 2, 3)) - small.float().mean((1, 2, 3))).abs().max() < 3

    def test_a_path_is_refused(self) -> None:
        assert "no path" in str(refused("digits:/tmp"))


class TestFolder:
    def test_labels_follow_the_folders(self, image_folder: Path) -> None:
        data = open_data(f"folder:{image_folder}", resolution=16, augmentation="none")
        assert data.classes == ("ant", "bee", "cat")
        assert (data.train_size, data.val_size) == (18, 6)
        images, labels = val_of(data)
        assert images.dtype == torch.uint8 and images.shape == (6, 3, 16, 16)
        assert labels.dtype == torch.int64 and labels.tolist() == [0, 0, 1, 1, 2, 2]

    def test_classes_are_those_of_torchvision(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        for split in ("train", "val"):
            for name in ("n02", "n01", "n10", "m"):
                write_image(tmp_path / split / name / "a.png", rng)
        data = open_data(f"folder:{tmp_path}", resolution=16)
        assert list(data.classes) == ImageFolder(str(tmp_path / "train")).classes

    def test_names_that_differ_only_in_zeros_or_case_keep_their_labels(self, tmp_path: Path) -> None:
        names = ("1", "01", "A", "a")
        for split in ("train", "val"):
            for value, name in enumerate(names):
                path = tmp_path / split / name / "x.png"
                path.parent.mkdir(parents=True)
                Image.new("RGB", (16, 16), (60 * value, 0, 0)).save(path)
        data = open_data(f"folder:{tmp_path}", resolution=16, augmentation="none")
        (train,) = data.train_batches(seed=0, epoch=0, batch_size=4)
        for images, labels in (train, val_of(data)):
            assert [names[int(red) // 60] for red in images[:, 0, 0, 0]] == [data.classes[label] for label in labels]

    def test_evaluation_crops_the_centre(self, tmp_path: Path) -> None:
        """With a border of an eighth of the side painted over, nothing of the border is left."""
        for split in ("train", "val"):
            for name in ("a", "b"):
                pixels = np.full((256, 400, 3), 200, dtype=np.uint8)
                pixels[:, :72] = pixels[:, -72:] = pixels[:12] = pixels[-12:] = 0
                path = tmp_path / split / name / "x.png"
                path.parent.mkdir(parents=True)
                Image.fromarray(pixels).save(path)
        whole = val_of(open_data(f"folder:{tmp_path}", resolution=224))[0]
        assert (whole == 200).all()
        larger = val_of(open_data(f"folder:{tmp_path}", resolution=224, augmentation="none"))[0]
        assert (larger == 0).any()

    def test_the_order_is_not_the_file_systems(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(3)
        for split, name, number in itertools.product(("train", "val"), ("a", "b"), ("1", "01", "001")):
            write_image(tmp_path / split / name / f"{number}.png", rng)
        walk = os.walk

        def backwards(*args: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
            for root, folders, files in walk(*args, **options):
                yield root, folders, sorted(files, reverse=True)

        before = val_of(open_data(f"folder:{tmp_path}", resolution=16))[0]
        monkeypatch.setattr(os, "walk", lambda *args, **options: backwards(*args, **options))
        backward = val_of(open_data(f"folder:{tmp_path}", resolution=16))[0]
        monkeypatch.setattr(os, "walk", lambda *args, **options: reversed(list(backwards(*args, **options))))
        assert torch.equal(before, backward) and torch.equal(
            before, val_of(open_data(f"folder:{tmp_path}", resolution=16))[0]
        )

    def test_no_kind_of_image_warns(self, image_folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = open_data(f"folder:{image_folder}", resolution=16)
            assert len(list(data.train_batches(seed=0, epoch=0, batch_size=18))) == 1

    def test_it_moves_without_changing_its_identity(self, image_folder: Path, tmp_path: Path) -> None:
        before = open_data(f"folder:{image_folder}", resolution=16).fingerprint
        moved = shutil.copytree(image_folder, tmp_path / "elsewhere" / "copy")
        assert open_data(f"folder:{moved}", resolution=16).fingerprint == before
        write_image(moved / "val" / "cat" / "new.png", np.random.default_rng(5))
        assert open_data(f"folder:{moved}", resolution=16).fingerprint != before

    def test_val_is_the_same_with_and_without_cache(self, image_folder: Path) -> None:
        kept, anew = (open_data(f"folder:{image_folder}", resolution=16, cache_bytes=size) for size in (2**30, 0))
        for first, second in zip(val_of(kept), val_of(anew), strict=True):
            assert torch.equal(first, second)
        shutil.rmtree(image_folder)
        assert len(val_of(kept)[1]) == 6
        with pytest.raises(StorageError):
            val_of(anew)

    def test_changing_a_val_batch_in_place_changes_nothing_for_the_next(self, image_folder: Path) -> None:
        for spec in (f"folder:{image_folder}", "digits"):
            batches = open_data(spec, resolution=16).val_batches(batch_size=100)
            first = next(iter(batches))
            kept = first.images.clone()
            first.images.zero_()
            assert torch.equal(next(iter(batches)).images, kept)


class TestBadFolders:
    def remove_val(self, root: Path) -> None:
        shutil.rmtree(root / "val")

    def empty_everything(self, root: Path) -> None:
        shutil.rmtree(root)
        root.mkdir()

    def empty_train(self, root: Path) -> None:
        shutil.rmtree(root / "train")
        (root / "train").mkdir()

    def empty_class(self, root: Path) -> None:
        for path in (root / "train" / "bee").iterdir():
            path.unlink()

    def leave_one_class(self, root: Path) -> None:
        for split in ("train", "val"):
            for name in ("bee", "cat"):
                shutil.rmtree(root / split / name)

    def rename_a_val_class(self, root: Path) -> None:
        (root / "val" / "bee").rename(root / "val" / "wasp")

    def flatten_val(self, root: Path) -> None:
        for number, path in enumerate(sorted((root / "val").glob("*/*"))):
            path.rename(root / "val" / f"{number}{path.suffix}")
        for path in (root / "val").iterdir():
            if path.is_dir():
                path.rmdir()

    def nest(self, root: Path) -> None:
        (root / "train" / "cat" / "deep").mkdir()
        (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "deep" / "bee.png")

    def hide(self, root: Path) -> None:
        (root / "train" / "cat").rename(root / "train" / ".cat")

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (remove_val, ["val/", "train"]),
            (empty_everything, ["train/", "nothing"]),
            (empty_train, ["train", "no images"]),
            (empty_class, ["bee", "without images"]),
            (leave_one_class, ["one class", "ant"]),
            (rename_a_val_class, ["bee", "wasp", "differ"]),
            (flatten_val, ["6 image(s)", "outside"]),
            (nest, ["deep", "outside"]),
            (hide, [".cat", "outside"]),
        ],
    )
    def test_layouts(self, image_folder: Path, edit: Callable[..., None], words: list[str]) -> None:
        open_data(f"folder:{image_folder}", resolution=16)
        edit(self, image_folder)
        error = refused(f"folder:{image_folder}")
        assert all(word in str(error) for word in words), error
        assert isinstance(error, InputError) and error.hint and error.exit_code == ExitCode.USAGE

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("damage", ["truncated", "text", "empty", "gone", "header"])
    def test_unreadable_images_are_named_when_read(self, image_folder: Path, workers: int, damage: str) -> None:
        victim = image_folder / "train" / "bee" / "3.png"
        data = open_data(f"folder:{image_folder}", resolution=16, workers=workers)
        content = victim.read_bytes()
        if damage == "gone":
            victim.unlink()
        else:
            damaged = {"truncated": content[: len(content) // 2], "text": b"no image", "empty": b"", "header": content[:20]}
            victim.write_bytes(damaged[damage])
        with pytest.raises(StorageError) as caught:
            list(data.train_batches(seed=0, epoch=0, batch_size=6))
        assert str(victim) in str(caught.value) and "Traceback" not in str(caught.value)
        assert caught.value.hint and caught.value.exit_code == ExitCode.STORAGE

    def test_an_unreadable_validation_image_is_named_every_time(self, image_folder: Path) -> None:
        victim = image_folder / "val" / "cat" / "1.png"
        victim.write_bytes(victim.read_bytes()[:60])
        data = open_data(f"folder:{image_folder}", resolution=16)
        for _ in range(2):
            with pytest.raises(StorageError, match=str(victim)):
                val_of(data)

    def test_a_dangling_link_is_found_at_once(self, image_folder: Path) -> None:
        (image_folder / "train" / "ant" / "lost.png").symlink_to(image_folder / "nowhere.png")
        assert "lost.png" in str(refused(f"folder:{image_folder}", StorageError))


class TestDamage:
    @settings(deadline=None)
    @given(data=st.data())
    def test_flipped_bytes_end_in_an_image_or_a_storage_error(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        from kit.data.images import FileStore

        path = tmp_path_factory.getbasetemp() / "flipped.img"
        kind = data.draw(st.sampled_from(["png", "jpeg", "gif", "bmp"]))
        with path.open("wb") as file:
            Image.linear_gradient("L").resize((24, 24)).save(file, kind)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            assert FileStore([str(path)]).load(0).mode == "RGB"
        except StorageError as error:
            assert str(path) in str(error)


class TestIdx:
    @settings(deadline=None)
    @given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), packed=st.booleans(), seed=st.integers(0, 2**32 - 1))
    def test_what_was_written_is_read(
        self, shape: list[int], packed: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        path = tmp_path_factory.getbasetemp() / ("values.gz" if packed else "values")
        write_idx(path, values)
        assert np.array_equal(read_idx(path, dimensions=len(shape)).numpy(), values)

    @pytest.mark.parametrize(
        "edit",
        [
            lambda data: b"\0\0\x0d\x03" + data[4:],
            lambda data: data[:4] + struct.pack(">I", 31) + data[8:],
            lambda data: data[:-1],
            lambda data: data + b"\0",
            lambda data: data[:10],
            lambda data: b"",
            lambda data: data[:4] + struct.pack(">3I", 2**31, 2**31, 2**31) + data[16:],
            lambda data: data[:4] + struct.pack(">3I", 0, 12, 12),
        ],
        ids=["type", "count", "short", "long", "header", "empty", "huge", "nothing"],
    )
    @pytest.mark.parametrize("layout", ["", "FashionMNIST/raw"])
    def test_damage_is_named(self, tmp_path: Path, edit: Callable[[bytes], bytes], layout: str) -> None:
        write_idx_family(tmp_path / layout)
        victim = tmp_path / layout / "train-images-idx3-ubyte"
        victim.write_bytes(edit(victim.read_bytes()))
        assert str(victim) in str(refused(f"torch/fashion_mnist:{tmp_path}", StorageError))

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        write_idx_family(tmp_path, suffix=".gz")
        victim = tmp_path / "t10k-images-idx3-ubyte.gz"
        content = victim.read_bytes()
        for damaged in (content[:-20], b"plain", content[:30] + bytes(40) + content[70:]):
            victim.write_bytes(damaged)
            assert str(victim) in str(refused(f"torch/fashion_mnist:{tmp_path}", StorageError))

    def test_counts_and_labels_must_fit(self, tmp_path: Path) -> None:
        write_idx_family(tmp_path)
        write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(29, dtype=np.uint8))
        assert "29 labels" in str(refused(f"torch/fashion_mnist:{tmp_path}", StorageError))
        write_idx(tmp_path / "train-labels-idx1-ubyte", np.full(30, 10, dtype=np.uint8))
        assert "label 10" in str(refused(f"torch/fashion_mnist:{tmp_path}", StorageError))
        write_idx(tmp_path / "train-labels-idx1-ubyte", np.full(30, 4, dtype=np.uint8))
        assert "only one label" in str(refused(f"torch/fashion_mnist:{tmp_path}"))

    @pytest.mark.parametrize("name", ["fashion_mnist", "mnist", "kmnist"])
    def test_every_layout_gives_the_same_data(self, tmp_path: Path, name: str) -> None:
        folders = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST", "kmnist": "KMNIST"}
        roots = [tmp_path / str(number) for number in range(4)]
        raw = f"{folders[name]}/raw"
        for root, layout, suffix in zip(roots, ("", "", raw, raw), ("", ".gz") * 2, strict=True):
            write_idx_family(root / layout, suffix=suffix)
        opened = [open_data(f"torch/{name}:{root}", resolution=12, augmentation="none") for root in roots]
        assert len({data.fingerprint for data in opened}) == 1
        timm = create_dataset(f"torch/{name}", root=str(roots[2]), split="val")
        images, labels = val_of(opened[0])
        assert torch.equal(images[:, 1], timm.data) and torch.equal(labels, timm.targets)
        assert list(opened[0].classes) == timm.classes

    def test_the_label_file_missing(self, tmp_path: Path) -> None:
        write_idx_family(tmp_path)
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        error = refused(f"torch/fashion_mnist:{tmp_path}")
        assert "cannot open torch/fashion_mnist" in str(error)


class TestNamedSets:
    def test_torchvisions_image_folder_agrees_with_ours(self, image_folder: Path) -> None:
        ours, theirs = (open_data(f"{kind}:{image_folder}", resolution=16) for kind in ("folder", "torch/image_folder"))
        assert ours.classes == theirs.classes
        for first, second in zip(val_of(ours), val_of(theirs), strict=True):
            assert torch.equal(first, second)

    def test_cifar10_keeps_its_colours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import pickle

        from torchvision.datasets import CIFAR10

        monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
        monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: setattr(self, "classes", list("abcdefghij")))
        folder = tmp_path / CIFAR10.base_folder
        folder.mkdir()
        for file, _ in CIFAR10.train_list + CIFAR10.test_list:
            pixels = np.zeros((10, 3, 32, 32), dtype=np.uint8)
            pixels[:, 0, 0], pixels[:, 1, :, 1], pixels[:, 2, 5, 7] = 10, 20, 30
            (folder / file).write_bytes(pickle.dumps({"data": pixels.reshape(10, -1), "labels": list(range(10))}))
        images, labels = val_of(open_data(f"torch/cifar10:{tmp_path}", resolution=32, augmentation="none"))
        assert labels.tolist() == list(range(10))
        assert images[3, :, 0, 1].tolist() == [10, 20, 0]
        assert images[3, :, 5, 7].tolist() == [0, 0, 30] and images[3, :, 7, 5].tolist() == [0, 0, 0]

    def test_a_missing_package_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        for prefix, package in (("hfds", "datasets"), ("wds", "webdataset"), ("tfds", "tensorflow_datasets")):
            error = refused(f"{prefix}/thing:{tmp_path}")
            assert isinstance(error, InputError) and package in str(error.hint)


class TestSpecs:
    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("digit", ["digits", "folder:/path"]),
            ("fodler:/tmp", ["folder", "digits"]),
            ("torch/fashion-mnist:/tmp", ["torch/fashion_mnist", "cifar10"]),
            ("torch/nothing_like_it:/tmp", ["cifar10"]),
            ("torch/:/tmp", ["torch/NAME"]),
            ("", ["digits"]),
            ("folder", ["folder:/path"]),
            ("folder:", ["folder:/path"]),
            ("torch/mnist", ["torch/mnist:/path"]),
        ],
    )
    def test_a_wrong_spec_is_answered_with_a_right_one(self, spec: str, words: list[str]) -> None:
        error = refused(spec)
        assert isinstance(error, InputError) and all(word in str(error.hint) for word in words), error.hint

    @pytest.mark.parametrize("kind", ["folder", "torch/fashion_mnist", "hfds/x"])
    def test_missing_paths_and_files_are_named(self, tmp_path: Path, kind: str) -> None:
        (tmp_path / "file").write_text("")
        assert str(tmp_path / "none") in str(refused(f"{kind}:{tmp_path / 'none'}"))
        assert "not a folder" in str(refused(f"{kind}:{tmp_path / 'file'}"))

    def test_unknown_augmentations_and_workers(self) -> None:
        error = refused("digits", augmentation="crop-flop")
        assert isinstance(error, InputError) and "crop-flip" in str(error.hint)
        assert "-1" in str(refused("digits", workers=-1))


class TestSubsets:
    @settings(deadline=None)
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=200))
    def test_every_beginning_of_the_order_is_stratified(self, labels: list[int]) -> None:
        order = stratified_order(labels)
        assert sorted(order) == list(range(len(labels)))
        for count in range(1, len(labels) + 1):
            for label in set(labels):
                taken = sum(labels[index] == label for index in order[:count])
                assert abs(taken - count * labels.count(label) / len(labels)) < len(set(labels))

    def test_a_subset_is_fixed_and_inside_larger_ones(self) -> None:
        def images(count: int | None) -> list[bytes]:
            data = open_data("digits", resolution=8, augmentation="none", val_images=count)
            return [image.numpy().tobytes() for image in val_of(data)[0]]

        assert images(40) == images(40)
        assert set(images(40)) <= set(images(100)) <= set(images(None))
        assert len(images(40)) == 40

    def test_training_uses_the_same_subset_in_every_run(self) -> None:
        data = open_data("digits", resolution=8, augmentation="none", train_images=50)
        seen = [
            {image.numpy().tobytes() for image in next(data.train_batches(seed=seed, epoch=0, batch_size=50)).images}
            for seed in (0, 1)
        ]
        assert data.train_size == 50 and seen[0] == seen[1]

    def test_the_fingerprint_names_the_images_used(self) -> None:
        def fingerprint(**options: int) -> str:
            return open_data("digits", resolution=8, **options).fingerprint

        assert fingerprint() == fingerprint(train_images=1437, val_images=360)
        assert len({fingerprint(), fingerprint(train_images=100), fingerprint(val_images=100)}) == 3

    @pytest.mark.parametrize(
        "options", [{"train_images": 1438}, {"train_images": 0}, {"val_images": 361}, {"val_images": -1}]
    )
    def test_impossible_counts_are_refused(self, options: dict[str, int]) -> None:
        error = refused("digits", **options)
        assert next(iter(options)) in str(error)


@pytest.mark.skipif(not FASHION.is_dir(), reason=f"{FASHION} is not there")
class TestFashionMnist:
    def test_the_published_files(self) -> None:
        data = open_data(f"torch/fashion_mnist:{FASHION}", resolution=28, augmentation="crop-flip")
        assert (data.train_size, data.val_size) == (60_000, 10_000)
        assert data.classes[0] == "T-shirt/top" and data.classes[9] == "Ankle boot"
        # The published statistics of the training images.
        assert data.mean[0] == pytest.approx(0.2860, abs=1e-4) and data.std[2] == pytest.approx(0.3530, abs=1e-4)
        images, labels = val_of(data)
        assert labels.bincount().tolist() == [1000] * 10 and labels[:4].tolist() == [9, 2, 1, 1]
        assert images.shape == (10_000, 3, 28, 28)
