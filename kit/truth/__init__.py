"""Truth: accuracies of architectures trained alone. Training of supernets never imports this package."""

from kit.truth.parallel import Unit, train_units
from kit.truth.standalone import StandaloneScore, StandaloneTraining, train_alone

__all__ = ["StandaloneScore", "StandaloneTraining", "Unit", "train_alone", "train_units"]
