"""The data set that comes with the kit: 1,797 handwritten digits of 8 x 8 pixels, grey values 0 to 16.

The test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI Machine Learning Repository, 1998,
licence CC BY 4.0), which scikit-learn ships too and a test compares with. A file of our own spares every start
scikit-learn's import.
"""

from pathlib import Path

import numpy as np
import torch

from kit.data.splits import ArraySplit, Source, array_fingerprint, stratified_order
from kit.errors import InputError
from kit.files import storage_errors

DIGITS = Path(__file__).with_name("digits.npz")
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
    with storage_errors("read", DIGITS), np.load(DIGITS, allow_pickle=False) as digits:
        values, labels = (torch.from_numpy(digits[name]) for name in ("images", "labels"))
    pixels = (values.double() * (255 / LARGEST_VALUE)).round().to(torch.uint8).unsqueeze(1)
    labels = labels.long()
    order = stratified_order(labels.tolist())
    whole = ArraySplit(pixels, labels)
    train, val = (whole.subset(torch.tensor(sorted(part))) for part in (order[VAL_IMAGES:], order[:VAL_IMAGES]))
    fingerprint = array_fingerprint(train.pixels, train.labels, val.pixels, val.labels)
    return Source(train, val, tuple("0123456789"), fingerprint)
