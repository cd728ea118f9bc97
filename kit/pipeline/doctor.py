"""`kit doctor`: whether this machine can do what the kit needs, one check per need."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from kit.errors import KitError
from kit.files import exclusive_lock, write_bytes
from kit.recipe import load_profile, load_recipe, profile_names, recipe_names
from kit.run_dir import PACKAGES

MIN_FREE_BYTES = 2 * 2**30
COMPARE = "`kit benchmark device` says whether it computes what a CPU does, and how fast"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `level` is error (nothing works) or warning (something will not)."""

    id: str
    level: str
    ok: bool
    message: str
    fix: str = ""


def diagnose(runs: Path) -> list[Check]:
    """Run every check; `runs` is where runs would be written (its nearest existing parent is tried)."""
    checks: list[Callable[[], Check]] = [
        _python,
        *(partial(_package, name) for name in PACKAGES),
        _vision_matches,
        _device,
        _recipes,
        _embedded_data,
        lambda: _storage(runs),
        lambda: _space(runs),
    ]
    return [check() for check in checks]


def _python() -> Check:
    found = platform.python_version()
    return Check("python", "error", sys.version_info >= (3, 11), f"Python {found}", "install Python 3.11 or newer")


def _package(name: str) -> Check:
    try:
        return Check(f"package-{name}", "error", True, f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        return Check(f"package-{name}", "error", False, f"{name} is not installed", f"pip install {name}")


def _vision_matches() -> Check:
    """torchvision registers operators with the torch it was built for, and fails to import beside another."""
    try:
        import torchvision

        return Check("torchvision", "error", True, f"torchvision {torchvision.__version__} fits torch")
    except (ImportError, RuntimeError) as error:
        fix = "install torch and torchvision together, from one index"
        return Check("torchvision", "error", False, f"torchvision does not import: {error}", fix)


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Check("device", "warning", True, f"GPU: {names}; {COMPARE}")
    cores = os.cpu_count() or 1
    return Check(
        "device",
        "warning",
        True,
        f"no GPU: nano and fashion run on the CPU ({cores} cores), imagenet would take years; {COMPARE}",
    )


def _recipes() -> Check:
    try:
        recipes = [load_recipe(name) for name in recipe_names()]
        profiles = [load_profile(name) for name in profile_names()]
    except KitError as error:
        return Check("recipes", "error", False, str(error), "reinstall kit")
    ok = bool(recipes and profiles)
    return Check("recipes", "error", ok, f"{len(recipes)} recipes, {len(profiles)} profiles", "reinstall kit")


def _embedded_data() -> Check:
    from kit.data import open_data

    try:
        data = open_data("digits", resolution=8, augmentation="shift")
    except KitError as error:
        return Check("embedded-data", "error", False, str(error), "reinstall kit")
    return Check(
        "embedded-data", "error", True, f"digits: {data.train_size:,} training, {data.val_size:,} validation images"
    )


def _storage(runs: Path) -> Check:
    folder = _existing(runs)
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".kit-doctor-") as name,
            exclusive_lock(Path(name) / "lock", holder="the check"),
        ):
            write_bytes(Path(name) / "file", b"whole or absent")
    except (KitError, OSError) as error:
        return Check("storage", "error", False, f"{folder}: {error}", "choose another place with --runs DIR")
    return Check("storage", "error", True, f"{folder} can be written and locked")


def _space(runs: Path) -> Check:
    folder = _existing(runs)
    free = shutil.disk_usage(folder).free
    message = f"{free / 2**30:,.1f} GiB free in {folder}"
    return Check(
        "disk-space", "warning", free >= MIN_FREE_BYTES, message, "free some space; --dry-run says what a run needs"
    )


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(parent for parent in (path, *path.parents) if parent.is_dir())
