"""Elastic supernets on timm, the sub-networks in them, and their weights."""

from kit.supernet.elastic import ElasticResNet
from kit.supernet.few_shot import FewShotSupernet
from kit.supernet.subnet import build_subnet, extract_subnet

__all__ = ["ElasticResNet", "FewShotSupernet", "build_subnet", "extract_subnet"]
