"""What sums are rounded with: the same versions, threads and kind of processor give the same bits."""

import platform
from typing import Any

import torch

from kit.recipe import Profile

DECISIVE_PACKAGES = ("torch", "torchvision", "timm", "numpy")


def describe_compute() -> dict[str, Any]:
    """Threads and processor of this process, as PyTorch sees them; call it after the thread count is chosen."""
    return {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def compute_differences(recorded: dict[str, Any], profile: Profile) -> list[str]:
    """What differs between a run's recorded environment and this process, in words; nothing means equal bits.

    Runs of older kits recorded no threads and no processor: the profile's own thread count stands in, the rest is taken as
    equal.
    """
    from importlib import metadata

    packages = recorded.get("packages", {})
    pairs: dict[str, tuple[object, object]] = {
        name: (_release(packages[name]), _release(metadata.version(name))) for name in DECISIVE_PACKAGES if name in packages
    }
    pairs["machine"] = (recorded.get("machine", platform.machine()), platform.machine())
    here = describe_compute()
    there = recorded.get("compute") or {"threads": profile.runtime.threads or here["threads"]}
    pairs |= {key: (there.get(key, value), value) for key, value in here.items()}
    return [f"{what} {old} -> {new}" for what, (old, new) in pairs.items() if old != new]


def _release(version: str) -> str:
    # 2.14.1 and 2.14.1+cpu compute alike on a CPU.
    return version.partition("+")[0]
