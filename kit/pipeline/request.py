"""What a user asks for, and its resolution: settings, data, pool, weights, and the run they belong to."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kit import __version__
from kit.data import Data, absolute_spec, open_data
from kit.errors import InputError
from kit.files import content_key, read_json, sha256_of_file, storage_errors, write_bytes, write_json
from kit.pipeline.compute import describe_compute
from kit.plan import DataFacts, RunPlan
from kit.pool import Pool, draw_pool, load_pool, write_predictions
from kit.recipe import Profile, Recipe, comparable, to_toml
from kit.run_dir import RunDirectory, check_same_settings, require_directory, write_environment

MAX_ATTEMPTS = 1000
Progress = Callable[[str], None]
"""Hears at once how far something long has come that happens before a run has a log."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A recipe on a profile, as asked for on the command line."""

    recipe: Recipe
    profile: Profile
    runs: Path
    seed: int = 0
    data: str | None = None
    pool: Path | None = None
    weights: Path | None = None
    overrides: tuple[str, ...] = ()
    fresh: bool = False
    processes: int = 1
    """How many train together; each normalises by its own part of a batch, so the results depend on it."""


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """Everything a run needs, opened and checked; nothing is written yet."""

    request: RunRequest
    data: Data
    pool: Pool
    weights_sha256: str | None
    settings: dict[str, Any] = field(repr=False)

    @property
    def recipe(self) -> Recipe:
        return self.request.recipe

    @property
    def profile(self) -> Profile:
        return self.request.profile

    @cached_property
    def plan(self) -> RunPlan:
        """What will be done."""
        data = self.data
        return RunPlan(
            recipe=self.recipe,
            profile=self.profile,
            data=DataFacts(
                fingerprint=data.fingerprint,
                train_images=data.train_size,
                val_images=data.val_size,
                num_classes=data.num_classes,
            ),
            pool=self.pool,
            seed=self.request.seed,
            weights_given=self.request.weights is not None,
            processes=self.request.processes,
        )


def resolve(request: RunRequest, progress: Progress | None = None, *, data: Data | None = None) -> ResolvedRun:
    """Open data (unless they are open already), pool and weights and check that they fit together.

    Raises `KitError`; writes nothing.
    """
    profile = request.profile.model_copy(update={"data": absolute_spec(request.profile.data)})
    request = replace(request, profile=profile, data=request.data and absolute_spec(request.data))
    has_pretrained = request.weights is not None or request.recipe.phases[0].pretrains
    if request.recipe.needs_teacher and not has_pretrained:
        raise InputError(
            f"recipe {request.recipe.name} distils from the pretrained network, but has no pretrain phase",
            hint="give the pretrained weights with --weights FILE, or put a pretrain phase first",
        )
    data = data or open_profile_data(profile, request.data, progress)
    pool = open_pool(profile, request.pool)
    weights_sha256 = None if request.weights is None else sha256_of_file(request.weights)
    settings = {
        "kind": "recipe",
        "recipe": request.recipe.model_dump(mode="json"),
        "profile": profile.model_dump(mode="json", exclude={"runtime", "data"}),
        "seed": request.seed,
        "data_fingerprint": data.fingerprint,
        "data_source": data.source,
        "classes": data.num_classes,
        "pool_fingerprint": pool.fingerprint,
        "weights_sha256": weights_sha256,
        "processes": request.processes,
    }
    return ResolvedRun(request=request, data=data, pool=pool, weights_sha256=weights_sha256, settings=settings)


def open_profile_data(profile: Profile, spec: str | None, progress: Progress | None = None) -> Data:
    """The data of a profile, or `spec` read the profile's way."""
    return open_data(
        spec or profile.data,
        resolution=profile.resolution,
        augmentation=profile.images.augmentation,
        train_images=profile.images.train or None,
        val_images=profile.images.validation or None,
        workers=profile.runtime.workers,
        progress=progress,
    )


