"""The data set that comes with the installation: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

import torch

from kit.data.splits import ArraySplit, Source, array_fingerprint, stratified_order
from kit.errors import InputError

VAL_IMAGES = 360
LARGEST_VALUE = 16
LARGEST_RESOLUTION = 128


def open_digits(resolution: int) -> Source:
    """A fixed stratified split, 1,437 to train and 360 to validate. Raises `InputError` for a senseless resolution."""
    if resolution > LARGEST_RESOLUTION:
        raise InputError(
            f"digits at {resolution} x {resolution} pixels: their images have 8 x 8",
            hint=f"choose a resolution of 8..{LARGEST_RESOLUTION}, or other data with --data",
        )
    # Imported here because it costs a second that no other data set needs.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    values = torch.from_numpy(bunch.images).double()
    pixels = (values * (255 / LARGEST_VALUE)).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    order = stratified_order(labels.tolist())
    whole = ArraySplit(pixels, labels)
    train, val = (whole.subset(torch.tensor(sorted(part))) for part in (order[VAL_IMAGES:], order[:VAL_IMAGES]))
    fingerprint = array_fingerprint(train.pixels, train.labels, val.pixels, val.labels)
    return Source(train, val, tuple(str(name) for name in bunch.target_names), fingerprint)
