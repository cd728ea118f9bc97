"""Calibration and scoring of sub-networks with inherited weights."""

from kit.evaluation.accuracy import EvaluationImages, Score, count_correct, evaluate_architectures
from kit.evaluation.results import ResultsFile

__all__ = ["EvaluationImages", "ResultsFile", "Score", "count_correct", "evaluate_architectures"]
