"""The settings of a run as `resolved.json` keeps them: written whole, compared by what they change."""

import json
from typing import Any

from pydantic import ValidationError

from kit.recipe.models import Recipe
from kit.recipe.profile import Profile
from kit.strict import Strict

OF_TRUTH = frozenset({"name", "resolution", "network", "images", "truth"})
"""What of a profile the stand-alone trainings of a truth depend on."""
NO_SETTINGS = ("kit", "inputs", "data_source", "classes")
"""What else stands there; source and classes follow from the data's fingerprint, and older kits did not write them."""
BEFORE = {"format": 2, "processes": 1}
"""What holds where a document does not say it: nothing that kits before this key wrote was computed otherwise."""
FILLERS = {"title": "", "data": "", "num_classes": 1}
"""What a profile must have and not every document keeps; `num_classes` is missing in those of truths alone."""


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """What must stay the same while a run is continued; settings that the document does not know yet have their default.

    Parts that today's models refuse (another version's, or damaged ones) are compared as they stand.
    """
    found = BEFORE | {key: value for key, value in document.items() if key not in NO_SETTINGS}
    if isinstance(recipe := found.get("recipe"), dict):
        found["recipe"] = _completed(Recipe, recipe)
    profile = _completed(Profile, FILLERS | found["profile"])
    of_truth = found.get("kind") == "truth"
    found["profile"] = {key: part for key, part in profile.items() if (key in OF_TRUTH if of_truth else key != "truth")}
    return found


def _completed(model: type[Strict], document: dict[str, Any]) -> dict[str, Any]:
    try:
        return model.model_validate_json(json.dumps(document)).identity(defaults=True)
    except ValidationError:
        return document
