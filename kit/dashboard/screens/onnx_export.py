"""Export of chosen sub-networks as ONNX, by a `kit` process of its own."""

from collections.abc import Sequence
from pathlib import Path

from kit.dashboard.host import Host
from kit.errors import KitError
from kit.files import user_path
from kit.run_dir import RunDirectory
from kit.watch.text import shown_path

MANY = 20
WORK = "each one is calibrated, scored again and compared in ONNX Runtime"


def ask_to_export(app: Host, codes: Sequence[str]) -> None:
    """Ask for the folder, then start. Raises `KitError` when nothing can be exported."""
    run = app.run_directory
    if run is None or not codes:
        raise KitError("there is nothing to export yet", hint="choose a run, then an architecture")
    if not run.weights_manifest.exists():
        hint = "an export needs a finished run: press 2 to see how far it is"
        raise KitError(f"run {run.id} has no final weights yet", hint=hint)
    count = f"{len(codes):,} sub-networks" if len(codes) > 1 else "this sub-network"
    app.ask(
        f"Export {count} as ONNX to",
        lambda answer: _start(app, run, codes, answer),
        value=str(Path("onnx") / run.id),
        detail=f"a folder; {WORK}" + ("; so many take long" if len(codes) > MANY else ""),
        check=lambda text: "this is a file" if user_path(text).is_file() else "",
    )


def _start(app: Host, run: RunDirectory, codes: Sequence[str], answer: str) -> None:
    out = user_path(answer).absolute()
    chosen = [part for code in codes for part in ("--code", code)]
    label = f"ONNX export of {len(codes):,} to {shown_path(out)}"
    app.start_kit(label, "export", "onnx", str(run.path), *chosen, "--out", str(out), "--runs", str(app.runs_folder))
