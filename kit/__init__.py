"""kit: a reproducibility kit for supernet NAS (CVPR 2022 lightweight-NAS challenge, supernet track)."""

__version__ = "0.2.0"
