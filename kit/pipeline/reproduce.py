"""`kit submission reproduce`: score a random sample again from nothing but an archive and its data set."""

import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from kit.errors import InputError
from kit.events import EvaluationFinished, Event
from kit.files import parse_json, read_json, storage_errors, write_json
from kit.pipeline.compute import DECISIVE_PACKAGES, compute_differences, describe_compute
from kit.pipeline.evaluate import Evaluation, EvaluationRequest
from kit.pool import load_pool, write_predictions
from kit.randomness import derive_random
from kit.recipe import load_profile, profile_names
from kit.run_dir import RunDirectory
from kit.submission import layout
from kit.submission.archive import unpack_archive
from kit.submission.calibrated import allowed_difference
from kit.submission.private_facts import clean_data_spec


class Reproduction:
    """An archive unpacked into `folder` (new or empty) as a run of its own, and a seeded sample of its pool.

    Raises `KitError` for an archive that cannot be unpacked and for data other than the run's.
    """

    def __init__(self, archive: Path, folder: Path, *, sample: int, seed: int = 0, data: str | None = None) -> None:
        self.sample, self.seed = sample, seed
        self.run = RunDirectory(folder / "run")
        unpacked = folder / "archive"
        unpack_archive(archive, unpacked)
        self.recorded = _read_rows(unpacked / layout.EVALUATIONS)
        self.environment = read_json(unpacked / layout.ENVIRONMENT, packages=dict)
        self._lay_out(unpacked)
        self.profile = load_profile(str(self.run.profile))
        # Sums are split over threads, so their number is part of the result; a profile's own number is set later.
        threads = (self.environment.get("compute") or {}).get("threads")
        if isinstance(threads, int) and threads > 0:
            torch.set_num_threads(threads)
        self.evaluation = self._open(data)

    @cached_property
    def differences(self) -> list[str]:
        """How this process differs from the recorded one, in words; nothing means that every count must be equal."""
        return compute_differences(self.environment, self.profile)

    def execute(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Calibrate and score the sample, one sub-network by itself after another."""
        for event in self.evaluation.execute(should_stop):
            if not isinstance(event, EvaluationFinished):  # it names a file that is soon gone
                yield event

    def _compared(self) -> list[dict[str, Any]]:
        """Recorded and found counts of the sample, in the pool's order."""
        job = self.evaluation.job
        found = load_pool(job.predictions, self.profile.search_space)
        rows = {row["code"]: row for row in self.recorded}
        return [
            {
                "name": name,
                "code": code,
                "recorded": rows[code]["correct"],
                "found": round(found.scores[code] * job.evaluator.seen.val_size),
                "images": rows[code]["images"],
            }
            for name, code in zip(found.names, found.codes, strict=True)
        ]

    def report(self) -> dict[str, Any]:
        """The document of `kit submission reproduce --json`, without the archive's path."""
        results = self._compared()
        evaluator = self.evaluation.job.evaluator
        images, exact_precision = evaluator.seen.val_size, evaluator.precision == "float32"
        allowed = allowed_difference(images, same_environment=not self.differences, exact_precision=exact_precision)
        compared = [(abs(row["found"] - row["recorded"]), row["images"] == images) for row in results]
        return {
            "ok": all(difference <= allowed and same for difference, same in compared),
            "sampled": len(results),
            "pool": len(self.recorded),
            "seed": self.seed,
            "images": images,
            "exact": sum(difference == 0 and same for difference, same in compared),
            "max_difference": max(difference for difference, _ in compared),
            "allowed_difference": allowed,
            "environment_differences": self.differences,
            "environment": {name: version(name) for name in DECISIVE_PACKAGES} | describe_compute(),
            "subnets": results,
        }

    def _lay_out(self, unpacked: Path) -> None:
        """A run directory from the archive's members, with the sample as its pool."""
        run = self.run
        places = {
            layout.SUPERNET: run.weights,
            layout.PROFILE: run.profile,
            layout.RESOLVED: run.resolved,
            layout.ENVIRONMENT: run.environment,
        }
        for member, place in places.items():
            with storage_errors("write", place):
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(unpacked / member, place)
        profile = load_profile(str(run.profile))
        pool = load_pool(unpacked / layout.POOL, profile.search_space)
        chosen = derive_random("reproduce", self.seed).sample(pool.codes, min(self.sample, len(pool)))
        write_predictions(run.pool, pool.subset(chosen), [0.0] * len(chosen))
        hashes = {row["weights_sha256"] for row in self.recorded}
        if {row["code"] for row in self.recorded} != set(pool.codes) or len(hashes) != 1:
            raise InputError("the archive's scores are not those of its pool and one supernet")
        write_json(run.weights_manifest, {run.weights.name: hashes.pop()})

    def _open(self, data: str | None) -> Evaluation:
        resolved = read_json(self.run.resolved, inputs=dict, data_fingerprint=str)
        spec = data or _usual_data(str(resolved["inputs"].get("data")), self.profile.name)
        request = EvaluationRequest(target=str(self.run.path), runs=self.run.path.parent, data=spec, method="one-by-one")
        evaluation = Evaluation(request)
        if evaluation.job.evaluator.data.fingerprint != resolved["data_fingerprint"]:
            raise InputError(
                f"the data ({spec}) are not those that the archive's run was scored on",
                hint="name the same data set with --data SPEC; its fingerprint is in recipe/resolved.json",
            )
        return evaluation


def _usual_data(spec: str, profile: str) -> str:
    """Where the shipped profile of this name expects this data set; archives name data sets without their place."""
    usual = load_profile(profile).data if profile in profile_names() else spec
    return usual if clean_data_spec(usual) == spec else spec


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with storage_errors("read", path):
        return [parse_json(line, source=layout.EVALUATIONS) for line in path.read_bytes().splitlines()]
