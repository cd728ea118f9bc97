"""Data sets as reproducible streams of uint8 batches."""

from kit.data.augment import AUGMENTATIONS
from kit.data.batches import Batch, Normalisation, normalize
from kit.data.dataset import Data, ValBatches
from kit.data.opening import absolute_spec, open_data

__all__ = ["AUGMENTATIONS", "Batch", "Data", "Normalisation", "ValBatches", "absolute_spec", "normalize", "open_data"]
