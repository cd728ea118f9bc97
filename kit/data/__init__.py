"""Data sets as reproducible streams of uint8 batches."""

from kit.data.augment import AUGMENTATIONS
from kit.data.batches import Batch, Normalisation, normalize
from kit.data.dataset import Data, ValBatches
from kit.data.opening import open_data

__all__ = ["AUGMENTATIONS", "Batch", "Data", "Normalisation", "ValBatches", "normalize", "open_data"]
