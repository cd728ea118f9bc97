"""One path of every sub-supernet in each step (EFS-NAS)."""

from typing import Literal

from kit.errors import InputError
from kit.methods.phase import Phase
from kit.methods.sampling import Path, Sampler, Scope
from kit.strict import PositiveInt


class CellwisePhase(Phase):
    """All sub-supernets at once: per step one uniform draw in each cell of the partition, gradients summed."""

    method: Literal["cellwise"]
    cells_per_step: PositiveInt
    """How many cells the recipe's partition has."""

    together = True

    @property
    def paths_per_step(self) -> int:
        return self.cells_per_step


class CellwiseSampler(Sampler[CellwisePhase]):
    """A path a cell, in the order of the cells."""

    def __init__(self, settings: CellwisePhase, scope: Scope) -> None:
        super().__init__(settings, scope)
        if len(scope.cells) != settings.cells_per_step:
            raise InputError(
                f"phase {settings.name}: the partition has {len(scope.cells)} cells, not {settings.cells_per_step}",
                hint=f"write cells_per_step = {len(scope.cells)}",
            )
        self.cells = [cell.restrict(max_digits=scope.space.max_digits) for cell in scope.cells]

    def paths(self, step: int) -> list[Path]:
        return [Path(cell.sample(self.random(step, number))) for number, cell in enumerate(self.cells)]
