"""What a ladder would cost: each phase that several recipes begin with is counted once for each seed."""

from dataclasses import asdict, dataclass
from typing import Any

from kit.errors import KitError
from kit.files import content_key
from kit.pipeline.dry_run import cost_of_run
from kit.pipeline.ladder_run import LadderRun
from kit.pipeline.request import ResolvedRun
from kit.plan import START


@dataclass(frozen=True, kw_only=True)
class RungCost:
    """One supernet. `known` ones are done; `error` says why one cannot be."""

    recipe: str
    seed: int
    known: bool
    passes: int
    """Passes of phases that no rung above has trained."""
    seconds: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class LadderCost:
    """The document of `kit run ladder --dry-run`. Seconds are scaled from one measured step, disk is a bound."""

    profile: str
    truth: str
    device: str
    rows: tuple[RungCost, ...]
    disk_bytes: int

    @property
    def passes(self) -> int:
        return sum(row.passes for row in self.rows)

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passes": self.passes, "seconds": self.seconds}


def cost_of_ladder(ladder: LadderRun) -> LadderCost:
    """Plan a ladder; writes nothing. Raises `InputError` where no truth fits."""
    truth = ladder.truth.name
    trained: set[str] = set()
    rows, disk, device = [], 0, ""
    measured: dict[str, float] | None = None
    for rung in ladder.rungs:
        name, seed = rung.recipe.name, rung.seed
        try:
            resolved = ladder.resolve(rung)
            if ladder.find(rung):
                rows.append(RungCost(recipe=name, seed=seed, known=True, passes=0, seconds=0.0))
                continue
            cost = cost_of_run(resolved, measured)
        except KitError as error:
            rows.append(RungCost(recipe=name, seed=seed, known=False, passes=0, seconds=0.0, error=str(error)))
            continue
        measured, device, disk = cost.measured, cost.device, disk + cost.disk_bytes
        keys = _lineage(resolved)
        new = [phase for phase in cost.phases if keys[phase.name] not in trained and not phase.reused]
        trained |= set(keys.values())
        seconds = sum(phase.seconds for phase in new) + cost.evaluation_seconds
        rows.append(
            RungCost(recipe=name, seed=seed, known=False, passes=sum(phase.passes for phase in new), seconds=seconds)
        )
    return LadderCost(profile=ladder.request.profile.name, truth=truth, device=device, rows=tuple(rows), disk_bytes=disk)


def _lineage(resolved: ResolvedRun) -> dict[str, str]:
    """A name for each phase by all that leads to it: equal ones will have equal keys, which nobody knows before training."""
    found = {START: resolved.weights_sha256}
    names = {}
    for planned in resolved.plan.phases:
        names[planned.name] = found[planned.name] = content_key(resolved.plan.identity(planned, found))
    return names
