"""What every settings model is made of: recipes, profiles, and the phases of each method."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kit.search_space import STAGES

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PerStage = Annotated[tuple[int, ...], Field(min_length=STAGES, max_length=STAGES)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]


class Strict(BaseModel):
    """Frozen, no unknown keys, no conversions between types, no infinities (TOML has them, JSON and training do not)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
