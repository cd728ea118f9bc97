"""`kit` processes without the price of a start: forked from a process that has imported torch and timm already.

Importing them takes seconds of processor time, and the tests start `kit` a hundred times. `KitPopen` is a `subprocess.Popen`
whose `kit` processes come from such a server. They are real processes all the same: their own pid, session, folder,
environment, streams, signals and exit code, and whoever asked for one is its parent. What the import of torch or the start
of Python itself would have looked at cannot be given later, so there is a server for each such environment. What is no kit,
or outside Linux, is started in earnest.

The parent: the server forks twice, and the process between ends at once. Its child then belongs to the nearest ancestor that
has called itself a subreaper, which is the one that asked.
"""

import ctypes
import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

CODE = "from kit.cli.main import main; main()"
PATIENCE = 400.0
"""Seconds until a test believes that something hangs: a busy machine takes several times as long as an idle one."""
MODULE = "kit.cli.main"
SERVER = "kit-server"
"""The name of such a process in the process list."""

WARM = (
    "kit.cli.main",
    "kit.pipeline.archive_build",
    "kit.pipeline.evaluate",
    "kit.pipeline.launch",
    "kit.pipeline.recipe_run",
    "kit.pipeline.reproduce",
    "kit.pipeline.truth_run",
    "matplotlib.figure",
    "networkx",
    "rich.console",
)
EARLY = ("GOMP_", "KMP_", "LANG", "LC_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "TORCH_")
"""Variables that count when Python starts or torch is imported."""
HARMLESS = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "PYTHONSAFEPATH", "TORCH_NCCL_ASYNC_ERROR_HANDLING"}
"""Not so: `kit` and the launcher set these themselves."""

SET_NAME, SET_SUBREAPER = 15, 36
MESSAGE = 1 << 17
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def early(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(EARLY) and name not in HARMLESS and value}


def own_arguments(command: list[str]) -> list[str] | None:
    """What a command gives to `kit`; None for anything that is not `kit` as this Python starts it."""
    rest = [each for each in command[1:2] if each != "-u"] + command[2:]
    is_kit = command[0] == sys.executable and rest[:2] in (["-c", CODE], ["-m", MODULE])
    return rest[2:] if is_kit else None


class Server:
    """The connection to a process that forks."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        ctypes.CDLL(None).prctl(SET_SUBREAPER, 1, 0, 0, 0)

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """The pid of a new child of this process."""
        with self.lock:
            socket.send_fds(self.connection, [json.dumps(request).encode()], streams)
            return int(self.connection.recv(MESSAGE))


servers: dict[str, Server] = {}
"""By what counts of an environment, as JSON."""
wanted = False


def use_server() -> None:
    """From now on `subprocess` takes `kit` processes of this process from a server, which starts with the first of them."""
    global wanted
    wanted = sys.platform == "linux"
    subprocess.Popen = KitPopen


def _server(environment: dict[str, str]) -> Server | None:
    wish = json.dumps(early(environment), sort_keys=True)
    if wanted and wish not in servers:
        ours, theirs = _connection()
        command = [sys.executable, __file__, str(theirs.fileno())]
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment
        )
        theirs.close()
        servers[wish] = Server(ours)
    return servers.get(wish)


def _connection() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class KitPopen(subprocess.Popen):
    """A `subprocess.Popen` that lets the server fork what is `kit`."""

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env,
        startupinfo, creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *rest,
    ) -> None:  # fmt: skip
        *_, start_new_session, process_group = rest
        environment = dict(os.environ if env is None else env)
        command = [] if shell or isinstance(args, str | bytes | os.PathLike) else [os.fsdecode(each) for each in args]
        arguments = own_arguments(command) if command else None
        plain = executable is None and preexec_fn is None and not pass_fds and process_group == -1
        found = _server(environment) if plain and arguments is not None else None
        if found is None:
            super()._execute_child(
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env,
                startupinfo, creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *rest,
            )  # fmt: skip
            return
        streams = [given if given != -1 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "arguments": arguments,
            "unbuffered": command[1] == "-u",
            "folder": os.path.abspath(cwd or os.getcwd()),
            "environment": environment,
            "session": start_new_session,
        }
        self.pid = found.fork(request, streams)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


def serve(connection: socket.socket) -> None:
    """Fork whenever asked to. Returns in the children, each of which is then what was asked for."""
    ctypes.CDLL(None).prctl(SET_NAME, SERVER.encode(), 0, 0, 0)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in HEARD}
    while True:
        message, streams, *_ = socket.recv_fds(connection, MESSAGE, 3)
        if not message:
            os._exit(0)
        if _fork_for_the_caller(connection):
            break
        for stream in streams:
            os.close(stream)
    connection.close()
    for number, handler in before.items():
        signal.signal(number, handler)
    _become(json.loads(message), streams)


def _fork_for_the_caller(connection: socket.socket) -> bool:
    """Whether this is the new process, whose parent is the caller by now."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork():
            os._exit(0)
        os.close(writing)
        os.read(reading, 1)  # until the process between is gone
        connection.send(str(os.getpid()).encode())
    else:
        os.waitpid(between, 0)
        os.close(writing)
    os.close(reading)
    return between == 0


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Take over what a new process is given."""
    global wanted
    servers.clear()
    wanted = False
    ctypes.CDLL(None).prctl(SET_NAME, b"kit", 0, 0, 0)
    if request["session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request["unbuffered"]:
        sys.stdout.reconfigure(write_through=True)
    sys.argv[1:] = request["arguments"]
    _fork_workers_of_a_truth()
    if any(argument.startswith("--nproc-per-node") for argument in sys.argv):
        _keep_a_server()


def _fork_workers_of_a_truth() -> None:
    """They would come from one more process that imports torch; this one has it, and has computed nothing."""
    from kit.truth import parallel

    parallel._context = lambda: multiprocessing.get_context("fork")


def _keep_a_server() -> None:
    """A launcher gets its processes as its own children, from a server that was forked before it has any thread."""
    ours, theirs = _connection()
    if os.fork() == 0:
        ours.close()
        return serve(theirs)
    theirs.close()
    servers[json.dumps(early(dict(os.environ)), sort_keys=True)] = Server(ours)


def main() -> None:
    subprocess.Popen = KitPopen  # before torch takes a name of its own for it
    sys.path[0] = ""
    for name in WARM:
        __import__(name)
    gc.freeze()  # a collection in a child would copy every page
    del sys.modules["__main__"].__file__
    serve(socket.socket(fileno=int(sys.argv.pop())))
    from kit.cli.main import main

    main()


if __name__ == "__main__":
    main()
