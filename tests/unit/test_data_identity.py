"""A data set is what its images hold, not what they are called, and nothing in a folder is passed over in silence."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.data import identity as module
from kit.data import open_data
from kit.data.images import FileStore
from kit.errors import StorageError

BMP_HEADER = 54


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(module.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SETTLED_NS", 0)
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            for index in range(2):
                path = tmp_path / "images" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def identity_of(folder: Path, notes: list[str] | None = None) -> str:
    heard = notes if notes is not None else []
    return open_data(f"folder:{folder}", resolution=8, augmentation="none", note=heard.append).fingerprint


class TestIdentity:
    def test_other_pixels_under_the_same_name_size_and_time_are_other_data(self, folder: Path) -> None:
        before, victim = identity_of(folder), folder / "train" / "ant" / "0.png"
        old = victim.stat()
        data = bytearray(victim.read_bytes())
        data[-20] ^= 1
        victim.write_bytes(data)
        os.utime(victim, ns=(old.st_atime_ns, old.st_mtime_ns))
        assert victim.stat().st_size == old.st_size and victim.stat().st_mtime_ns == old.st_mtime_ns
        assert identity_of(folder) != before

    def test_neither_place_nor_times_matter(self, folder: Path, tmp_path: Path) -> None:
        before = identity_of(folder)
        moved = shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
        for path in moved.rglob("*.png"):
            os.utime(path, (1, 1))
        assert identity_of(moved) == before

    def test_unchanged_files_are_not_read_again(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before, read = identity_of(folder), []
        hash_file = module._hash
        monkeypatch.setattr(module, "_hash", lambda path: read.append(path) or hash_file(path))  # type: ignore[func-returns-value]
        assert identity_of(folder) == before and not read
        (folder / "val" / "bee" / "1.png").write_bytes((folder / "val" / "bee" / "0.png").read_bytes())
        assert identity_of(folder) != before and [Path(path).name for path in read] == ["1.png"]

    def test_a_file_younger_than_its_clocks_resolution_is_read_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SETTLED_NS", 10**18)
        before, read = identity_of(folder), []
        hash_file = module._hash
        monkeypatch.setattr(module, "_hash", lambda path: read.append(path) or hash_file(path))  # type: ignore[func-returns-value]
        assert identity_of(folder) == before and len(read) == 8

    @pytest.mark.parametrize("content", [b"", b"[1]", b"\x00\xff", b'{"a": [1, 2]}'])
    def test_a_damaged_cache_is_none(self, folder: Path, cache: Path, content: bytes) -> None:
        before = identity_of(folder)
        files = list(cache.iterdir())
        assert len(files) == 1
        for file in files:
            file.write_bytes(content)
        assert identity_of(folder) == before

    @pytest.mark.parametrize("place", ["off", "/proc/no/such/place"])
    def test_no_place_for_a_cache_changes_nothing(self, folder: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        before = identity_of(folder)
        monkeypatch.setenv(module.CACHE, place)
        assert identity_of(folder) == before


class TestWhatLiesInFolders:
    def test_images_that_are_not_read_are_counted(self, folder: Path) -> None:
        for name in ("a.webp", "b.webp", "c.tif", "notes.txt"):
            (folder / "train" / "ant" / name).write_bytes(b"whatever")
        notes: list[str] = []
        identity_of(folder, notes)
        assert len(notes) == 1 and "1 .tif, 2 .webp" in notes[0] and "train" in notes[0] and ".txt" not in notes[0]

    @pytest.mark.parametrize(
        "left",
        ["train/ant/._0.png", "train/@eaDir/0.png", "train/ant/@eaDir/0.jpg", "__MACOSX/0.png", "train/.thumbnails/a.png"],
    )
    def test_what_file_managers_leave_is_no_image(self, folder: Path, left: str) -> None:
        before = identity_of(folder)
        (folder / left).parent.mkdir(exist_ok=True)
        (folder / left).write_bytes(b"no image")
        notes: list[str] = []
        assert identity_of(folder, notes) == before and not notes

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop its own rights")
    def test_a_locked_class_folder_is_named(self, folder: Path) -> None:
        import multiprocessing

        (folder / "train" / "bee").chmod(0)
        for place in (folder, *folder.parents):
            if place.stat().st_uid == os.geteuid() and place != folder / "train" / "bee":
                place.chmod(place.stat().st_mode | 0o055)
        queue = multiprocessing.get_context("fork").SimpleQueue()
        process = multiprocessing.get_context("fork").Process(target=_open_as_nobody, args=(folder, queue))
        process.start()
        process.join(60)
        assert "bee" in queue.get() and process.exitcode == 0


def _open_as_nobody(folder: Path, queue: "object") -> None:
    os.setuid(65534)
    try:
        identity_of(folder)
        queue.put("opened")  # type: ignore[attr-defined]
    except StorageError as error:
        queue.put(str(error))  # type: ignore[attr-defined]


class TestPixels:
    @given(value=st.integers(0, 65535), suffix=st.sampled_from([".png", ".tif", ".pgm"]))
    def test_sixteen_bits_of_grey_are_scaled(
        self, value: int, suffix: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / f"grey{suffix}"
        Image.fromarray(np.full((3, 3), value, dtype=np.uint16)).save(path)
        seen = np.asarray(FileStore([str(path)]).load(0))
        assert seen.shape == (3, 3, 3) and abs(int(seen[0, 0, 0]) - value * 255 / 65535) <= 0.5

    @pytest.mark.parametrize("kind", [np.float32, np.int32])
    def test_pixels_without_a_known_range_are_refused_by_name(self, kind: type, tmp_path: Path) -> None:
        path = tmp_path / "depth.tif"
        Image.fromarray(np.linspace(0, 1, 16).reshape(4, 4).astype(kind)).save(path)
        with pytest.raises(StorageError, match="known range") as caught:
            FileStore([str(path)]).load(0)
        assert str(path) in str(caught.value) and "8 bits" in str(caught.value.hint)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
    @pytest.mark.parametrize("bright", [False, True])
    def test_black_is_black_and_white_is_white(self, mode: str, bright: bool, tmp_path: Path) -> None:
        formats = {"CMYK": "jpg", "YCbCr": "jpg", "LAB": "tif"}
        grey = Image.new("RGB", (4, 4), (255, 255, 255) if bright else (0, 0, 0))
        if mode == "LAB":
            image = Image.merge("LAB", [Image.new("L", (4, 4), 255 * bright), *[Image.new("L", (4, 4), 128)] * 2])
        else:
            image = grey.convert(mode)
        path = tmp_path / f"a.{formats.get(mode, 'png')}"
        image.save(path)
        mean = np.asarray(FileStore([str(path)]).load(0)).mean()
        assert mean > 250 if bright else mean < 5
