"""Recipes (what is trained, how) and profiles (on what data, at what scale): TOML files read into frozen, strict models."""

from kit.recipe.loading import copy_recipe, load_profile, load_recipe, profile_names, recipe_names, recipe_path
from kit.recipe.models import (
    CandidatePhase,
    OptimizerSettings,
    Partition,
    Phase,
    PretrainPhase,
    Recipe,
    UniformPhase,
)
from kit.recipe.profile import Profile
from kit.recipe.writing import to_toml

__all__ = [
    "CandidatePhase",
    "OptimizerSettings",
    "Partition",
    "Phase",
    "PretrainPhase",
    "Profile",
    "Recipe",
    "UniformPhase",
    "copy_recipe",
    "load_profile",
    "load_recipe",
    "profile_names",
    "recipe_names",
    "recipe_path",
    "to_toml",
]
