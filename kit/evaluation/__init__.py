"""Calibration and scoring of sub-networks with inherited weights."""

from kit.evaluation.accuracy import EvaluationImages, calibrated_subnet, count_correct, evaluate_architectures
from kit.evaluation.evaluator import Evaluator
from kit.evaluation.held_out import HeldOut, held_out
from kit.evaluation.prefix_tree import CalibratedTree, evaluate_prefix_tree
from kit.evaluation.units import Unit, plan_units

__all__ = [
    "CalibratedTree",
    "EvaluationImages",
    "Evaluator",
    "HeldOut",
    "Unit",
    "calibrated_subnet",
    "count_correct",
    "evaluate_architectures",
    "evaluate_prefix_tree",
    "held_out",
    "plan_units",
]
