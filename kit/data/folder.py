"""`folder:/path`: train/ and val/ with one folder of images for each class, read through timm."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.data.dataset_factory import create_dataset
from timm.data.readers.img_extensions import get_img_extensions
from timm.utils.misc import natural_key

from kit.data.images import FileStore, file_listing
from kit.data.splits import ImageSplit, Source, check_classes, some
from kit.errors import InputError
from kit.files import content_key, storage_errors

SPLITS = ("train", "val")


def open_folder(root: Path) -> Source:
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
    listings = [file_listing(part.paths, root) for part in (train, val)]
    return Source(train.split(), val.split(), train.classes, content_key(["folder", train.classes, listings]))


@dataclass(frozen=True)
class _SplitFolder:
    """A folder whose images all lie in its class folders.

    Order and labels are ours: timm's depend on the file system where names differ only in case or leading zeros.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "_SplitFolder":
        extensions = " ".join(get_img_extensions())
        classes = _class_folders(folder)
        try:
            # The folder is already the split's, so timm must not look for one of that name inside it.
            dataset = create_dataset("", root=str(folder), search_split=False)
        except RuntimeError as error:
            message = f"{folder} holds no images ({extensions})"
            raise InputError(message, hint="expected one folder of images for each class") from error
        paths = tuple(sorted(path for path, _ in dataset.reader.samples))
        known, depth = set(classes), str(folder).count(os.sep) + 2
        if stray := [path for path in paths if path.count(os.sep) != depth or _class_of(path) not in known]:
            message = f"{len(stray)} image(s) of {folder} lie outside its class folders: {some(stray, limit=3)}"
            raise InputError(message, hint="move every image into a folder of its class, not deeper")
        if empty := sorted(known - {_class_of(path) for path in paths}):
            message = f"class folders of {folder} without images ({extensions}): {some(empty)}"
            raise InputError(message, hint="add images, or remove these folders from train/ and val/")
        return cls(classes, paths)

    def split(self) -> ImageSplit:
        numbers = {name: label for label, name in enumerate(self.classes)}
        labels = torch.tensor([numbers[_class_of(path)] for path in self.paths], dtype=torch.int64)
        return ImageSplit(FileStore(self.paths), torch.arange(len(labels)), labels)


def _class_folders(folder: Path) -> tuple[str, ...]:
    with storage_errors("read", folder):
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    return tuple(sorted(names, key=lambda name: (natural_key(name), name)))


def _class_of(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
