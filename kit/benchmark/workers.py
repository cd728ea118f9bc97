"""Two processes against one on the same sweep: what `--nproc-per-node 2` is worth on this machine."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from kit.benchmark.timing import measure
from kit.errors import StorageError
from kit.randomness import derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet
from kit.supernet.weights import save_weights


def benchmark_workers(profile: Profile, *, subnets: int, processes: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Score the first `subnets` of the profile's pool with fresh weights by one process and by several, in turn.

    Each process has one thread. Seconds are those of the sweep, without starting Python and loading the data.
    """
    with TemporaryDirectory(prefix="kit-benchmark-") as folder:
        weights = Path(folder) / "weights.safetensors"
        generator = torch.Generator().manual_seed(derive_seed("benchmark"))
        save_weights(ElasticResNet(profile.search_space, profile.num_classes, generator=generator), weights)
        command = [sys.executable, "-m", "kit.cli.main", "evaluate", str(weights), "--profile", profile.name]
        command += ["--limit", str(subnets), "--runs", folder, "--fresh", "--json"]
        several = [*command, "--nproc-per-node", str(processes)]
        ways = [partial(_seconds, command), partial(_seconds, several)]
        found = measure(ways, repeats=repeats, seconds=seconds, warm=False)
    return {
        "profile": profile.name,
        "subnets": subnets,
        "processes": processes,
        "one_process_seconds": found.seconds(0),
        "seconds": found.seconds(1),
        **found.ratio(0, 1).document(),
        **found.document(),
    }


def _seconds(command: list[str]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"a timed command failed: {done.stderr.strip().splitlines()[-1]}", hint=" ".join(command))
    return float(json.loads(done.stdout)["seconds"])
