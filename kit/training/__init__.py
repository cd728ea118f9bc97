"""Training: what a step does with its paths, one trainer for every method."""

from kit.methods import Path
from kit.training.losses import separate_backward
from kit.training.prefix_step import shared_backward

__all__ = ["Path", "separate_backward", "shared_backward"]
