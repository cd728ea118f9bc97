"""The command line: one file per command or group of commands; nothing else knows typer or rich."""
