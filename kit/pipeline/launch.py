"""Starting a command as several processes through PyTorch's own launcher."""

import logging
import os
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import get_args_parser, run

from kit.errors import CommunicationError, ExitCode

SEVERAL_MACHINES = {"nnodes", "node_rank", "rdzv_backend", "rdzv_endpoint", "master_addr", "master_port"}


def launch(options: dict[str, Any], arguments: list[str]) -> int:
    """Run `kit ARGUMENTS` as several processes under `torch.distributed.run` with torchrun's `options`.

    Returns the exit code of the process that failed first, 0 if none did; raises `CommunicationError` when one was killed or
    the machines do not find each other.
    """
    # The processes say themselves what went wrong; the launcher's own tracebacks would bury it.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    if str(options.get("nproc_per_node")).isdigit():
        # The launcher would give each process a single thread, whatever the machine has.
        threads = max(1, len(os.sched_getaffinity(0)) // int(options["nproc_per_node"]))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if not options.keys() & SEVERAL_MACHINES:
        flags.append("--standalone")
    try:
        run(get_args_parser().parse_args([*flags, "--module", "kit.cli.main", *arguments]))
    except ChildFailedError as error:
        failures = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        known = [failure.exitcode for failure in failures if failure.exitcode in set(ExitCode)]
        if known:
            return known[0]
        raise _lost(f"a process (pid {failures[0].pid}) ended with {failures[0].exitcode}") from error
    except SignalException as stop:
        return 128 + int(stop.sigval)
    except (RuntimeError, ConnectionError, OSError) as error:
        raise _lost(f"the launcher failed: {str(error).splitlines()[0]}") from error
    return ExitCode.DONE


def _lost(what: str) -> CommunicationError:
    return CommunicationError(
        what, hint="what was finished is kept: run the same command again to continue (--max-restarts N does it by itself)"
    )
