"""The dashboard in a browser: textual-serve with a page of our own, which asks no other host and takes keys on arrival."""

from pathlib import Path

from textual_serve.server import Server

PAGE = Path(__file__).with_name("page")


def serve(command: str, port: int) -> None:
    """A dashboard per browser tab, each a process of its own that `command` starts, for this machine only."""
    Server(command, host="localhost", port=port, title="kit", templates_path=PAGE).serve()
