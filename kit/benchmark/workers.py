"""Two processes against one on the same sweep: what `--nproc-per-node 2` is worth on this machine."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from kit.errors import StorageError
from kit.randomness import derive_seed
from kit.recipe import Profile
from kit.supernet import ElasticResNet
from kit.supernet.weights import save_weights


def benchmark_workers(profile: Profile, *, subnets: int, processes: int, repeats: int) -> dict[str, Any]:
    """Score the first `subnets` of the profile's pool with fresh weights by one process and by several, in turn.

    Each process has one thread. Seconds are those of the sweep, without starting Python and loading the data.
    """
    with TemporaryDirectory(prefix="kit-benchmark-") as folder:
        weights = Path(folder) / "weights.safetensors"
        generator = torch.Generator().manual_seed(derive_seed("benchmark"))
        save_weights(ElasticResNet(profile.search_space, profile.num_classes, generator=generator), weights)
        command = [sys.executable, "-m", "kit.cli.main", "evaluate", str(weights), "--profile", profile.name]
        command += ["--limit", str(subnets), "--runs", folder, "--fresh", "--json"]
        pairs = [(_seconds(command), _seconds([*command, "--nproc-per-node", str(processes)])) for _ in range(repeats)]
    ratios = [one / several for one, several in pairs]
    return {
        "profile": profile.name,
        "subnets": subnets,
        "processes": processes,
        "repeats": repeats,
        "one_process_seconds": statistics.median(one for one, _ in pairs),
        "seconds": statistics.median(several for _, several in pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def _seconds(command: list[str]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"a timed command failed: {done.stderr.strip().splitlines()[-1]}", hint=" ".join(command))
    return float(json.loads(done.stdout)["seconds"])
