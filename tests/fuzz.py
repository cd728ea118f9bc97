"""Throw bad values at every command and option, and see that each answer is one that a person can use.

    python tests/fuzz.py [--seconds 600] [--seed 0] [--only "run recipe"]        (`make fuzz`)

Each case is a forked process of its own, without root's rights, in a copy of a small world: a finished run, its archive,
weights, pools, recipes, and the files that nobody should have. It must end, at the latest when it is told to, with a
documented exit code, without a traceback, saying something where it refuses, and with one document under `--json`.
The files in the world's `precious` folder must be as they were. Prints each fault with the command that shows it.
"""

import argparse
import ctypes
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "functional"))
from conftest import PROFILE, RECIPE

from kit.errors import ExitCode

PR_SET_SECUREBITS, SECBIT_NOROOT, LINUX_CAPABILITY_VERSION_3 = 28, 1, 0x20080522
LIMIT = 15.0  # seconds for a command; then it is told to stop
GRACE = 30.0  # seconds to stop
CODES = {int(code) for code in ExitCode}
LEFTOVERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "TORCHELASTIC_RUN_ID",
    "KIT_LOCKS",
    "SOURCE_DATE_EPOCH",
    "TZ",
)

NUMBERS = ["0", "-1", "1", "2", "3", "1" + "0" * 20, "1e3", "0.5", "-0.0", "nan", "inf", "x", "", " ", "\u0663", "010"]
NAMES = [
    "", " ", "-", "--", "-x", ".", "..", "/", "~", "~nobody-here", "~/x", "x" * 300, "x/" * 2100, "a\nb", "a\x1b[31mb",
    "\u202ex", "é", "%s", "{0}", "*", "nano", "full", "digits", "folder:", "folder:/", "folder:precious", "folder:locked",
    "torch/fashion_mnist:/none", "torch/nothing:/", "wds/x", "hfds/x:", "http://x", "null", "{}", "[]", "1,2", "a=b",
    "=", "a=",
]  # fmt: skip
SETTINGS = [
    "profile.network.base_channels=[4,4,4,4]", "profile.network.base_channels=[0,0,0,0]", "profile.training.batch_size=0",
    "profile.training.batch_size=-1", "profile.resolution=1", "profile.resolution=100000000", "profile.data=1", "recipe=1",
    "profile.training.learning_rate_factor=nan", "profile.training.learning_rate_factor=1e300", "x.y=1", "=", "profile", "",
    "profile.calibration.batches=0", "profile.pool.size=0", "profile.pool.size=1", "profile.num_classes=1",
    "phases.D.epochs=0",
    "recipe.phases.D.epochs=0", "profile.runtime.threads=100000", "profile.network.ratios=[1]", "profile.images.train=1",
    "profile.evaluation.batch_size=1", "profile.truth.seeds=0", "profile.precision='float1'",
]  # fmt: skip
CODE_VALUES = ["1" * 52, "1" * 51, "9" * 52, "1" + "2" * 51, "", "x" * 52, "\u0661" * 52, "1" * 5000]


@dataclass(frozen=True)
class Case:
    """A command line, and what stands in its environment."""

    arguments: list[str]
    environment: dict[str, str]

    def __str__(self) -> str:
        before = "".join(f"{name}={shlex.quote(value)} " for name, value in self.environment.items())
        return before + "kit " + shlex.join(self.arguments)


