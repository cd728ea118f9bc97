"""Stop, continue and remove: what may be done to a run, and how. Everything here reads files; call it from a thread."""

import os
import signal
from pathlib import Path

from kit.errors import InputError
from kit.files import read_json
from kit.run_dir import RunDirectory, remove_run
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
    overrides = inputs.get("overrides") or []
    arguments = ["run", "recipe", str(run.recipe), "--profile", str(run.profile), "--runs", str(runs)]
    arguments += ["--seed", str(resolved.get("seed", 0))]
    given = {"--pool": inputs.get("pool"), "--weights": inputs.get("weights")}
    if inputs.get("data") != load_profile(str(run.profile)).data:
        given["--data"] = inputs.get("data")
    for option, value in given.items():
        if value is not None:
            arguments += [option, str(value)]
    for override in overrides:
        arguments += ["--set", str(override)]
    processes = resolved.get("processes", 1)
    if processes != 1:
        arguments += ["--nproc-per-node", str(processes)]
    return arguments


def remove(run: RunDirectory) -> None:
    """Delete a run's directory. Raises `StorageError` while a process works on it."""
    remove_run(run)
