"""Training: what a step does with its paths, one trainer for every method."""

from kit.methods import Path
from kit.training.prefix_step import shared_backward
from kit.training.separate_step import separate_backward

__all__ = ["Path", "separate_backward", "shared_backward"]