def open_pool(profile: Profile, path: Path | None) -> Pool:
    """The user's pool, or a seeded draw from the published subspace."""
    if path is not None:
        return load_pool(path, profile.search_space)
    return draw_pool(profile.published_space, profile.pool.size, profile.pool.seed)


def claim_run(resolved: ResolvedRun) -> RunDirectory:
    """The directory of this run: the one to continue if its settings are the same, else a new one with its inputs written.

    Raises `InputError` when a run of this name exists with other settings (unless a fresh one is asked for).
    """
    request = resolved.request
    require_directory(request.runs)
    base = request.runs / run_id(resolved)
    existing = _attempts(base)
    for path in reversed(existing):
        if not request.fresh and comparable(_stored(path)) == comparable(resolved.settings):
            return RunDirectory(path.resolve())
    if existing and not request.fresh:
        check_same_settings(comparable(_stored(existing[0])), comparable(resolved.settings), RunDirectory(existing[0]))
    path = base if not existing else base.with_name(f"{base.name}-r{len(existing) + 1}")
    run = RunDirectory(path.resolve())
    _write_inputs(run, resolved)
    return run


def run_id(resolved: ResolvedRun) -> str:
    """A name for people: recipe, profile and seed, and a short hash when anything else was chosen by hand."""
    request = resolved.request
    chosen: dict[str, Any] = {}
    if request.overrides:
        chosen["set"] = sorted(request.overrides)
    if request.data is not None:
        chosen["data"] = resolved.data.fingerprint
    if request.pool is not None:
        chosen["pool"] = resolved.pool.fingerprint
    if request.weights is not None:
        chosen["weights"] = resolved.weights_sha256
    if request.processes > 1:
        chosen["processes"] = request.processes
    name = f"{request.recipe.name}-{request.profile.name}-s{request.seed}"
    return f"{name}-{content_key(chosen)[:6]}" if chosen else name


def _attempts(base: Path) -> list[Path]:
    paths = [base, *(base.with_name(f"{base.name}-r{number}") for number in range(2, MAX_ATTEMPTS))]
    found = []
    for path in paths:
        if not (path / "resolved.json").is_file():
            break
        found.append(path)
    return found


def _is_input(name: str, inputs: set[str]) -> bool:
    return name in inputs or (name.startswith(".") and name.endswith(".tmp"))


def _write_inputs(run: RunDirectory, resolved: ResolvedRun) -> None:
    """Lay out a new run; `resolved.json` comes last, because it is what makes the directory a run."""
    with storage_errors("create", run.path):
        run.path.mkdir(parents=True, exist_ok=True)
        # A process killed right here leaves inputs, and temporary files of theirs; whatever else lies here is somebody's.
        inputs_of_runs = {path.name for path in (run.recipe, run.profile, run.environment, run.pool)}
        foreign = sorted(path.name for path in run.path.iterdir() if not _is_input(path.name, inputs_of_runs))
    if foreign:
        raise InputError(
            f"{run.path} is no run of the kit and holds {foreign[0]}"
            + (f" and {len(foreign) - 1} more" if foreign[1:] else ""),
            hint="move it away, or name another folder with --runs DIR; nothing of it was touched",
        )
    write_bytes(run.recipe, to_toml(resolved.recipe).encode())
    write_bytes(run.profile, to_toml(resolved.profile).encode())
    write_environment(run.environment, describe_compute())
    write_predictions(run.pool, resolved.pool, [0.0] * len(resolved.pool))
    request = resolved.request
    inputs = {
        "data": request.data or resolved.profile.data,
        "pool": None if request.pool is None else str(request.pool.resolve()),
        "weights": None if request.weights is None else str(request.weights.resolve()),
        "overrides": list(request.overrides),
    }
    write_json(run.resolved, {**resolved.settings, "kit": __version__, "inputs": inputs})


def _stored(path: Path) -> dict[str, Any]:
    return read_json(path / "resolved.json", profile=dict)
