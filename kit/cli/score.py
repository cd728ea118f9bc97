"""`kit score NAME`: rank architectures without training anything."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kit.cli.output import MOST, JsonOption, narrate, print_json, print_text
from kit.cli.progress import Ticker
from kit.files import require_suffix
from kit.zero_cost import NAMES

Name = StrEnum("Name", {name: name for name in NAMES})  # type: ignore[misc]  # the table has them, once


def score(
    name: Annotated[Name, typer.Argument(metavar="NAME", help=f"One of {', '.join(NAMES)}.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Challenge JSON (or .json.gz), `acc` the raw score, higher is better."),
    ],
    pool: Annotated[
        Path | None, typer.Option("--pool", metavar="FILE", help="Challenge JSON; default: the profile's own draw.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", metavar="P", help="What digits mean, image size, classes.")] = "nano",
    data: Annotated[
        str | None, typer.Option("--data", metavar="SPEC", help="For naswot and grad-norm; default: the profile's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST, help="Of the initial weights and the images.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore earlier results.")] = False,
    json: JsonOption = False,
) -> None:
    """Score each architecture of a pool, untrained. The same command continues; `kit rank --opponent` compares."""
    from kit.pipeline.score_run import ScoreRequest, ScoreRun
    from kit.pipeline.signals import stop_on_signals
    from kit.recipe import load_profile

    require_suffix(out, ".json", ".gz")
    request = ScoreRequest(
        name=name.value, profile=load_profile(profile), out=out, pool=pool, data=data, seed=seed, fresh=fresh
    )
    run = ScoreRun(request, narrate)
    started, scored, total = time.perf_counter(), 0, len(run.pool)
    with stop_on_signals() as stop, Ticker("architectures") as ticker:
        for code, value in run.execute(stop):
            scored += 1
            missing = total - scored - run.known
            left = (time.perf_counter() - started) / scored * missing
            ticker.show(f"{name.value} of {code}: {value:.6g}", total - missing, total, left)
    seconds = time.perf_counter() - started
    each = seconds / scored if scored else None
    if json:
        print_json(
            {
                "name": name.value,
                "subnets": total,
                "scored_now": scored,
                "seconds": seconds,
                "seconds_per_architecture": each,
                "scores": str(out.resolve()),
            }
        )
        return
    narrate(f"{scored:,} of {total:,} architectures scored in {seconds:.1f} s" + (f", {each:.2g} s each" if each else ""))
    print_text(str(out))
