"""`kit evaluate RUN_OR_WEIGHTS`: calibrate and score a pool with a supernet's weights."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.launch import launchable
from kit.cli.output import MOST, JsonOption, narrate, print_json, print_table, print_text
from kit.cli.progress import narrated
from kit.cli.run import PROFILE_PREFIX
from kit.errors import InputError
from kit.launcher import place

if TYPE_CHECKING:
    from kit.events import RankSoFar
    from kit.pipeline.evaluate import EvaluationRequest
    from kit.pipeline.scoring import ScoringJob


OF_SCORING = ("evaluation.", "calibration.", "runtime.")
"""What of a profile may change between training and scoring."""


class Method(StrEnum):
    """Ways of scoring; they agree in every prediction."""

    TREE = "tree"
    ONE_BY_ONE = "one-by-one"


MethodOption = Annotated[
    Method, typer.Option("--method", help="Shared prefixes computed once, or each sub-network by itself.")
]
TruthOption = Annotated[
    str | None, typer.Option("--truth", metavar="FILE", help="For the rank figure on the way; default: the profile's.")
]
UntilOption = Annotated[
    float | None,
    typer.Option("--until-ci", metavar="W", min=0, help="Stop once the 95 % interval of Pearson's r is at most W wide."),
]
ImagesOption = Annotated[
    int | None, typer.Option("--images", metavar="N", min=1, max=MOST, help="Score on N images, and say what that costs.")
]
TopOption = Annotated[
    str | None,
    typer.Option("--top", metavar="K", help="Find the best K, or a share like 1%, without scoring all on all images."),
]
ConfidenceOption = Annotated[
    float | None, typer.Option("--confidence", metavar="C", help="Of --top: that they are all found; default 0.95.")
]
ScoringOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="How to score, e.g. profile.evaluation.precision=bfloat16."),
]


@launchable
def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN_OR_WEIGHTS", help="A run, or a weights file.")],
    pool: Annotated[
        Path | None, typer.Option("--pool", metavar="FILE", help="Challenge JSON; default: the run's own.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, max=MOST, help="The first N of the pool.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="P", help="Needed for a weights file; default: the run's own.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Default: the run's or profile's own.")] = None,
    runs: Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs lie.")] = Path("runs"),
    method: MethodOption = Method.TREE,
    truth: TruthOption = None,
    until_ci: UntilOption = None,
    images: ImagesOption = None,
    top: TopOption = None,
    confidence: ConfidenceOption = None,
    set_: ScoringOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore earlier results.")] = False,
    json: JsonOption = False,
) -> None:
    """Calibrate each sub-network's BN, score it, write predictions. The same command continues."""
    from kit.pipeline.evaluate import EvaluationRequest
    from kit.ranking.truth_file import find_truth
    from kit.recipe import load_profile

    budget = () if images is None else (f"evaluation.images={images}",)
    overrides = (*map(_of_scoring, set_ or ()), *budget)
    request = EvaluationRequest(
        target=target,
        runs=runs,
        profile=None if profile is None else load_profile(profile, overrides),
        overrides=overrides,
        truth=None if truth is None else find_truth(truth),
        until_ci=until_ci,
        data=data,
        pool=pool,
        method=method.value,
        limit=limit,
        fresh=fresh and not place().restarts,
        **_of_top(top, confidence, {"--until-ci": until_ci, "--truth": truth}),
    )
    report = _execute(request)
    if not place().is_first:
        return
    if json:
        print_json(report)
    else:
        if top is not None:
            _print_top(report["top"])
        print_text(report["predictions"])


def _of_top(top: str | None, confidence: float | None, others: dict[str, object]) -> dict[str, Any]:
    """The request's part of `--top`. Raises `InputError` for what cannot stand with it, or not without it."""
    from kit.correlation import parse_count

    if top is None:
        if confidence is not None:
            raise InputError("--confidence is that of --top", hint="add --top K")
        return {}
    for option, value in others.items():
        if value is not None:
            raise InputError(f"{option} cannot stand with --top: there are no scores of the whole pool to rank on the way")
    return {"top": parse_count(top)} | ({} if confidence is None else {"confidence": confidence})


