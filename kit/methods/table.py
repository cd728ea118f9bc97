"""The one table of training methods: a phase's `method` leads to its settings model and, by name, to what trains it."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from kit.methods.phase import Phase
from kit.methods.sampling import Sampler, Scope


@dataclass(frozen=True, slots=True)
class Method:
    """Where a method's parts are, each as `module:Class`, so that only a phase that uses them imports them."""

    settings: str
    """A `Phase`."""
    sampler: str
    """A `Sampler`."""
    objective: str = "kit.training.objective:Objective"
    """An `Objective`; this one does what the paths say."""


METHODS = {
    "pretrain": Method("kit.methods.uniform:PretrainPhase", "kit.methods.uniform:FullSampler"),
    "uniform": Method("kit.methods.uniform:UniformPhase", "kit.methods.uniform:UniformSampler"),
    "candidates": Method("kit.methods.candidates:CandidatePhase", "kit.methods.candidates:CandidateSampler"),
}


def settings_model(method: str) -> type[Phase]:
    """The model of a method's settings."""
    model: type[Phase] = _load(METHODS[method].settings)
    return model


def make_sampler(phase: Phase, scope: Scope) -> Sampler[Phase]:
    """What draws the paths of a phase."""
    sampler: Sampler[Phase] = _load(METHODS[phase.method].sampler)(phase, scope)
    return sampler


def load_objective(phase: Phase) -> Any:
    """The class of `Objective` that turns a phase's logits into losses."""
    return _load(METHODS[phase.method].objective)


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _read_phase(value: Any) -> Any:
    """A phase's table as its method's model; what is wrong is told with the place it has in the recipe."""
    if not isinstance(value, Mapping):
        return value
    if "method" not in value:
        raise _problem("missing", value)
    method = value["method"]
    if method not in METHODS:
        near = difflib.get_close_matches(str(method), METHODS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        said = f"there is no such method ({hint}there are: {', '.join(METHODS)})"
        raise _problem(PydanticCustomError("unknown_method", said), method)
    # JSON mode, because strict models then take arrays for tuples and nothing else is converted.
    return settings_model(method).model_validate_json(json.dumps(value, default=str))


def _problem(kind: str | PydanticCustomError, value: Any) -> ValidationError:
    return ValidationError.from_exception_data("Phase", [InitErrorDetails(type=kind, loc=("method",), input=value)])


AnyPhase = Annotated[SerializeAsAny[Phase], BeforeValidator(_read_phase)]
"""A phase in a recipe, read by the model that its method has in the table."""
