"""Starting a command as several processes through PyTorch's own launcher."""

import logging
import os
import signal
import tempfile
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import config_from_args, get_args_parser, run

from kit.errors import CommunicationError, ExitCode, InputError

SEVERAL_MACHINES = {"nnodes", "node_rank", "rdzv_backend", "rdzv_endpoint", "master_addr", "master_port"}
OPTIONS_HINT = "see torchrun --help; for instance --nproc-per-node 2, --rdzv-conf timeout=60"


def launch(options: dict[str, Any], arguments: list[str]) -> int:
    """Run `kit ARGUMENTS` as several processes under `torch.distributed.run` with torchrun's `options`.

    Returns the exit code of the process that failed first, 0 if none did; raises `CommunicationError` when one was killed or
    the machines do not find each other.
    """
    # The processes say themselves what went wrong; the launcher's own tracebacks would bury it.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    processes = str(options.get("nproc_per_node"))
    if processes.isdecimal() and int(processes):
        # The launcher would give each process a single thread, whatever the machine has.
        threads = max(1, len(os.sched_getaffinity(0)) // int(processes))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if not options.keys() & SEVERAL_MACHINES:
        flags.append("--standalone")
    _pass_signals_on()
    # Without a folder named, the launcher leaves an empty one behind for every launch.
    with tempfile.TemporaryDirectory(prefix="kit-launch-") as scratch:
        if "log_dir" not in options:
            flags.append(f"--log-dir={scratch}")
        return _run([*flags, "--module", "kit.cli.main", *arguments])


def _run(command: list[str]) -> int:
    try:
        chosen = get_args_parser().parse_args(command)
        processes = config_from_args(chosen)[0].nproc_per_node
        if processes < 1:
            raise ValueError(f"{processes} processes on a machine: expected at least 1")
        run(chosen)
    except ChildFailedError as error:
        failures = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        known = [failure.exitcode for failure in failures if failure.exitcode in set(ExitCode)]
        if known:
            return known[0]
        raise _lost(f"a process (pid {failures[0].pid}) ended with {failures[0].exitcode}") from error
    except SignalException as stop:
        return ExitCode.INTERRUPTED if stop.sigval == signal.SIGINT else ExitCode.TERMINATED
    except (ValueError, AssertionError) as error:
        raise InputError(f"the launcher refuses its options: {_first_line(error)}", hint=OPTIONS_HINT) from error
    except (RuntimeError, ConnectionError, OSError) as error:
        raise _lost(f"the launcher failed: {_first_line(error)}") from error
    return ExitCode.DONE


def _pass_signals_on() -> None:
    """Let the launcher end its processes in good order at SIGUSR1 too, and leave SIGHUP ignored where `nohup` chose so."""
    signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    heard = ["SIGTERM", "SIGINT", "SIGQUIT"] + (["SIGHUP"] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else [])
    os.environ.setdefault("TORCHELASTIC_SIGNALS_TO_HANDLE", ",".join(heard))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _lost(what: str) -> CommunicationError:
    return CommunicationError(
        what, hint="what was finished is kept: run the same command again to continue (--max-restarts N does it by itself)"
    )
