"""`kit evaluate RUN_OR_WEIGHTS`: calibrate and score a pool with a supernet's weights."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.output import JsonOption, print_json, print_text
from kit.cli.progress import RunNarrator, Ticker

if TYPE_CHECKING:
    from kit.pipeline.scoring import ScoringJob


class Method(StrEnum):
    """Ways of scoring; they agree in every prediction."""

    TREE = "tree"
    ONE_BY_ONE = "one-by-one"


def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN_OR_WEIGHTS", help="A run, or a weights file.")],
    pool: Annotated[
        Path | None, typer.Option("--pool", metavar="FILE", help="Challenge JSON; default: the run's own.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N of the pool.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="P", help="Needed for a weights file; default: the run's own.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Default: the run's or profile's own.")] = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")] = Path("runs"),
    method: Annotated[
        Method, typer.Option("--method", help="Shared prefixes computed once, or each sub-network by itself.")
    ] = Method.TREE,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore earlier results.")] = False,
    json: JsonOption = False,
) -> None:
    """Calibrate each sub-network's BN, score it, write predictions. The same command continues."""
    from kit.events import SubnetEvaluated
    from kit.pipeline.evaluate import Evaluation, EvaluationRequest
    from kit.pipeline.signals import stop_on_signals
    from kit.recipe import load_profile

    request = EvaluationRequest(
        target=target,
        runs=runs,
        profile=None if profile is None else load_profile(profile),
        data=data,
        pool=pool,
        method=method.value,
        limit=limit,
        fresh=fresh,
    )
    codes: set[str] = set()
    with stop_on_signals() as stop, Ticker("sub-networks") as ticker:
        evaluation = Evaluation(request)
        narrator = RunNarrator(ticker)
        started = time.perf_counter()
        for event in evaluation.execute(stop):
            narrator.tell(event)
            if isinstance(event, SubnetEvaluated):
                codes.add(event.code)
        seconds = time.perf_counter() - started
        if stop():
            raise stop.error()
    if json:
        print_json(_report(evaluation.job, codes, seconds))
    else:
        print_text(str(evaluation.job.predictions))


def _report(job: "ScoringJob", codes: set[str], seconds: float) -> dict[str, Any]:
    """The document of `--json`; `codes` were scored just now, in `seconds`."""
    scored = [architecture for architecture in job.pool.architectures if architecture.code in codes]
    images = job.calibration_images + job.data.val_size
    return {
        "subnets": len(job.pool),
        "scored_now": len(scored),
        "images": job.data.val_size,
        "calibration_images": job.calibration_images,
        "seconds": seconds,
        "images_per_second": len(scored) * images / seconds,
        "macs_one_by_one": job.macs_one_by_one(job.pool.architectures),
        "macs_done": job.macs_done(scored),
        "predictions": str(job.predictions),
    }
