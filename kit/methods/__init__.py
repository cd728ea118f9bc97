"""Training methods: what each may say in a recipe and which paths its steps train. Nothing here needs torch."""

from kit.methods.foreign import ForeignPhase
from kit.methods.phase import Phase
from kit.methods.sampling import Path, Replacement, Sampler, Scope
from kit.methods.table import IMPORTS, METHODS, AnyPhase, Method, load_objective, make_sampler, settings_model

__all__ = [
    "IMPORTS",
    "METHODS",
    "AnyPhase",
    "ForeignPhase",
    "Method",
    "Path",
    "Phase",
    "Replacement",
    "Sampler",
    "Scope",
    "load_objective",
    "make_sampler",
    "settings_model",
]
