"""Uniform single path whose rate falls by the size of what is trained, with momentum by depth (DYNAS)."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kit.costs import costs
from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler, Scope
from kit.search_space import Architecture

Power = Annotated[float, Field(gt=0)]


class SizeSchedulePhase(Phase):
    """One uniform sub-network a step; the rate of small ones falls early, that of large ones late."""

    method: Literal["size-schedule"]
    smallest_power: Power = 4.0
    """Exponent of the remaining time for the smallest sub-network of the space."""
    largest_power: Power = 0.25

    @property
    def paths_per_step(self) -> int:
        return 1

    @model_validator(mode="after")
    def _falls_with_size(self) -> Self:
        if self.largest_power > self.smallest_power:
            raise ValueError("largest_power is above smallest_power: large sub-networks would stop learning first")
        return self


class SizeScheduleSampler(Sampler[SizeSchedulePhase]):
    """Draws as uniform single path does; asks each draw for its parameters."""

    def __init__(self, settings: SizeSchedulePhase, scope: Scope) -> None:
        super().__init__(settings, scope)
        self._ends = [self._log_params(each) for each in (scope.space.smallest, scope.space.largest)]

    def paths(self, step: int) -> list[Path]:
        return [Path(self._drawn(step))]

    def learning_rate(self, step: int, first: float) -> float:
        """lr0 ((T - t) / T)^g, t and T in steps, g linear in the logarithm of the parameters."""
        return float(first * ((self.steps - step) / self.steps) ** self.power(self._drawn(step)))

    def power(self, architecture: Architecture) -> float:
        """g of an architecture."""
        low, high = self._ends
        share = (self._log_params(architecture) - low) / (high - low)
        return self.settings.smallest_power + share * (self.settings.largest_power - self.settings.smallest_power)

    def momentum_group(self, step: int) -> str:
        """Each depth of the last stage has buffers of its own."""
        return f"depth {self._drawn(step).depths[-1]}"

    def _drawn(self, step: int) -> Architecture:
        return self.scope.space.sample(self.random(step, 0))

    def _log_params(self, architecture: Architecture) -> float:
        return math.log(costs(architecture, self.scope.scale).params)
