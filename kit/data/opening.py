"""From a data spec (`--data`) to `Data`."""

import difflib
import math

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from kit.data.augment import find_augmentation
from kit.data.batches import CHANNELS, Statistics
from kit.data.dataset import ArrayFeed, Data, ImageFeed
from kit.data.embedded import open_digits
from kit.data.folder import open_folder
from kit.data.identity import Note
from kit.data.images import as_images
from kit.data.splits import ArraySplit, ImageSplit, Source, Split, left_out, take
from kit.data.timm_sets import NEEDED_MODULE, open_timm
from kit.data.torchvision_sets import TORCH_NAMES, open_torchvision
from kit.errors import InputError
from kit.files import content_key, user_path

RESOLUTIONS = range(8, 1025)
CACHE_BYTES = 8 * 2**30
POSSIBLE = "digits, folder:/path, torch/NAME:/path, hfds/NAME:/path, wds/NAME:/path or tfds/NAME:/path"


def open_data(
    spec: str,
    *,
    resolution: int,
    augmentation: str = "imagenet",
    train_images: int | None = None,
    val_images: int | None = None,
    workers: int = 0,
    cache_bytes: int = CACHE_BYTES,
    note: Note = lambda message: None,
    progress: Note | None = None,
) -> Data:
    """The data set that `spec` names, at `resolution` x `resolution` pixels.

    `train_images` and `val_images` take a fixed stratified subset. `workers` processes decode images; their number changes
    no pixel. Decoded validation images are kept when they fit into `cache_bytes`. `note` hears what a user should know (it
    also stands in `Data.notes`), and how far a long reading has come, unless there is a `progress` to hear that.
    Raises `InputError` for a spec, a setting or a layout that cannot be used, `StorageError` for unreadable files.
    """
    chosen = find_augmentation(augmentation)
    if resolution not in RESOLUTIONS:
        raise InputError(f"resolution {resolution}: expected {RESOLUTIONS.start}..{RESOLUTIONS.stop - 1} pixels")
    if workers < 0:
        raise InputError(f"{workers} workers: expected 0 or more")
    source = _open_source(spec, resolution, cache_bytes, progress or note)
    for each in source.notes:
        note(each)
    train = take(source.train, train_images, what="train_images")
    val = take(source.val, val_images, what="val_images")
    if len(source.train.labels.unique()) < 2:
        raise InputError(
            f"the training images of {spec} have only one label", hint="a classifier needs at least two classes"
        )
    mean, std = _statistics(train)
    feed: ArrayFeed | ImageFeed
    if isinstance(train, ArraySplit) and isinstance(val, ArraySplit) and not chosen.resized_crop:
        feed = ArrayFeed.over(train, val, chosen, resolution)
    else:
        feed = ImageFeed(as_images(train), as_images(val), chosen, resolution, workers, cache_bytes)
    return Data(
        classes=source.classes,
        train_size=len(train.labels),
        val_size=len(val.labels),
        resolution=resolution,
        mean=mean,
        std=std,
        source=source.fingerprint,
        fingerprint=content_key([source.fingerprint, len(train.labels), len(val.labels)]),
        feed=feed,
        left_out=left_out(source.train, train_images),
        notes=source.notes,
    )


def absolute_spec(spec: str) -> str:
    """The same data set, whatever folder one stands in. Raises `InputError` for a home that is none."""
    kind, _, path = spec.partition(":")
    return f"{kind}:{user_path(path).absolute()}" if path else spec


def _open_source(spec: str, resolution: int, cache_bytes: int, progress: Note) -> Source:
    kind, colon, path = spec.partition(":")
    prefix, _, name = kind.partition("/")
    if kind == "digits":
        if colon:
            raise InputError(f"{spec}: digits are embedded and take no path", hint="write --data digits")
        return open_digits(resolution)
    if kind != "folder" and not (prefix in ("torch", *NEEDED_MODULE) and name):
        _refuse(spec, kind, ("digits", "folder"))
    if prefix == "torch" and name.lower() not in TORCH_NAMES:
        _refuse(spec, kind.lower(), tuple(f"torch/{known}" for known in TORCH_NAMES))
    if not path:
        raise InputError(f"{spec}: the path is missing", hint=f"write {kind}:/path")
    root = user_path(path).absolute()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {what} (from {spec})", hint="check the path after the colon")
    if kind == "folder":
        return open_folder(root, progress)
    if prefix == "torch":
        return open_torchvision(name.lower(), root, progress)
    return open_timm(prefix, name, root, cache_bytes=cache_bytes, note=progress)


def _refuse(spec: str, kind: str, names: tuple[str, ...]) -> None:
    near = difflib.get_close_matches(kind, names, n=1)
    listed = f"torch/NAME: {', '.join(TORCH_NAMES)}" if kind.startswith("torch/") else POSSIBLE
    raise InputError(f"unknown data {spec!r}", hint=(f"did you mean {near[0]}? " if near else "") + f"possible: {listed}")


def _statistics(train: Split) -> tuple[Statistics, Statistics]:
    """Mean and deviation of the pixels that are in memory; ImageNet's, as every paper has it, for images on disk."""
    if isinstance(train, ImageSplit):
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    # Integers, so that no machine's order of summation shows in the result.
    means, deviations = [], []
    for channel in range(train.pixels.shape[1]):
        counts = list(enumerate(train.pixels[:, channel].reshape(-1).bincount(minlength=256).tolist()))
        number = sum(count for _, count in counts)
        total = sum(value * count for value, count in counts)
        squares = sum(value**2 * count for value, count in counts)
        means.append(total / number / 255)
        deviations.append(math.sqrt(number * squares - total**2) / number / 255)
    if min(deviations) == 0:
        raise InputError("every training image has one and the same colour", hint="check that these are the intended files")
    first, second, third = means * (CHANNELS // len(means))
    low, middle, high = deviations * (CHANNELS // len(deviations))
    return (first, second, third), (low, middle, high)
