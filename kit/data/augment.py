"""Training augmentations and the evaluation crop, for images that are decoded one by one and for arrays in memory."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from timm.data.constants import DEFAULT_CROP_PCT
from timm.data.transforms_factory import create_transform
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import Compose, RandomCrop, RandomHorizontalFlip

from kit.data.batches import to_rgb
from kit.errors import InputError

ImageTransform = Callable[[Image.Image], Tensor]
"""An RGB image -> uint8 `(3, resolution, resolution)`."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random shifts by up to `padding` pixels over a black border, horizontal flips; `resized_crop` is ImageNet's."""

    padding: int = 0
    flip: bool = False
    resized_crop: bool = False


AUGMENTATIONS = {
    "none": Augmentation(),
    "shift": Augmentation(padding=1),
    "crop-flip": Augmentation(padding=2, flip=True),
    "imagenet": Augmentation(flip=True, resized_crop=True),
}


def find_augmentation(name: str) -> Augmentation:
    """The augmentation of this name. Raises `InputError` with the nearest name."""
    if name not in AUGMENTATIONS:
        near = difflib.get_close_matches(name, AUGMENTATIONS, n=1)
        hint = (f"did you mean {near[0]!r}? " if near else "") + f"possible: {', '.join(AUGMENTATIONS)}"
        raise InputError(f"unknown augmentation {name!r}", hint=hint)
    return AUGMENTATIONS[name]


def training_transform(augmentation: Augmentation, resolution: int) -> ImageTransform:
    """Random per image, drawn from the global generators: call it under `seeded`."""
    if augmentation.resized_crop:
        # The paper's training transform and no more: timm adds colour jitter and random interpolation unless told otherwise.
        transform: ImageTransform = create_transform(
            resolution,
            is_training=True,
            scale=(0.08, 1.0),
            hflip=0.5,
            color_jitter=None,  # type: ignore[arg-type]
            auto_augment=None,
            re_prob=0.0,
            interpolation="bilinear",
            normalize=False,
        )
        return transform
    steps: list[Callable[..., Tensor]] = [evaluation_transform(resolution, crop_fraction=1.0)]
    if augmentation.padding:
        steps.append(RandomCrop(resolution, padding=augmentation.padding))
    if augmentation.flip:
        steps.append(RandomHorizontalFlip())
    composed: ImageTransform = Compose(steps)
    return composed


def evaluation_transform(resolution: int, *, crop_fraction: float = DEFAULT_CROP_PCT) -> ImageTransform:
    """Resize the shorter side to `resolution / crop_fraction` (224: 256), bilinear, then crop the centre."""
    transform: ImageTransform = create_transform(
        resolution, is_training=False, interpolation="bilinear", crop_pct=crop_fraction, normalize=False
    )
    return transform


def resize_pixels(pixels: Tensor, resolution: int, *, chunk: int = 4096) -> Tensor:
    """Uint8 `(N, C, H, W)` -> `(N, C, resolution, resolution)`, bilinear with antialiasing when it shrinks."""
    if pixels.shape[-2:] == (resolution, resolution):
        return pixels
    size = (resolution, resolution)
    resized = [
        F.interpolate(part.float(), size=size, mode="bilinear", antialias=True).round_().clamp_(0, 255).to(torch.uint8)
        for part in pixels.split(chunk)
    ]
    return torch.cat(resized)


@dataclass(frozen=True)
class ArrayAugmenter:
    """Crops and flips whole batches out of padded pixels; the choices are drawn once for a pass, one for each image."""

    augmentation: Augmentation
    windows: Tensor
    """A view of the padded pixels, `(N, C, shifts, shifts, H, W)`: one window for each shift."""

    @classmethod
    def over(cls, pixels: Tensor, augmentation: Augmentation) -> "ArrayAugmenter":
        """For uint8 pixels `(N, C, H, W)`."""
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, (augmentation.padding,) * 4)
        return cls(augmentation, padded.unfold(2, height, 1).unfold(3, width, 1))

    def draw(self, generator: torch.Generator) -> Tensor:
        """Random choices `(3, N)`: vertical shift, horizontal shift, flip."""
        count = len(self.windows)
        shifts = torch.randint(2 * self.augmentation.padding + 1, (2, count), generator=generator)
        flips = torch.randint(1 + self.augmentation.flip, (1, count), generator=generator)
        return torch.cat([shifts, flips])

    def apply(self, indices: Tensor, choices: Tensor) -> Tensor:
        """The images at `indices` `(B,)` under `choices` `(3, B)`: uint8 `(B, 3, H, W)`."""
        images = self.windows.transpose(0, 1)[:, indices, choices[0], choices[1]].transpose(0, 1)
        if self.augmentation.flip:
            images = torch.where(choices[2].bool().view(-1, 1, 1, 1), images.flip(-1), images)
        return to_rgb(images)
