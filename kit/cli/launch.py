"""Several processes for one command: torchrun's options on kit's commands, and the launch through PyTorch's own launcher."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from kit.cli.output import narrate
from kit.launcher import launched, leftovers

PANEL = "Several processes (torchrun)"


def _option(kind: Any, name: str, metavar: str, text: str) -> Any:
    return Annotated[kind | None, typer.Option(name, metavar=metavar, help=text, rich_help_panel=PANEL)]


OPTIONS: dict[str, Any] = {
    "nproc_per_node": _option(str, "--nproc-per-node", "N", "Processes on this machine; 'gpu' or 'cpu': one for each."),
    "nnodes": _option(str, "--nnodes", "N", "Machines, or a range MIN:MAX."),
    "node_rank": _option(int, "--node-rank", "N", "Number of this machine, without a rendezvous."),
    "rdzv_backend": _option(str, "--rdzv-backend", "NAME", "Rendezvous, for instance c10d."),
    "rdzv_endpoint": _option(str, "--rdzv-endpoint", "HOST:PORT", "Where the machines meet."),
    "rdzv_id": _option(str, "--rdzv-id", "NAME", "Name of the job, the same on all machines."),
    "rdzv_conf": _option(str, "--rdzv-conf", "K=V,...", "More settings of the rendezvous."),
    "max_restarts": _option(int, "--max-restarts", "N", "How often to start again when a process is lost."),
    "monitor_interval": _option(float, "--monitor-interval", "S", "Seconds between looks at the processes."),
    "master_addr": _option(str, "--master-addr", "HOST", "Machine 0, without a rendezvous."),
    "master_port": _option(int, "--master-port", "PORT", "Port of machine 0."),
    "local_addr": _option(str, "--local-addr", "HOST", "Address of this machine."),
    "log_dir": _option(str, "--log-dir", "DIR", "Folder for the processes' output."),
    "redirects": _option(str, "--redirects", "R", "Which output goes to files only (see torchrun)."),
    "tee": _option(str, "--tee", "T", "Which output goes to files and the terminal."),
}


def launchable(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command torchrun's options: with one of them it runs as several processes of itself.

    Each is started with the same arguments less these options. A command that torchrun itself starts finds its group alike.
    """

    @wraps(command)
    def run(context: typer.Context, **values: Any) -> None:
        chosen = {name: values.pop(name) for name in OPTIONS}
        given = {name: value for name, value in chosen.items() if value is not None}
        if left := leftovers():
            narrate(
                f"note: ignored {', '.join(left)}: a launcher's variables that do not belong together, left from another job"
            )
        if given and launched() is None:
            from kit.pipeline.launch import launch

            raise typer.Exit(launch(given, _own_arguments(context.find_root().obj)))
        command(**values)

    signature = inspect.signature(command)
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), context, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "context": typer.Context, **OPTIONS}
    return run


def _own_arguments(arguments: list[str]) -> list[str]:
    """The command line without torchrun's options."""
    names = {f"--{name.replace('_', '-')}" for name in OPTIONS}
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument in names:
            next(rest, None)
        elif argument.partition("=")[0] not in names:
            kept.append(argument)
    return kept
