"""Errors that are meant for users, and the exit codes they end a command with."""

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every `kit` command (documented in the README)."""

    DONE = 0
    CHECKS_FAILED = 1
    USAGE = 2
    STORAGE = 3
    TRAINING_STOPPED = 4
    INTERRUPTED = 130
    TERMINATED = 143


class KitError(Exception):
    """Something a user can understand and act on: what was wrong, where, and what to do next.

    `kit` prints the message without a traceback and exits with `exit_code`.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(KitError):
    """Bad input: a code, a recipe, a pool, a data folder, an option."""


class StorageError(KitError):
    """A file or directory that cannot be read, written, or trusted."""

    exit_code = ExitCode.STORAGE


class InUseError(StorageError):
    """Another process holds the lock of what this one needs."""


class CommunicationError(StorageError):
    """Another process of the same run is lost, or silent for too long."""


class TrainingStoppedError(KitError):
    """Training cannot go on, for instance because a loss is not finite."""

    exit_code = ExitCode.TRAINING_STOPPED


class StopRequestedError(KitError):
    """A signal asked the process to stop; everything needed to continue has been saved."""

    def __init__(self, message: str, *, exit_code: ExitCode, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of the names that an error is about, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
