"""`kit score`: a zero-cost score of every architecture of a pool, kept one by one, ending in a challenge file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.files import exclusive_lock, storage_errors
from kit.pipeline.request import Progress, open_pool, open_profile_data
from kit.pipeline.signals import StopFlag
from kit.pool import Pool, finite_number, write_scores
from kit.recipe import Profile
from kit.records import appending, read_records
from kit.strict import key_of
from kit.zero_cost import COUNTED, ON_DATA, counted

if TYPE_CHECKING:
    from kit.zero_cost.scores import Setting


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Which score, of what, where to."""

    name: str
    profile: Profile
    out: Path
    pool: Path | None = None
    data: str | None = None
    seed: int = 0
    fresh: bool = False


class ScoreRun:
    """The scores of a pool in the making: finished ones lie beside the output until all are there."""

    def __init__(self, request: ScoreRequest, progress: Progress | None = None) -> None:
        self.request = request
        self.pool: Pool = open_pool(request.profile, request.pool)
        self._progress = progress
        self.kept = request.out.with_name(f".{request.out.name}.scores")
        """Of a run that was stopped; gone when it is finished."""
        self.known = 0
        """Architectures that an earlier run has scored."""

    def execute(self, stop: StopFlag) -> Iterator[tuple[str, float]]:
        """Score what has no score yet, code by code, and write the file. Raises `StopRequestedError` on a signal."""
        request = self.request
        if request.name in COUNTED:
            numbers = counted(request.name, self.pool.codes, request.profile.scale)
            write_scores(request.out, self.pool, numbers)
            yield from zip(self.pool.codes, numbers, strict=True)
            return
        with exclusive_lock(request.out.with_name(f".{request.out.name}.lock"), holder=f"{request.out}"):
            yield from self._measure(stop)

    def _measure(self, stop: StopFlag) -> Iterator[tuple[str, float]]:
        import torch

        from kit.zero_cost.scores import score

        request = self.request
        setting, fingerprint = self._setting()
        network = {"search_space": request.profile.search_space.to_json(), "resolution": request.profile.resolution}
        key = key_of(
            name=request.name, **network, num_classes=request.profile.num_classes, seed=request.seed, data=fingerprint
        )
        if request.fresh:
            with storage_errors("remove", self.kept):
                self.kept.unlink(missing_ok=True)
        done = {record["code"]: float(record["score"]) for record in read_records(self.kept) if record.get("key") == key}
        self.known = sum(code in done for code in self.pool.codes)
        if request.profile.runtime.threads:
            torch.set_num_threads(request.profile.runtime.threads)
        with appending(self.kept) as writer:
            for name, architecture in self.pool:
                if architecture.code in done:
                    continue
                stop.check()
                value = finite_number(score(request.name, architecture, setting), f"{request.name} of {name!r}")
                writer.append({"key": key, "code": architecture.code, "score": value})
                done[architecture.code] = value
                yield architecture.code, value
        write_scores(request.out, self.pool, [done[code] for code in self.pool.codes])
        with storage_errors("remove", self.kept):
            self.kept.unlink()

    def _setting(self) -> tuple["Setting", str]:
        """What every network is looked at with, and the name of the images among it."""
        import torch

        from kit.data import normalize
        from kit.zero_cost.scores import BATCH, Setting

        request = self.request
        scale, seed = request.profile.scale, request.seed
        if request.name not in ON_DATA:
            return Setting(scale=scale, seed=seed), ""
        data = open_profile_data(request.profile, request.data, self._progress)
        batch = next(iter(data.train_batches(seed=seed, epoch=0, batch_size=min(BATCH, data.train_size), steps=1)))
        images = normalize(batch.images, data, device=torch.device("cpu"))
        return Setting(scale=scale, seed=seed, images=images, labels=batch.labels), data.fingerprint
