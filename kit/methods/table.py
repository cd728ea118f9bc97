"""The one table of training methods: a phase's `method` leads to its settings model and, by name, to what trains it."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from kit.errors import InputError
from kit.methods.foreign import (
    ForeignPhase,
    has_objective,
    load_settings,
    make_foreign_sampler,
    registered,
    source_file,
    source_sha256,
)
from kit.methods.phase import Phase
from kit.methods.sampling import Sampler, Scope

OBJECTIVE = "kit.training.objective:Objective"
"""Does what the paths say."""
IMPORTS = "imports methods"
"""Key of the context in which a recipe is validated: whether foreign methods are imported, or their phases left unread."""


@dataclass(frozen=True, slots=True)
class Method:
    """Where a method's parts are, each as `module:Class`, so that only a phase that uses them imports them."""

    settings: str
    """A `Phase`."""
    sampler: str
    """A `Sampler`."""
    objective: str = OBJECTIVE
    """An `Objective`."""


METHODS = {
    "pretrain": Method("kit.methods.uniform:PretrainPhase", "kit.methods.uniform:FullSampler"),
    "uniform": Method("kit.methods.uniform:UniformPhase", "kit.methods.uniform:UniformSampler"),
    "candidates": Method("kit.methods.candidates:CandidatePhase", "kit.methods.candidates:CandidateSampler"),
    "fair": Method("kit.methods.fair:FairPhase", "kit.methods.fair:FairSampler"),
    "sandwich": Method("kit.methods.sandwich:SandwichPhase", "kit.methods.sandwich:SandwichSampler"),
    "rank-loss": Method("kit.methods.rank_loss:RankLossPhase", "kit.methods.rank_loss:RankLossSampler"),
    "biased": Method("kit.methods.biased:BiasedPhase", "kit.methods.biased:BiasedSampler"),
    "novelty": Method("kit.methods.novelty:NoveltyPhase", "kit.methods.novelty:NoveltySampler"),
    "cellwise": Method("kit.methods.cellwise:CellwisePhase", "kit.methods.cellwise:CellwiseSampler"),
    "size-schedule": Method("kit.methods.size_schedule:SizeSchedulePhase", "kit.methods.size_schedule:SizeScheduleSampler"),
}


def settings_model(method: str) -> type[Phase]:
    """The model of a method's settings."""
    model: type[Phase] = _load(METHODS[method].settings)
    return model


def make_sampler(phase: Phase, scope: Scope) -> Sampler[Phase]:
    """What draws the paths of a phase."""
    if phase.module is not None:
        return make_foreign_sampler(phase, scope)
    sampler: Sampler[Phase] = _load(METHODS[phase.method].sampler)(phase, scope)
    return sampler


def load_objective(phase: Phase) -> Any:
    """The class of `Objective` that turns a phase's logits into losses."""
    if phase.module is not None:
        return _load(f"{phase.module}:Objective" if has_objective(phase.module) else OBJECTIVE)
    return _load(METHODS[phase.method].objective)


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _read_phase(value: Any, info: ValidationInfo) -> Any:
    """A phase's table as its method's model; what is wrong is told with the place it has in the recipe."""
    if not isinstance(value, Mapping):
        return value
    if "method" not in value:
        raise _problem("missing", value)
    method = str(value["method"])
    try:
        if method in METHODS:
            model = _own(method, value)
        else:
            model, value = _foreign(method, value, imports=bool((info.context or {}).get(IMPORTS)))
    except InputError as error:
        said = f"{error} ({error.hint})" if error.hint else str(error)
        raise _problem(PydanticCustomError("unknown_method", "{said}", {"said": said}), method) from error
    # JSON mode, because strict models then take arrays for tuples and nothing else is converted.
    return model.model_validate_json(json.dumps(value, default=str))


def _own(method: str, value: Mapping[str, Any]) -> type[Phase]:
    if value.get("module") is not None:
        raise InputError(f"the kit has a method {method!r} itself: give yours another name")
    return settings_model(method)


def _foreign(method: str, value: Mapping[str, Any], *, imports: bool) -> tuple[type[Phase], Mapping[str, Any]]:
    """The model of a foreign method's settings, and the phase with what tells its source."""
    module = value.get("module") or registered(method)
    if module is None:
        near = difflib.get_close_matches(method, METHODS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"there is no such method ({hint}there are: {', '.join(METHODS)})")
    if not imports:
        return ForeignPhase, value
    module = str(module)
    sha256 = source_sha256(module)
    if (value.get("module_sha256") or sha256) != sha256:
        raise InputError(
            f"{source_file(module)}: its source is not the one that the recipe was written with (module_sha256)"
        )
    return load_settings(module), {**value, "module": module, "module_sha256": sha256}


def _problem(kind: str | PydanticCustomError, value: Any) -> ValidationError:
    return ValidationError.from_exception_data("Phase", [InitErrorDetails(type=kind, loc=("method",), input=value)])


AnyPhase = Annotated[SerializeAsAny[Phase], BeforeValidator(_read_phase)]
"""A phase in a recipe, read by the model that its method has in the table."""
