"""`kit latency`: how long networks take on this device, from a table of their blocks."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import Ticker
from kit.errors import ExitCode, StopRequestedError

if TYPE_CHECKING:
    from kit.latency_table import LatencyTable
    from kit.search_space import Scale

app = typer.Typer(no_args_is_help=True, help="Latency on this device: measured blocks, and their sums.")
AGREES, ERROR = 0.95, 10.0
"""Pearson's r of sums and whole networks at least, and their mean error in percent at most: a table to go by."""
MOST_THREADS = 1024


class BackendName(StrEnum):
    """What runs the networks."""

    TORCH = "torch"
    ONNXRUNTIME = "onnxruntime"


TableArgument = Annotated[Path, typer.Argument(metavar="TABLE.json", help="What `kit latency measure` wrote.")]
LatencyOption = Annotated[
    Path | None, typer.Option("--latency", metavar="TABLE.json", help="What `kit latency measure` wrote: one more column.")
]


@app.command("measure")
def measure(
    out: Annotated[Path, typer.Option("--out", metavar="TABLE.json", help="Where the table goes.")],
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Widths, image size, classes.")] = "imagenet",
    backend: Annotated[BackendName, typer.Option("--backend", help="What runs the networks.")] = BackendName.TORCH,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, max=MOST_THREADS)] = 1,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, max=MOST, help="Images at a time.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=2, max=MOST, help="Of every block.")] = 7,
    json: JsonOption = False,
) -> None:
    """Time every distinct block of the profile's space, and check the sums on whole networks."""
    from kit.benchmark.latency import measure_latency
    from kit.files import require_suffix
    from kit.latency_table import write_latency
    from kit.pipeline.signals import stop_on_signals
    from kit.recipe import load_profile

    require_suffix(out, ".json")
    chosen = load_profile(profile)
    with stop_on_signals() as stop, Ticker("blocks") as ticker:

        def tell(text: str, done: int, total: int, seconds_left: float | None) -> None:
            ticker.show(text, done, total, seconds_left)
            if stop():
                raise StopRequestedError(
                    f"stopped by {stop.reason} after {done:,} of {total:,} blocks; a table is written when it is whole",
                    exit_code=stop.error().exit_code,
                    hint="run the same command again: it measures anew",
                )

        table = measure_latency(chosen, backend=backend.value, threads=threads, batch=batch, repeats=repeats, progress=tell)
    write_latency(out, table)
    if table.doubts:
        narrate(f"too noisy to believe: {table.doubts}")
    if json:
        counts = {"blocks": len(table.blocks), "networks_checked": len(table.networks)}
        print_json(table.model_dump(mode="json", exclude={"space", "networks"}) | counts | {"table": str(out.resolve())})
    else:
        print_text(f"{len(table.blocks):,} blocks in {table.seconds:.0f} s. {table.describe()}")
        print_text(str(out))


@app.command("check")
def check(table: TableArgument, json: JsonOption = False) -> None:
    """Measure other whole networks on this device and compare them with the table's sums; exit 1 where they disagree."""
    from kit.benchmark.latency import check_latency
    from kit.latency_table import read_latency

    known = read_latency(table)
    tell_latency(known)
    found = check_latency(known)
    ok = found.pearson >= AGREES and found.mean_absolute_error_percent <= ERROR
    if found.doubts:
        narrate(f"too noisy to believe: {found.doubts}")
    if json:
        print_json(
            {
                "ok": ok,
                "pearson": found.pearson,
                "mean_absolute_error_percent": found.mean_absolute_error_percent,
                "doubts": found.doubts,
                "networks": [each.model_dump() for each in found.networks],
            }
        )
    else:
        rows = [[each.code, f"{each.measured_ms:.3f}", f"{each.sum_ms:.3f}"] for each in found.networks]
        print_table(["network", "measured ms", "sum ms"], rows, right=(1, 2))
        print_text(
            f"\nr {found.pearson:.3f}, mean error {found.mean_absolute_error_percent:.1f} %: "
            + ("the sums hold here" if ok else f"not within r {AGREES} and {ERROR:g} %: measure the table again")
        )
    if not ok:
        raise typer.Exit(ExitCode.CHECKS_FAILED)


@app.command("show")
def show(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The 52 digits of the challenge's JSON.")],
    table: Annotated[Path, typer.Option("--table", metavar="TABLE.json", help="What `kit latency measure` wrote.")],
    json: JsonOption = False,
) -> None:
    """The latency of an architecture, block by block."""
    from kit.latency_table import blocks_of, read_latency

    known = read_latency(table)
    architecture = known.scale.space.parse(code)
    blocks = [(block.key, known.blocks[block.key]) for block in blocks_of(architecture, known.scale)]
    total = known.milliseconds(architecture)
    if json:
        parts = [{"block": key, **time.model_dump()} for key, time in blocks]
        print_json({"code": code, "latency_ms": total, "blocks": parts, "described": known.describe()})
        return
    rows = [[key, f"{time.ms:.3f}", f"{time.low:.3f} to {time.high:.3f}"] for key, time in blocks]
    print_table(["block", "ms", "middle half"], rows, right=(1, 2))
    print_text(f"\n{total:.3f} ms with the table's correction. {known.describe()}")


def open_latency(path: Path, scale: "Scale", what: str) -> "LatencyTable":
    """A table for architectures at this scale. Raises `InputError` for one of another."""
    from kit.latency_table import read_latency

    table = read_latency(path)
    table.check_fits(scale, what)
    tell_latency(table)
    return table


def tell_latency(table: "LatencyTable") -> None:
    """Say what a table's figures are, and where they are of another device than this."""
    from kit.processor import processor_name

    narrate(table.describe())
    if table.device != processor_name():
        narrate(f"note: this is another device, {processor_name()}")
