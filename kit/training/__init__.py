"""Training: paths and their losses, samplers that choose them, one trainer for every method."""

from kit.training.losses import Path, separate_backward
from kit.training.prefix_step import shared_backward

__all__ = ["Path", "separate_backward", "shared_backward"]
