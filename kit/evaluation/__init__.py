"""Calibration and scoring of sub-networks with inherited weights."""

from kit.evaluation.accuracy import EvaluationImages, calibrated_subnet, count_correct, evaluate_architectures
from kit.evaluation.prefix_tree import CalibratedTree, changed_by_folding, evaluate_prefix_tree, score_unit
from kit.evaluation.units import Unit, plan_units

__all__ = [
    "CalibratedTree",
    "EvaluationImages",
    "Unit",
    "calibrated_subnet",
    "changed_by_folding",
    "count_correct",
    "evaluate_architectures",
    "evaluate_prefix_tree",
    "plan_units",
    "score_unit",
]
