"""What a recipe may say. Sections cited are those of the 2nd-place paper ("P") and the code its authors released ("C")."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kit.search_space import MIN_DEPTH, SLOTS, STAGES, SearchSpace
from kit.strict import Fraction, Name, PerStage, PositiveInt, Strict


class OptimizerSettings(Strict):
    """SGD as in C: weight decay on every parameter, no Nesterov, a fresh optimizer for every phase."""

    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5


class _PhaseBase(Strict):
    name: Name
    epochs: PositiveInt
    learning_rate: Annotated[float, Field(gt=0)]
    """For 256 images a step; scaled by batch size / 256, cosine per epoch to 0 over the phase (C)."""


class PretrainPhase(_PhaseBase):
    """Train the full network alone. Skipped when initial weights are given; its result is also the teacher."""

    method: Literal["pretrain"]

    @property
    def paths_per_step(self) -> int:
        return 1


class UniformPhase(_PhaseBase):
    """Per step, `paths` uniformly drawn sub-networks of a subspace; losses are summed (APS, P 3.2; SPOS with one path)."""

    method: Literal["uniform"]
    paths: PositiveInt = 4
    min_depths: PerStage = (MIN_DEPTH,) * STAGES
    max_depths: PerStage = SLOTS
    max_digits: PerStage = (3, 3, 5, 7)

    @property
    def paths_per_step(self) -> int:
        return self.paths

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        for stage, (low, high, limit) in enumerate(zip(self.min_depths, self.max_depths, SLOTS, strict=True), 1):
            if not MIN_DEPTH <= low <= high <= limit:
                raise ValueError(f"stage {stage} takes depths {MIN_DEPTH}..{limit}, this phase says {low}..{high}")
        for stage, digit in enumerate(self.max_digits, 1):
            if not 1 <= digit <= 7:
                raise ValueError(f"stage {stage} takes width digits 1..7, this phase says {digit}")
        return self

    def subspace(self, space: SearchSpace) -> SearchSpace:
        """The architectures this phase draws from."""
        return space.restrict(min_depths=self.min_depths, max_depths=self.max_depths, max_digits=self.max_digits)


class CandidatePhase(_PhaseBase):
    """Candidate plasticity training (P 2.4, 3.3), alone (CPT) or inside one cell of the partition (SSE)."""

    method: Literal["candidates"]
    cell: Annotated[int, Field(ge=0)] | None = None
    sampled_weight: Annotated[float, Field(ge=0)] = 0.5
    candidates_weight: Annotated[float, Field(ge=0)] = 0.5
    """Total weight of the candidates' mean cross-entropy."""
    distillation: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the sampled sub-network's soft cross-entropy to the teacher, temperature 1."""
    candidates: PositiveInt = 10
    recent: PositiveInt = 100
    neighbours: PositiveInt = 10
    distance: Literal["paper", "as-released"] = "paper"
    """`paper`: L1 over stem and 46 slot digits; `as-released`: without the last digit, divided by 47."""
    redraw_steps: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Steps of every epoch at which C draws the whole group anew from the pool."""
    sample_from: Literal["space", "pool"] = "space"
    """`space`: uniformly from the published subspace; `pool`: the pool's codes, shuffled, each once a pass (C)."""
    allow_duplicates: bool = False
    """Whether a sub-network may enter the group twice, and the sampled one may enter it at once (C)."""

    @property
    def paths_per_step(self) -> int:
        return 1 + self.candidates

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if self.sampled_weight + self.candidates_weight + self.distillation <= 0:
            raise ValueError("all loss weights are 0: nothing would be trained")
        return self


Phase = Annotated[PretrainPhase | UniformPhase | CandidatePhase, Field(discriminator="method")]


class Partition(Strict):
    """Cells of the space by depth; every sub-supernet owns one (SSE, P 2.3)."""

    stages: Annotated[tuple[Annotated[int, Field(ge=1, le=STAGES)], ...], Field(min_length=1)]
    cells: Annotated[tuple[tuple[Annotated[str, Field(pattern=r"^[2-8]+$")], ...], ...], Field(min_length=1)]
    """Each cell lists the depths of `stages` it owns, one digit per stage: "83" is depth 8 in the first, 3 in the second."""
    rest: bool = False
    """Whether a last cell owns everything the others do not."""

    @model_validator(mode="after")
    def _is_a_partition(self) -> Self:
        if len(set(self.stages)) != len(self.stages):
            raise ValueError(f"stages {list(self.stages)} repeat")
        owners: dict[str, int] = {}
        possible = {self._project(depths) for depths in SearchSpace().depth_choices}
        for index, cell in enumerate(self.cells):
            if not cell:
                raise ValueError(f"cell {index} is empty")
            for depths in cell:
                if depths not in possible:
                    raise ValueError(f"cell {index}: {depths!r} is no depth of stages {list(self.stages)}")
                if depths in owners:
                    raise ValueError(f"cells {owners[depths]} and {index} overlap: both own depths {depths!r}")
                owners[depths] = index
        left = sorted(possible - set(owners))
        if left and not self.rest:
            raise ValueError(f"the cells leave a gap: nothing owns depths {', '.join(left)} (or set rest = true)")
        if self.rest and not left:
            raise ValueError("rest = true, but the cells own everything already")
        return self

    @property
    def size(self) -> int:
        return len(self.cells) + self.rest

    def subspaces(self, space: SearchSpace) -> tuple[SearchSpace, ...]:
        """The cells as subspaces of `space`, in order, the rest last."""
        owners = {depths: index for index, cell in enumerate(self.cells) for depths in cell}
        groups: list[list[tuple[int, ...]]] = [[] for _ in range(self.size)]
        for depths in space.depth_choices:
            groups[owners.get(self._project(depths), len(self.cells))].append(depths)
        return tuple(space.restrict(depth_choices=group) for group in groups)

    def _project(self, depths: tuple[int, ...]) -> str:
        return "".join(str(depths[stage - 1]) for stage in self.stages)


class Recipe(Strict):
    """A named sequence of phases."""

    name: Name
    title: str
    description: str = ""
    optimizer: OptimizerSettings = OptimizerSettings()
    partition: Partition | None = None
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [phase.name for phase in self.phases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"phase names repeat: {', '.join(repeated)}")
        if any(isinstance(phase, PretrainPhase) for phase in self.phases[1:]):
            raise ValueError("a pretrain phase can only be the first")
        in_cells = [phase.cell is not None if isinstance(phase, CandidatePhase) else False for phase in self.phases]
        if any(in_cells) and self.partition is None:
            raise ValueError("a phase names a cell, but the recipe has no [partition]")
        if self.partition is not None and not any(in_cells):
            raise ValueError("the recipe has a [partition], but no phase trains a cell")
        if in_cells != sorted(in_cells):
            raise ValueError("phases that train a cell come after all others")
        cells = [phase.cell for phase in self.phases if isinstance(phase, CandidatePhase) and phase.cell is not None]
        for cell in cells:
            if self.partition is not None and cell >= self.partition.size:
                raise ValueError(f"there is no cell {cell}: the partition has cells 0..{self.partition.size - 1}")
        if len(set(cells)) != len(cells):
            raise ValueError("two phases train the same cell")
        return self

    @property
    def needs_teacher(self) -> bool:
        return any(isinstance(phase, CandidatePhase) and phase.distillation > 0 for phase in self.phases)
