"""Starts `kit` processes: runs that outlive the dashboard, and short commands whose JSON it wants."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError, StorageError
from kit.files import storage_errors

KIT = (sys.executable, "-c", "from kit.cli.main import main; main()")
LOGS = "logs"
LAST_WORDS = 2000
SHOWN_BYTES = 64 * 1024
FAREWELL = 2.0


@dataclass
class Started:
    """A detached process and where its narration goes."""

    label: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join([line for line in last_lines(self.log) if line.strip()][-4:])


def last_lines(path: Path) -> list[str]:
    """The end of a log; nothing while there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - SHOWN_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def start_detached(label: str, arguments: Sequence[str], *, runs: Path) -> Started:
    """Start `kit ARGUMENTS` in a session of its own, so that nothing that happens to the dashboard reaches it.

    Its stderr goes to a file in `RUNS/logs`. Raises `StorageError` when that cannot be written.
    """
    folder = runs / LOGS
    safe = "".join(char if char.isalnum() or char in "._-" else "_" for char in label)[:80]
    log = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{safe}.log"
    with storage_errors("write", log):
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*KIT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
                env=_environment(),
            )
    return Started(label, process, log)


async def run_json(
    arguments: Sequence[str], *, accept: Sequence[int] = (0,), tell: Callable[[str], object] | None = None
) -> dict[str, Any]:
    """Run `kit ARGUMENTS --json` to its end and return its document. Raises `KitError` with what it said on stderr.

    A task that is cancelled takes its process with it. `accept` are the exit codes that come with a document; `tell` is
    called with what the command says meanwhile, a line at a time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *KIT,
            *arguments,
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
    except OSError as error:
        raise StorageError(f"cannot start kit {' '.join(arguments)}: {error.strerror}") from error
    try:
        assert process.stdout is not None and process.stderr is not None
        out, err = await asyncio.gather(process.stdout.read(), _listen(process.stderr, tell))
        await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            # Heard out briefly, so that nothing of it is left when the loop closes; whoever cancels is not kept waiting.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), FAREWELL)
        raise
    if process.returncode not in accept:
        raise KitError(_message(err) or f"kit {' '.join(arguments)} ended with exit code {process.returncode}")
    try:
        document = json.loads(out)
    except ValueError as error:
        raise KitError(f"kit {' '.join(arguments)} printed no JSON document") from error
    if not isinstance(document, dict):
        raise KitError(f"kit {' '.join(arguments)} printed no JSON object")
    return document


async def _listen(stderr: asyncio.StreamReader, tell: Callable[[str], object] | None) -> bytes:
    """Everything that is said; `tell` hears each line as soon as it is whole."""
    heard = bytearray()
    told = 0
    while data := await stderr.read(64 * 1024):
        heard += data
        end = heard.rfind(b"\n") + 1
        if tell is not None and end > told:
            for line in heard[told:end].decode("utf-8", "replace").splitlines():
                tell(line)
            told = end
    return bytes(heard)


def _message(stderr: bytes) -> str:
    """What a command said, from its error on."""
    text = stderr.decode("utf-8", "replace").strip()
    at = text.rfind("error: ")
    return text[at + len("error: ") :] if at >= 0 else text[-LAST_WORDS:]


def _environment() -> dict[str, str]:
    """The dashboard's own, without what Textual's web server and terminals set for the dashboard itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TEXTUAL")}
