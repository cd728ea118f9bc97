"""What a recipe may say. Sections cited are those of the 2nd-place paper ("P") and the code its authors released ("C")."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kit.methods import AnyPhase, ForeignPhase
from kit.search_space import ALL_DIGITS, STAGES, SearchSpace
from kit.strict import Fraction, Name, PositiveInt, Strict


class OptimizerSettings(Strict):
    """SGD as in C: weight decay on every parameter, no Nesterov, a fresh optimizer for every phase."""

    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5


class Partition(Strict):
    """Cells of the space by depth or output width; every sub-supernet owns one (SSE, P 2.3)."""

    by: Literal["depth", "total-depth", "width"] = "depth"
    """`depth`: the depths of `stages`, a digit each; `total-depth`: their sum; `width`: the output digit of one stage."""
    stages: Annotated[tuple[Annotated[int, Field(ge=1, le=STAGES)], ...], Field(min_length=1)]
    cells: Annotated[tuple[tuple[Annotated[str, Field(pattern=r"^[0-9]+$")], ...], ...], Field(min_length=1)]
    """Each cell lists what it owns; by depth, "83" is depth 8 in the first of `stages`, 3 in the second."""
    rest: bool = False
    """Whether a last cell owns everything the others do not."""

    @model_validator(mode="after")
    def _is_a_partition(self) -> Self:
        what = {"depth": "depth", "total-depth": "total depth", "width": "output digit"}[self.by]
        if len(set(self.stages)) != len(self.stages):
            raise ValueError(f"stages {list(self.stages)} repeat")
        if self.by == "width" and len(self.stages) > 1:
            raise ValueError(f"cells by width are of one stage, not of {list(self.stages)}")
        owners: dict[str, int] = {}
        possible = self._possible()
        for index, cell in enumerate(self.cells):
            if not cell:
                raise ValueError(f"cell {index} is empty")
            for value in cell:
                if value not in possible:
                    raise ValueError(f"cell {index}: {value!r} is no {what} of stages {list(self.stages)}")
                if value in owners:
                    raise ValueError(f"cells {owners[value]} and {index} overlap: both own {what}s {value!r}")
                owners[value] = index
        left = sorted(possible - set(owners), key=int)
        if left and not self.rest:
            raise ValueError(f"the cells leave a gap: nothing owns {what}s {', '.join(left)} (or set rest = true)")
        if self.rest and not left:
            raise ValueError("rest = true, but the cells own everything already")
        return self

    @property
    def size(self) -> int:
        return len(self.cells) + self.rest

    def subspaces(self, space: SearchSpace) -> tuple[SearchSpace, ...]:
        """The cells as subspaces of `space`, in order, the rest last."""
        return tuple(self.subspace(space, [cell]) for cell in range(self.size))

    def subspace(self, space: SearchSpace, cells: Sequence[int]) -> SearchSpace:
        """What these cells own of `space`."""
        owned = [set(cell) for cell in self.cells]
        if self.rest:
            owned.append(self._possible().difference(*owned))
        values = set().union(*(owned[cell] for cell in cells))
        if self.by == "width":
            chosen = tuple(map(int, values))
            outs = [chosen if stage in self.stages else ALL_DIGITS for stage in range(1, STAGES + 1)]
            return space.restrict(out_digits=outs)
        return space.restrict(depth_choices=[each for each in space.depth_choices if self._project(each) in values])

    def _possible(self) -> set[str]:
        """What an architecture of the whole space may be told by."""
        if self.by == "width":
            return set(map(str, ALL_DIGITS))
        return {self._project(depths) for depths in SearchSpace().depth_choices}

    def _project(self, depths: tuple[int, ...]) -> str:
        chosen = [depths[stage - 1] for stage in self.stages]
        return str(sum(chosen)) if self.by == "total-depth" else "".join(map(str, chosen))


class PaperFigure(Strict):
    """What P reports of a recipe: Pearson r with the truth of the challenge's leaderboard A, on ImageNet."""

    table: PositiveInt
    row: str
    pearson: Fraction


class Recipe(Strict):
    """A named sequence of phases."""

    outside_keys: ClassVar[frozenset[str]] = frozenset({"title", "description", "paper", "published_epochs"})
    name: Name
    title: str
    description: str = ""
    paper: PaperFigure | None = None
    published_epochs: Annotated[float, Field(gt=0)] | None = None
    """Epochs that the source spent on the supernet, where it says so: here every recipe has the budget of APS."""
    optimizer: OptimizerSettings = OptimizerSettings()
    partition: Partition | None = None
    phases: Annotated[tuple[AnyPhase, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [phase.name for phase in self.phases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"phase names repeat: {', '.join(repeated)}")
        if any(phase.pretrains for phase in self.phases[1:]):
            raise ValueError("a pretrain phase can only be the first")
        if not any(isinstance(phase, ForeignPhase) for phase in self.phases):  # unread, it cannot say what it trains
            self._check_partition()
        self._check_cells(0 if self.partition is None else self.partition.size)
        return self

    def _check_partition(self) -> None:
        in_cells = [phase.together or phase.cell is not None for phase in self.phases]
        if any(in_cells) and self.partition is None:
            raise ValueError("a phase names a cell, but the recipe has no [partition]")
        if self.partition is not None and not any(in_cells):
            raise ValueError("the recipe has a [partition], but no phase trains a cell")
        if in_cells != sorted(in_cells):
            raise ValueError("phases that train a cell come after all others")
        if any(phase.together for phase in self.phases) and any(phase.cells for phase in self.phases):
            raise ValueError("phases train the cells together or one by one, not both in one recipe")

    def _check_cells(self, size: int) -> None:
        last: dict[int, str] = {}
        for phase in self.phases:
            for cell in phase.cells:
                if cell >= size:
                    raise ValueError(f"there is no cell {cell}: the partition has cells 0..{size - 1}")
            parents = {last.get(cell) for cell in phase.cells}
            if len(parents) > 1:
                raise ValueError(f"phase {phase.name} joins cells {phase.cells} that earlier phases have trained apart")
            last |= dict.fromkeys(phase.cells, phase.name)

    @property
    def needs_teacher(self) -> bool:
        return any(phase.needs_teacher for phase in self.phases)
