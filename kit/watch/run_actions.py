"""Start, stop and continue: what may be done to a run, and how. Everything here reads files; call it from a thread."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from kit.errors import InputError
from kit.files import read_json
from kit.run_dir import RunDirectory
from kit.watch.liveness import check_may_signal


def stop_run(run: RunDirectory, pid: int | None) -> int:
    """Ask the process that works on a run to stop: it saves its state first. Returns its id.

    Raises `StorageError` unless the process that the log names is the one that holds the run's lock.
    """
    target = check_may_signal(run, pid)
    os.kill(target, signal.SIGTERM)
    return target


def continue_arguments(run: RunDirectory, runs: Path) -> list[str]:
    """The arguments of the `kit` command that continues a run. Raises `KitError` when its files do not tell."""
    from kit.recipe import load_profile

    resolved = read_json(run.resolved, kind=str, profile=dict)
    if resolved["kind"] != "recipe":
        raise InputError(f"run {run.id} is no run of a recipe", hint="give the command that began it again: it continues")
    inputs = resolved.get("inputs")
    inputs = inputs if isinstance(inputs, dict) else {}
    processes = resolved.get("processes", 1)
    own_data = load_profile(str(run.profile)).data
    return recipe_arguments(
        str(run.recipe),
        str(run.profile),
        runs,
        seed=resolved.get("seed", 0),
        pool=inputs.get("pool"),
        weights=inputs.get("weights"),
        data=None if inputs.get("data") == own_data else inputs.get("data"),
        overrides=inputs.get("overrides") or (),
        nproc_per_node=None if processes == 1 else processes,
    )


def recipe_arguments(
    recipe: str, profile: str, runs: Path, *, overrides: Sequence[object] = (), **options: object
) -> list[str]:
    """The arguments of the `kit` command that runs a recipe; options that are None are left out."""
    given = [(f"--{name.replace('_', '-')}", value) for name, value in options.items() if value is not None]
    given += [("--set", override) for override in overrides]
    where = ["--profile", profile, "--runs", str(runs)]
    return ["run", "recipe", recipe, *where, *(str(word) for pair in given for word in pair)]
