"""Whether a launcher (torchrun, or anything that sets its variables) started this process as one of a group."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ALSO = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "TORCHELASTIC_RESTART_COUNT")
ELASTIC = "TORCHELASTIC_RUN_ID"
"""Set by torchrun alone: this process's parent is then the launcher."""


@dataclass(frozen=True, slots=True)
class Launched:
    """This process's place in its group, as the launcher says."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    restarts: int = 0
    """How often the launcher has started the group anew."""
    elastic: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0


def launched(variables: Mapping[str, str] = os.environ) -> Launched | None:
    """This process's place in its group; None for a process on its own.

    A launcher sets all its variables, and they agree. Anything less was left over from another job: such variables mean
    nothing, and `leftovers` names them.
    """
    if not variables.keys() >= set(NEEDED) or not variables["MASTER_ADDR"]:
        return None
    try:
        rank, size, port = (int(variables[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        local_rank = int(variables.get("LOCAL_RANK", rank))
        local_size = int(variables.get("LOCAL_WORLD_SIZE", size))
        restarts = int(variables.get("TORCHELASTIC_RESTART_COUNT", 0))
    except ValueError:
        return None
    agree = 0 <= local_rank <= rank < size and local_rank < local_size <= size and 0 < port < 2**16 and restarts >= 0
    return Launched(rank, size, local_rank, restarts, ELASTIC in variables) if agree else None


def place() -> Launched:
    """This process's place in its group; alone, it is the first of one."""
    return launched() or Launched()


def leftovers(variables: Mapping[str, str] = os.environ) -> list[str]:
    """A launcher's variables that mean nothing here, as `NAME=value`."""
    if launched(variables) is not None:
        return []
    return [f"{name}={variables[name]}" for name in (*NEEDED, *ALSO, ELASTIC) if name in variables]
