"""kit: a reproducibility kit for supernet-based neural architecture search (CVPR 2022 lightweight-NAS challenge, track 1)."""

__version__ = "0.1.0"