def commands() -> dict[tuple[str, ...], list[Any]]:
    """Every command with its parameters, from the program itself: a new one is thrown at from the day it is there."""
    from typer.main import get_command

    from kit.cli.main import app

    found: dict[tuple[str, ...], list[Any]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            found[words] = [parameter for parameter in command.params if parameter.name != "help"]
        for name, child in (children or {}).items():
            walk(child, (*words, name))

    walk(get_command(app), ())
    return found


def make_world(root: Path) -> Path:
    """The small world: what the kit itself writes, and what people and machines do to files."""
    world = root / "world"
    (world / "precious").mkdir(parents=True)
    (world / "small.toml").write_text(RECIPE)
    (world / "tiny.toml").write_text(PROFILE)
    at = ["--runs", str(world / "runs")]
    run = ["run", "recipe", str(world / "small.toml"), "--profile", str(world / "tiny.toml"), *at]
    codes = [
        in_process(run),
        in_process(["submission", "build", "small-tiny-s0", "--out", str(world / "small.tar"), *at]),
        in_process(["weights", "export", "small-tiny-s0", "--format", "pdparams", "--out", str(world / "w.pdparams"), *at]),
    ]
    if any(codes):
        raise SystemExit(f"the world could not be made: {codes}")
    good = world / "runs" / "small-tiny-s0"
    shutil.copy(good / "predictions.json", world / "predictions.json")
    shutil.copy(good / "weights" / "supernet.safetensors", world / "w.safetensors")
    for name in ("predictions.json", "small.tar", "w.pdparams", "w.safetensors", "small.toml", "tiny.toml"):
        data = (world / name).read_bytes()
        stem, suffix = name.split(".")
        (world / f"{stem}-torn.{suffix}").write_bytes(data[: len(data) // 2])
        (world / f"{stem}-flip.{suffix}").write_bytes(data[:-40] + bytes([data[-40] ^ 4]) + data[-39:])
        (world / f"{stem}-bom.{suffix}").write_bytes(b"\xef\xbb\xbf" + data)
        shutil.copy(world / name, world / "precious" / name)
    (world / "wide.toml").write_bytes(PROFILE.encode("utf-16"))
    (world / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    (world / "empty").write_bytes(b"")
    (world / "zeros").write_bytes(bytes(4096))
    (world / "codes.txt").write_text("1" * 52 + "\n")
    (world / "list.json").write_text("[1, 2, {}]")
    (world / "deep.json").write_text("[" * 100_000)
    (world / "random.py").write_text("raise SystemExit('shadowed')\n")
    for name in ("locked", "images/train/a", "images/val/a", "runs/empty", "runs/locked-run"):
        (world / name).mkdir(parents=True)
    (world / "images" / "train" / "a" / "x.png").write_bytes(b"no image")
    (world / "loop").symlink_to("loop")
    os.mkfifo(world / "pipe")
    (world / "locked-file").write_text("{}")
    for name in ("locked", "locked-file", "runs/locked-run"):
        (world / name).chmod(0)
    return world


def in_process(arguments: Sequence[str]) -> int:
    from kit.cli.main import main

    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


class Thrower:
    """Draws cases: mostly sensible command lines with one or two values that are not."""

    def __init__(self, rng: random.Random, world: Path) -> None:
        self.rng = rng
        self.commands = commands()
        # A pipe without a writer blocks whoever opens it, as it does for `cat`: tried now and then only.
        self.files = sorted(
            str(path.relative_to(world)) for path in world.iterdir() if path.name not in ("pipe", "precious")
        )

    def case(self, only: str) -> Case:
        words = self.rng.choice([words for words in self.commands if " ".join(words).startswith(only)])
        arguments = list(words)
        for parameter in self.commands[words]:
            is_option = parameter.param_type_name == "option"
            if is_option and not parameter.required and self.rng.random() < 0.8 and parameter.name != "runs":
                continue
            if not is_option and self.rng.random() < 0.05:
                continue
            if getattr(parameter, "is_flag", False):
                arguments.append(parameter.opts[0])
            elif is_option:
                arguments += [parameter.opts[-1], self.value(parameter)]
            else:
                arguments += [self.value(parameter) for _ in range(1 if parameter.nargs == 1 else self.rng.randrange(3))]
        if self.rng.random() < 0.05:
            arguments.insert(self.rng.randrange(len(arguments) + 1), self.rng.choice(NAMES))
        environment = {}
        if self.rng.random() < 0.15:
            environment = {self.rng.choice(LEFTOVERS): self.rng.choice(NUMBERS + NAMES).replace("\0", "")}
        return Case(arguments, environment)

    def value(self, parameter: Any) -> str:
        """Two times of three what the parameter wants, else anything."""
        name, rng = parameter.name, self.rng
        sensible = {
            "run": ["small-tiny-s0", "runs/small-tiny-s0"], "runs": ["runs"], "profile": ["tiny.toml", "nano"],
            "recipe": ["small.toml"], "name": ["small.toml", "full", "small-tiny-s0"], "code": CODE_VALUES[:1],
            "settings": SETTINGS, "data": ["digits", "folder:images"], "truth": ["predictions.json", "nano"],
            "out": ["new/out", "out.tar", "out.safetensors", "out.pdparams"], "target": ["small-tiny-s0", "w.safetensors"],
            "codes": ["codes.txt"], "nproc_per_node": ["1", "2"], "pool": ["predictions.json", "codes.txt"],
            "archive": ["small.tar"], "file": ["small.tar", "w.pdparams"], "files": ["small.toml"],
            "weights": ["w.pdparams"],
        }.get(name)  # fmt: skip
        if sensible and rng.random() < 0.66:
            return rng.choice(sensible)
        pools = [NUMBERS, NAMES, self.files, CODE_VALUES, SETTINGS] if rng.random() < 0.5 else [NUMBERS, self.files]
        if rng.random() < 0.01:
            return "pipe"
        return rng.choice(rng.choice(pools)).replace("\0", "")


def throw(case: Case, world: Path, place: Path, answers: Counter[str]) -> Iterator[str]:
    """Run a case in a copy of the world; yields what is wrong with its answer, and counts the answer."""
    subprocess.run(["cp", "-a", world, place], check=True)
    before = _hashes(place / "precious")
    pid = os.fork()
    if pid == 0:
        _become(case, place)
    status, told = _wait(pid, LIMIT), False
    if status is None:
        told = True
        os.killpg(pid, signal.SIGTERM)
        status = _wait(pid, GRACE)
    _end_group(pid)
    said, out = ((place.parent / name).read_text(errors="replace") for name in ("err", "out"))
    if status is None:
        yield f"does not stop within {GRACE:.0f} s of SIGTERM"
        return
    code = os.waitstatus_to_exitcode(status)
    answers[ExitCode(code).name.lower() if code in CODES else str(code)] += 1
    if "Traceback (most recent call last)" in said + out:
        yield "a traceback:\n" + said[-1500:]
    elif code not in CODES and not (told and code == -signal.SIGTERM):
        yield f"exit code {code}: {said[-500:]}"
    elif code in (ExitCode.USAGE, ExitCode.STORAGE) and not said.strip():
        yield f"exit code {code} without a word"
    if "--json" in case.arguments and code in (0, 1) and not told and (words := _not_one_document(out)):
        yield words
    if "\x1b" in said + out and "dashboard" not in case.arguments:
        yield f"control characters reach the terminal: {(said + out)[:300]!r}"
    if _hashes(place / "precious") != before:
        yield "files that the command has nothing to do with have changed"


def _become(case: Case, place: Path) -> None:
    """The rest of a forked process: the command, without root's rights and its own streams. Does not return."""
    code = 70
    try:
        os.setsid()
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(place.parent / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(place)
        os.environ.update(case.environment, HOME=str(place), XDG_CACHE_HOME=str(place / ".cache"))
        _give_up_rights()
        sys.argv = ["kit", *case.arguments]
        try:
            code = in_process(case.arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _give_up_rights() -> None:
    """Root without what lets it open every file; what is started from here has no more. Others have none to give up."""
    if os.getuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    keep_none = libc.prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    if keep_none or libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "cannot give up root's rights")


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    return None


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _not_one_document(out: str) -> str:
    try:
        json.loads(out)
    except ValueError as error:
        return f"--json prints something else: {error}: {out[:300]!r}"
    return ""


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


def fuzz(*, seconds: float, seed: int, only: str) -> int:
    """Throw cases for so many seconds; the number of faults."""
    import timm  # noqa: F401  (what most commands need, imported once before forking)
    import torch

    torch.set_num_threads(1)
    os.environ["PYTHONSAFEPATH"] = "1"
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        world = make_world(Path(root))
        thrower = Thrower(random.Random(seed), world)
        end, count, faults = time.monotonic() + seconds, 0, 0
        answers: Counter[str] = Counter()
        while time.monotonic() < end:
            case = thrower.case(only)
            with tempfile.TemporaryDirectory(dir=root) as place:
                Path(place).chmod(0o755)
                for fault in throw(case, world, Path(place) / "world", answers):
                    faults += 1
                    print(f"case {count} (seed {seed}): {case}\n  {fault}\n", flush=True)
            count += 1
    print(
        f"{count} commands, {faults} faults, seed {seed}; " + ", ".join(f"{n} {name}" for name, n in answers.most_common())
    )
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="COMMAND", help="commands that begin with these words")
    sys.exit(bool(fuzz(**vars(parser.parse_args()))))
