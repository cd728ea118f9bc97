"""Calibration and scoring of sub-networks with inherited weights."""

from kit.evaluation.accuracy import EvaluationImages, Score, calibrated_subnet, count_correct, evaluate_architectures
from kit.evaluation.prefix_tree import CalibratedTree, evaluate_prefix_tree, units
from kit.evaluation.results import ResultsFile

__all__ = [
    "CalibratedTree",
    "EvaluationImages",
    "ResultsFile",
    "Score",
    "calibrated_subnet",
    "count_correct",
    "evaluate_architectures",
    "evaluate_prefix_tree",
    "units",
]
