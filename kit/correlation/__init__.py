"""How well predictions rank: correlations and what goes with them, with 95 % intervals. No torch behind it."""

from kit.correlation.comparison import MIN_ARCHITECTURES
from kit.correlation.report import rank_correlation
from kit.correlation.seeds import split_half_reliability
from kit.correlation.top import Count, parse_count

__all__ = ["MIN_ARCHITECTURES", "Count", "parse_count", "rank_correlation", "split_half_reliability"]
