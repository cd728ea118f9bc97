"""Do two versions of the kit compute the same? Run every recipe with both, compare weights and predictions bit for bit.

    python tests/same_bits.py OLD NEW [--profile nano] [--recipes a,b] [--seed 0] [--runs DIR]

A side is a checkout's folder, a git revision of this repository, or a RUNS folder whose runs are there already. Phases are
reused between the recipes of a side. Exit code 1 if anything differs, 2 if a side cannot be used.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Side:
    """A version of the kit and where its runs lie; without a checkout the runs are there already."""

    name: str
    checkout: Path | None
    runs: Path

    def recipes(self, profile: str, seed: int) -> list[str]:
        if self.checkout:
            return sorted(path.stem for path in (self.checkout / "recipes").glob("*.toml"))
        end = f"-{profile}-s{seed}"
        return sorted({path.parent.name.partition(end)[0] for path in self.runs.glob(f"*{end}*/predictions.json")})

    def train(self, recipes: list[str], profile: str, seed: int) -> None:
        """Run the recipes, one after another; what is there already is kept."""
        for recipe in recipes if self.checkout else []:
            command = [sys.executable, "-m", "kit.cli.main", "run", "recipe", recipe, "--profile", profile]
            command += ["--seed", str(seed), "--runs", str(self.runs)]
            world = {**os.environ, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=world, cwd=self.runs, capture_output=True, text=True)
            print(f"{self.name}: {recipe} " + ("ran" if done.returncode == 0 else f"failed\n{done.stderr}"), file=sys.stderr)

    def run(self, recipe: str, profile: str, seed: int) -> Path | None:
        found = [path.parent for path in self.runs.glob(f"{recipe}-{profile}-s{seed}*/predictions.json")]
        return found[0] if len(found) == 1 else None


def open_side(name: str, text: str, folder: Path) -> Side:
    """`text` as a RUNS folder, a checkout or a git revision; `folder` takes its runs and, if needed, its files."""
    runs = folder / f"{name}-runs"
    path = Path(text)
    if path.is_dir() and not (path / "kit").is_dir():
        return Side(name, None, path.resolve())
    if not path.is_dir():
        done = subprocess.run(["git", "-C", str(HERE), "archive", text], capture_output=True)
        if done.returncode:
            print(f"{text} is neither a folder nor a revision: {done.stderr.decode()}".rstrip(), file=sys.stderr)
            sys.exit(2)
        path = folder / f"{name}-checkout"
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
            files.extractall(path, filter="data")
    runs.mkdir(parents=True, exist_ok=True)
    return Side(name, path.resolve(), runs.resolve())


def compare(old: Path, new: Path) -> tuple[str, str]:
    """What is to be said of a run's weights and of its predictions: "same", or how they differ."""
    stored = [{path.name: path for path in sorted((run / "weights").glob("*.safetensors"))} for run in (old, new)]
    if list(stored[0]) != list(stored[1]) or not stored[0]:
        weights = f"files {', '.join(stored[0])} and {', '.join(stored[1])}"
    else:
        weights = "; ".join(_tensors(load_file(one), load_file(stored[1][name])) for name, one in stored[0].items())
    first, second = [json.loads((run / "predictions.json").read_bytes()) for run in (old, new)]
    if list(first) != list(second) or [e["arch"] for e in first.values()] != [e["arch"] for e in second.values()]:
        return weights, "other architectures"
    apart = [abs(first[name]["acc"] - second[name]["acc"]) for name in first if first[name] != second[name]]
    return weights, f"{len(apart)} of {len(first)} differ, by up to {max(apart):.2g}" if apart else "same"


def _tensors(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> str:
    if set(old) != set(new):
        return f"{len(set(old) ^ set(new))} tensors are in one file only"
    kinds = [name for name in old if (old[name].dtype, old[name].shape) != (new[name].dtype, new[name].shape)]
    if kinds:
        return f"{len(kinds)} tensors have another shape or type"
    apart = [name for name in old if old[name].tobytes() != new[name].tobytes()]
    return f"{len(apart)} of {len(old)} tensors differ, the first is {min(apart)}" if apart else "same"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--profile", default="nano")
    parser.add_argument("--recipes", metavar="A,B", help="default: all that a side has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--runs", metavar="DIR", type=Path, help="keep the runs here (and continue those that are); else temporary"
    )
    options = parser.parse_args()
    with TemporaryDirectory(prefix="same-bits-") as temporary:
        folder = options.runs or Path(temporary)
        sides = [open_side(name, getattr(options, name), folder) for name in ("old", "new")]
        where = (options.profile, options.seed)
        every = sorted({recipe for side in sides for recipe in side.recipes(*where)})
        recipes = options.recipes.split(",") if options.recipes else every
        threads = [threading.Thread(target=side.train, args=(recipes, *where)) for side in sides]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows = []
        for recipe in recipes:
            runs = [side.run(recipe, *where) for side in sides]
            missing = [side.name for side, run in zip(sides, runs, strict=True) if run is None]
            rows.append((recipe, f"no run: {' and '.join(missing)}", "-") if missing else (recipe, *compare(*runs)))
    table = [("recipe", "weights", "predictions"), *rows]
    width = max(len(row[0]) for row in table)
    for recipe, weights, predictions in table:
        print(f"{recipe:<{width}}  {weights:<8}  {predictions}")
    return int(not rows or any(row[1:] != ("same", "same") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
