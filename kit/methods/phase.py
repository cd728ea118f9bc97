"""What every method's settings have in common, and the questions that recipe, plan and trainer ask of them."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from kit.search_space import PUBLISHED, SearchSpace
from kit.strict import Name, PositiveInt, Strict

Cell = Annotated[int, Field(ge=0)]


class Phase(Strict):
    """One part of a recipe: a method, how long, and how fast. A method's settings model derives from it."""

    name: Name
    epochs: PositiveInt
    learning_rate: Annotated[float, Field(gt=0)]
    """For 256 images a step; scaled by batch size / 256, cosine per epoch to 0 over the phase (C)."""
    method: str
    cell: Cell | Annotated[tuple[Cell, ...], Field(min_length=1)] | None = None
    """Which cell of the recipe's partition is trained, in a sub-supernet of its own (SSE, P 2.3); several share one."""

    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)] | None = None
    """Where the method comes from, if not from the kit."""
    module_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of that module's source, so that the key of a phase changes with it; filled in where the recipe is read."""

    pretrains: ClassVar[bool] = False
    """Whether it makes the pretrained network: comes first, is left out when weights are given, and gives the teacher."""
    uses_pool: ClassVar[bool] = False
    """Whether it trains codes of the pool (never their accuracies), so that its weights depend on them."""

    together: ClassVar[bool] = False
    """Whether it trains the sub-supernets of all cells at once, in every step some paths of each."""

    @property
    def cells(self) -> tuple[int, ...]:
        """The cells that `cell` names."""
        return self.cell if isinstance(self.cell, tuple) else () if self.cell is None else (self.cell,)

    @property
    @abstractmethod
    def paths_per_step(self) -> float:
        """Sub-network passes of a step, on average; a pass that only goes forward counts half."""

    @property
    def needs_teacher(self) -> bool:
        """Whether a step needs the logits of the pretrained network."""
        return False

    def subspace(self, space: SearchSpace) -> SearchSpace:
        """The architectures this phase draws from: a part of `space`, which is its cell if it has one."""
        return space.restrict(max_digits=PUBLISHED.max_digits)

    def passes(self, steps: int) -> int:
        """Sub-network passes expected of so many steps (or, of epochs, the sub-network epochs)."""
        return round(steps * self.paths_per_step)
