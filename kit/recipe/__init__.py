"""Recipes (what is trained, how) and profiles (on what data, at what scale): TOML files read into frozen, strict models."""

from kit.recipe.loading import (
    copy_recipe,
    load_profile,
    load_recipe,
    profile_names,
    profile_path,
    profiles_folder,
    recipe_names,
    recipe_path,
    recipes_folder,
)
from kit.recipe.models import OptimizerSettings, Partition, Recipe
from kit.recipe.origins import Difference, Setting, differences, profile_settings, recipe_settings
from kit.recipe.profile import Profile
from kit.recipe.run_settings import comparable
from kit.recipe.writing import to_toml

__all__ = [
    "Difference",
    "OptimizerSettings",
    "Partition",
    "Profile",
    "Recipe",
    "Setting",
    "comparable",
    "copy_recipe",
    "differences",
    "load_profile",
    "load_recipe",
    "profile_names",
    "profile_path",
    "profile_settings",
    "profiles_folder",
    "recipe_names",
    "recipe_path",
    "recipe_settings",
    "recipes_folder",
    "to_toml",
]