def _print_top(top: dict[str, Any]) -> None:
    """The rounds, and the best that they found."""
    names = ("images", "subnets", "dropped", "image_passes")
    rounds = [[str(number), *(f"{each[name]:,}" for name in names)] for number, each in enumerate(top["rounds"], 1)]
    print_table(["round", "images", "sub-networks", "dropped", "image passes"], rounds, right=range(5))
    share = top["image_passes"] / top["full_image_passes"]
    print_text(
        f"\nthe best {top['k']:,} on all images, at {top['confidence']:.0%} confidence, "
        f"for {top['image_passes']:,} image passes ({share:.0%} of scoring all on all images)\n"
    )
    best = [[each["name"], each["code"], f"{each['accuracy']:.4f}", f"{each['images']:,}"] for each in top["best"]]
    print_table(["name", "code", "top-1", "images"], best, right=(2, 3))
    print_text("")


def _of_scoring(text: str) -> str:
    """A `--set` value without the `profile.` in front. Raises `InputError` for what trained weights cannot be scored by."""
    name = text.removeprefix(PROFILE_PREFIX)
    if name == text or not name.startswith(OF_SCORING):
        raise InputError(
            f"--set {text}: the weights are trained, only scoring can be set",
            hint=f"name one of {', '.join(f'{PROFILE_PREFIX}{part}*' for part in OF_SCORING)}",
        )
    return name


def _execute(request: "EvaluationRequest") -> dict[str, Any]:
    """Score, telling how it goes; returns the document of `--json` (of this process)."""
    from kit.events import EvaluationFinished, RankSoFar, SubnetEvaluated
    from kit.pipeline.evaluate import Evaluation
    from kit.pipeline.signals import stop_on_signals
    from kit.process_group import open_process_group
    from kit.recipe.profile import RuntimeSettings

    codes: set[str] = set()
    subnets, rank = 0, None
    timeout = (request.profile.runtime if request.profile else RuntimeSettings()).timeout_seconds
    with stop_on_signals() as stop, open_process_group(timeout) as group:
        evaluation = Evaluation(request, group, narrate if group.is_first else None)
        started = time.perf_counter()
        for event in narrated(evaluation.execute_logged(stop), "sub-networks"):
            if isinstance(event, SubnetEvaluated):
                codes.add(event.code)
            elif isinstance(event, RankSoFar):
                rank = event
            elif isinstance(event, EvaluationFinished):
                subnets = event.subnets
        seconds = time.perf_counter() - started
        top = evaluation.top
        report = _report(evaluation.job if top is None else top.job, codes, seconds, subnets=subnets, rank=rank)
        return report if top is None or not group.is_first else report | top.report(seconds)


def _report(job: "ScoringJob", codes: set[str], seconds: float, *, subnets: int, rank: "RankSoFar | None") -> dict[str, Any]:
    """The document of `--json`; `codes` were scored just now, in `seconds`, `subnets` have a prediction."""
    scored = [architecture for architecture in job.pool.architectures if architecture.code in codes]
    evaluator = job.evaluator
    budget = job.budget()
    agreement = (
        {}
        if budget is None
        else {
            "standard_error": budget.standard_error,
            "expected_pearson": budget.pearson,
            "expected_kendall": budget.kendall,
        }
    )
    return {
        **agreement,
        "subnets": subnets,
        "pool_subnets": len(job.pool),
        "scored_now": len(scored),
        "images": evaluator.seen.val_size,
        "calibration_images": evaluator.calibration_images,
        "seconds": seconds,
        "images_per_second": len(scored) * evaluator.images_per_subnet / seconds,
        "idle_share": evaluator.waited / seconds,
        "macs_one_by_one": job.macs_one_by_one(job.pool.architectures),
        "macs_done": job.macs_done(scored),
        "processes": job.group.size,
        "precision": evaluator.precision,
        "rank_so_far": rank and {"n": rank.n, "pearson": rank.pearson, "kendall": rank.kendall},
        "predictions": str(job.predictions),
    }
