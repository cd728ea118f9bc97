"""What every settings model is made of (recipes, profiles, phases), and the keys of what settings make."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kit.files import content_key
from kit.search_space import STAGES

KEY_FORMAT = 2
"""Part of every key. Raise it when a default changes, or when the same settings give other results than before."""

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PerStage = Annotated[tuple[int, ...], Field(min_length=STAGES, max_length=STAGES)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]


class Strict(BaseModel):
    """Frozen, no unknown keys, no conversions between types, no infinities (TOML has them, JSON and training do not)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    outside_keys: ClassVar[frozenset[str]] = frozenset()
    """Settings that change no result beyond rounding, or that reach it by another way."""

    def identity(self, *, defaults: bool = False) -> dict[str, Any]:
        """What these settings change, as JSON: without what lies outside keys and, unless `defaults`, what has its default.

        A setting that is new, with a default that does what was done before, thus changes the identity of nothing old.
        """
        found = {}
        for name, field in type(self).model_fields.items():
            value = _identity(getattr(self, name), defaults)
            left_out = not (defaults or field.is_required()) and value == _identity(field.get_default(), defaults)
            if name not in self.outside_keys and not left_out:
                found[name] = value
        return found


def first_problem(error: ValidationError, *inside: str) -> str:
    """The first thing that is wrong with a document: its place, which lies `inside` of these, and what."""
    first = error.errors()[0]
    return f"{'.'.join([*inside, *map(str, first['loc'])])}: {first['msg']}"


def identity_of(**parts: Any) -> dict[str, Any]:
    """What a result depends on: models give their identity, facts themselves; parts that are None or empty are left out."""
    return {"format": KEY_FORMAT} | {
        name: value for name, part in parts.items() if (value := _identity(part, False)) not in (None, {})
    }


def key_of(**parts: Any) -> str:
    """The address of what is made from these parts: phases, scores and truths."""
    return content_key(identity_of(**parts))


def _identity(value: Any, defaults: bool) -> Any:
    if isinstance(value, Strict):
        return value.identity(defaults=defaults)
    return [_identity(each, defaults) for each in value] if isinstance(value, tuple | list) else value
