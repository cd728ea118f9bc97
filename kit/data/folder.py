"""`folder:/path`: train/ and val/ with one folder of images for each class, of the suffixes that timm reads."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.data.readers.img_extensions import get_img_extensions
from timm.utils.misc import natural_key

from kit.data.identity import Note, content_listing
from kit.data.images import FileStore
from kit.data.splits import ImageSplit, Source, check_classes
from kit.errors import InputError, some
from kit.files import content_key, storage_errors

SPLITS = ("train", "val")
LEFT_BEHIND = {
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found", ".AppleDouble",
    ".ipynb_checkpoints", ".thumbnails", ".Spotlight-V100", ".Trashes", ".fseventsd", ".git", ".svn", ".dvc",
}  # fmt: skip
"""Folders that file managers, notebooks and version control put beside images, with copies of images inside."""
OTHER_IMAGES = {
    ".avif", ".bmp", ".dib", ".dds", ".gif", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".mpo",
    ".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".svg", ".tga", ".tif",
    ".tiff", ".webp", ".npy", ".exr", ".hdr",
}  # fmt: skip
"""Suffixes of images that are not read; whoever has such files wants to hear of it."""


def open_folder(root: Path, note: Note) -> Source:
    """Raises `InputError` for a layout that is not usable: missing or empty folders, one class, differing classes."""
    for name in SPLITS:
        if not (root / name).is_dir():
            with storage_errors("read", root):
                found = some(sorted(os.listdir(root))) or "nothing"
            raise InputError(
                f"{root} has no folder {name}/ (it holds {found})",
                hint="expected train/CLASS/*.jpg and val/CLASS/*.jpg",
            )
    train, val = (_SplitFolder.read(root / name) for name in SPLITS)
    check_classes(train.classes, val.classes, where=str(root))
    notes = tuple(
        f"{root / name}: left out {_counted(part.left_out)}: only {', '.join(get_img_extensions())} are read"
        for name, part in zip(SPLITS, (train, val), strict=True)
        if part.left_out
    )
    listing = content_listing([*train.paths, *val.paths], root, note)
    return Source(train.split(), val.split(), train.classes, content_key(["folder", train.classes, listing]), notes)


@dataclass(frozen=True)
class _SplitFolder:
    """A folder whose images all lie in its class folders.

    Order and labels are ours: timm's depend on the file system where names differ only in case or leading zeros.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    left_out: Counter[str]
    """Images that are not read, by suffix."""

    @classmethod
    def read(cls, folder: Path) -> "_SplitFolder":
        taken = tuple(get_img_extensions())
        extensions = " ".join(taken)
        classes = _class_folders(folder)
        files = list(_files(folder))
        paths = tuple(sorted(path for path in files if path.lower().endswith(taken)))
        suffixes = (os.path.splitext(path)[1].lower() for path in files)
        left_out = Counter(suffix for suffix in suffixes if suffix in OTHER_IMAGES and suffix not in taken)
        if not paths:
            message = f"{folder} holds no images ({extensions})" + (f", but {_counted(left_out)}" if left_out else "")
            raise InputError(message, hint="expected one folder of images for each class")
        known, depth = set(classes), str(folder).count(os.sep) + 2
        if stray := [path for path in paths if path.count(os.sep) != depth or _class_of(path) not in known]:
            message = f"{len(stray)} image(s) of {folder} lie outside its class folders: {some(stray, limit=3)}"
            raise InputError(message, hint="move every image into a folder of its class, not deeper")
        if empty := sorted(known - {_class_of(path) for path in paths}):
            message = f"class folders of {folder} without images ({extensions}): {some(empty)}"
            raise InputError(message, hint="add images, or remove these folders from train/ and val/")
        return cls(classes, paths, left_out)

    def split(self) -> ImageSplit:
        numbers = {name: label for label, name in enumerate(self.classes)}
        labels = torch.tensor([numbers[_class_of(path)] for path in self.paths], dtype=torch.int64)
        return ImageSplit(FileStore(self.paths), torch.arange(len(labels)), labels)


def _class_folders(folder: Path) -> tuple[str, ...]:
    with storage_errors("read", folder):
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    kept = [name for name in names if not name.startswith(".") and name not in LEFT_BEHIND]
    return tuple(sorted(kept, key=lambda name: (natural_key(name), name)))


def _files(folder: Path) -> Iterator[str]:
    """Files below a folder, links followed; what file managers leave there is not among them.

    Raises `StorageError` for a folder that cannot be listed: its images would be missing in silence.
    """

    def refuse(error: OSError) -> None:
        with storage_errors("read", Path(error.filename)):
            raise error

    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if name not in LEFT_BEHIND]
        yield from (os.path.join(place, name) for name in files if not name.startswith("."))


def _class_of(path: str) -> str:
    return os.path.basename(os.path.dirname(path))


def _counted(left_out: Counter[str]) -> str:
    return ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(left_out.items()))
