"""What commands print: stdout is data, stderr is narration. User data is never read as markup."""

import io
import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, TextIO

import typer

from kit.errors import ExitCode, InputError, KitError, StorageError
from kit.launcher import place

STANDARD_STREAMS = (0, 1, 2)

MOST = 1_000_000_000
"""The largest whole number that an option takes: what is counted with it stays within 64 bits."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Narration(io.TextIOBase):
    """stderr, but for this: what cannot be written is lost, and nothing else is. A run must not die with its terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        _turn_to_nothing(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            _turn_to_nothing(self._stream)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


@contextmanager
def steady_streams() -> Iterator[None]:
    """Give every standard stream something to write to, before any file could take the number of one that is closed."""
    for number in STANDARD_STREAMS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    given = sys.stderr
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = Narration(given or open(os.devnull, "w"))  # noqa: SIM115
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = given


def shown(text: str) -> str:
    """`text` as a terminal may have it: what it would obey (colours, titles, directions) is spelt out instead."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def narrate(message: str) -> None:
    """One message for people, on stderr."""
    sys.stderr.write(shown(message) + "\n")
    sys.stderr.flush()


def report_error(error: KitError) -> None:
    """Say what was wrong and what to do next; of several processes, also which one says it."""
    group = place()
    if isinstance(error, InputError) and group.local_rank:
        return  # every process of this machine has found it, and one of them says so
    who = "" if group.is_first else f"[process {group.rank}] "
    narrate(f"{who}error: {error}")
    if error.hint:
        narrate(f"{who}hint: {error.hint}")


def print_json(document: object) -> None:
    """Exactly one JSON document; nan and infinities are programmer errors."""
    _write(json.dumps(document, indent=2, allow_nan=False))


def print_text(text: str) -> None:
    """Write a line (or several) to stdout; what a terminal would obey and what its encoding lacks is escaped.

    Ends the command quietly when the reader has left; raises `StorageError` when stdout cannot take it.
    """
    _write(shown(text))


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except OSError as error:
        _turn_to_nothing(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(ExitCode.STORAGE) from error
        raise StorageError(f"cannot write to standard output: {error.strerror}") from error


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None, right: Collection[int] = ()
) -> None:
    """A table on stdout; `right` are the columns aligned to the right. Plain and never cut when stdout is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(shown(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if index in right else "left")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 1000
    console = Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    _write("\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n"))


def _turn_to_nothing(stream: TextIO) -> None:
    """What is still in the buffer must not fail a second time, with a traceback, when the interpreter exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def encodable(text: str) -> bool:
    """Whether stdout can show `text`."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
