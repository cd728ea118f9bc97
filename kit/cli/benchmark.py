"""`kit benchmark`: timings that anyone can rerun."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.errors import ExitCode

if TYPE_CHECKING:
    from kit.recipe import Profile

app = typer.Typer(no_args_is_help=True, help="Side-by-side timings.")

ProfileOption = Annotated[str, typer.Option("--profile", metavar="P", help="Widths and stem.")]
RepeatsOption = Annotated[int, typer.Option("--repeats", min=1, max=MOST, help="At least; more until the ratio is narrow.")]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0, help="Begin no round that would take longer in all.")]
ProcessorOption = Annotated[
    bool, typer.Option("--processor-time", help="Count this process's seconds only: what else runs disturbs less.")
]


def _run(benchmark: Callable[..., dict[str, Any]], profile: "Profile", *others: object, **options: Any) -> dict[str, Any]:
    """A benchmark's document, made with the profile's threads; what makes its figures doubtful is told on stderr."""
    from kit.benchmark.timing import use_threads

    use_threads(profile)
    found = benchmark(profile, *others, **options)
    for doubt in filter(None, found["doubts"].splitlines()):
        narrate(f"too noisy to believe: {doubt}")
    return found


def _clock(processor_time: bool) -> str:
    return "processor" if processor_time else "wall"


def _interval(row: dict[str, Any], name: str = "ratio") -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def _print_all(found: dict[str, Any], json: bool) -> None:
    width = max(map(len, found))
    if json:
        print_json(found)
    else:
        print_text("\n".join(f"{key:<{width}}  {value}" for key, value in found.items()))


@app.command("sweep")
def sweep(
    profile: ProfileOption = "imagenet",
    pool: Annotated[Path | None, typer.Option("--pool", metavar="FILE", help="Challenge JSON; default: drawn.")] = None,
    subnets: Annotated[int, typer.Option("--subnets", min=2, max=MOST)] = 64,
    resolution: Annotated[
        int | None, typer.Option("--resolution", min=8, max=MOST, help="Else 128, or the profile's.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, max=MOST)] = 32,
    calibration: Annotated[int, typer.Option("--calibration", min=1, max=MOST, help="Batches.")] = 1,
    validation: Annotated[int, typer.Option("--validation", min=1, max=MOST, help="Batches.")] = 1,
    repeats: RepeatsOption = 3,
    seconds: SecondsOption = 400.0,
    processor_time: ProcessorOption = False,
    json: JsonOption = False,
) -> None:
    """The prefix tree against one sub-network after another, on architectures of one stage-1 variant."""
    from kit.benchmark.sweep import benchmark_sweep
    from kit.pipeline.request import open_pool
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    size = resolution or min(128, chosen.resolution)
    narrate(f"{subnets} sub-networks of {profile}, {size} x {size}, {repeats} pairs or more, after a warm-up")
    result = _run(
        benchmark_sweep,
        chosen,
        open_pool(chosen, pool),
        subnets=subnets,
        resolution=size,
        batch=batch,
        calibration=calibration,
        validation=validation,
        repeats=repeats,
        seconds=seconds,
        clock=_clock(processor_time),
    )
    _print_all(result, json)


@app.command("workers")
def workers(
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Widths, data and scale.")] = "nano",
    subnets: Annotated[int, typer.Option("--subnets", min=2, max=MOST)] = 200,
    processes: Annotated[int, typer.Option("--processes", min=2, max=MOST)] = 2,
    repeats: RepeatsOption = 3,
    seconds: SecondsOption = 180.0,
    json: JsonOption = False,
) -> None:
    """Scoring by several processes against one, each with one thread."""
    from kit.benchmark.workers import benchmark_workers
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    narrate(f"{subnets} sub-networks of {profile}, 1 and {processes} processes, {repeats} pairs or more")
    result = _run(benchmark_workers, chosen, subnets=subnets, processes=processes, repeats=repeats, seconds=seconds)
    if json:
        print_json(result)
        return
    print_text(
        f"one process {result['one_process_seconds']:.1f} s, {processes} processes {result['seconds']:.1f} s: "
        f"{_interval(result)} times faster, {result['repeats']} pairs"
    )


@app.command("truth")
def truth(
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="Widths, resolution and batch.")] = "nano",
    architectures: Annotated[int, typer.Option("--architectures", min=1, max=MOST)] = 3,
    stack: Annotated[
        int | None, typer.Option("--stack", min=2, max=MOST, help="Seeds in a stack; else the profile's, or 4.")
    ] = None,
    repeats: RepeatsOption = 3,
    seconds: SecondsOption = 120.0,
    json: JsonOption = False,
) -> None:
    """Seeds of an architecture trained as one grouped network, against one seed after another."""
    from kit.benchmark.truth import benchmark_truth
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    several = stack or (chosen.truth.stack if chosen.truth.stack > 1 else 4)
    narrate(f"{architectures} architectures of {profile}, {several} seeds each, {repeats} rounds or more")
    result = _run(benchmark_truth, chosen, architectures=architectures, stack=several, repeats=repeats, seconds=seconds)
    if json:
        print_json(result)
        return
    rows = [row for row in result.values() if isinstance(row, dict)]
    cells = [
        [row["code"], f"{row['images_per_second']:,.0f}", _interval(row), f"{row['max_logit_difference']:.1e}"]
        for row in rows
    ]
    print_table(["architecture", "images/s", "times one after another", "logits differ by"], cells, right=(1, 2, 3))


@app.command("step")
def step(
    profile: ProfileOption = "imagenet",
    batch: Annotated[int, typer.Option("--batch", min=1, max=MOST)] = 32,
    resolution: Annotated[
        int | None, typer.Option("--resolution", min=8, max=MOST, help="Else 112, or the profile's.")
    ] = None,
    repeats: RepeatsOption = 3,
    seconds: SecondsOption = 400.0,
    processor_time: ProcessorOption = False,
    json: JsonOption = False,
) -> None:
    """Shared against separate training steps, per phase; elastic against plain networks."""
    from kit.benchmark.step import benchmark_step
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    size = resolution or min(112, chosen.resolution)
    narrate(f"steps of {profile}: {batch} images of {size} x {size}, {repeats} pairs each or more, after a warm-up")
    result = _run(
        benchmark_step, chosen, batch=batch, resolution=size, repeats=repeats, seconds=seconds, clock=_clock(processor_time)
    )
    if json:
        print_json(result)
        return
    rows = [
        [
            kind,
            f"{row['separate_seconds']:.3f}",
            f"{row['shared_seconds']:.3f}",
            _interval(row),
            _interval(row, "static_ratio"),
            f"{row['max_gradient_difference']:.1e}",
        ]
        for kind, row in result.items()
        if isinstance(row, dict)
    ]
    columns = ["step", "separate s", "shared s", "ratio", "elastic / plain", "gradient difference"]
    print_table(columns, rows, right=range(1, 6))


@app.command("device")
def device(
    profile: ProfileOption = "imagenet",
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="In all; the checks are always done.")] = 450.0,
    json: JsonOption = False,
) -> None:
    """A GPU, or else the CPU itself, against the CPU: the same results, how fast, how much memory."""
    from kit.benchmark.device import benchmark_device
    from kit.pipeline.hardware import choose_hardware
    from kit.pipeline.request import open_pool
    from kit.recipe import load_profile

    chosen = load_profile(profile)
    on = choose_hardware(chosen).device
    found = _run(benchmark_device, chosen, open_pool(chosen, None), on, seconds=seconds, tell=narrate)
    if json:
        print_json(found)
    else:
        print_text(f"{found['device']}, profile {found['profile']}")
        rows = [[check["name"], "ok" if check["ok"] else "FAILED", check["detail"]] for check in found["checks"]]
        print_table(["check", "", "detail"], rows)
        step, sweep = found["step"], found["sweep"]
        print_text(
            f"steps: {step['images_per_second']:,.0f} images/s, {step['ratio_to_cpu']:.1f} times the CPU\n"
            f"sweep: {sweep['images_per_second']:,.0f} images/s, {sweep['ratio_to_cpu']:.1f} times the CPU, "
            f"{sweep['ratio']:.2f} times one by one, {sweep['share_of_convolution_speed']:.0%} of bare convolutions; "
            f"{sweep['pool_subnets']:,} sub-networks would take {sweep['estimate_full_pool_hours']:,.1f} hours"
        )
    if not found["ok"]:
        raise typer.Exit(ExitCode.CHECKS_FAILED)


@app.command("dashboard")
def dashboard(
    events: Annotated[int, typer.Option("--events", min=1, max=MOST, help="Events in the log that is opened.")] = 1_000_000,
    rows: Annotated[int, typer.Option("--rows", min=1, max=MOST, help="Architectures in the table.")] = 45_000,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long a running run is watched.")] = 15.0,
    json: JsonOption = False,
) -> None:
    """First paint, memory, keys and load of `kit dashboard`, measured from outside, in a pseudo-terminal."""
    from kit.benchmark.dashboard import benchmark_dashboard

    narrate(f"a log of {events:,} events, a table of {rows:,} rows, {seconds:.0f} s of watching; takes a minute or two")
    result = benchmark_dashboard(events=events, rows=rows, seconds=seconds)
    _print_all(result, json)
