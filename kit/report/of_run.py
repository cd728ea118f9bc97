"""The report of a run: how it ranks, what it errs by, how it trained, what it cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.correlation import MIN_ARCHITECTURES, rank_correlation
from kit.errors import InputError
from kit.figures.rank_plots import interval_plot, residual_plot
from kit.figures.run_plots import accuracy_plot, cost_plot, held_out_plot, loss_plot, truth_plot
from kit.rank_report import RankReport
from kit.ranking.joining import join
from kit.ranking.opponents import SUPERNET, label_of
from kit.ranking.words import ENOUGH, HEADER, describe, table
from kit.recipe import Profile
from kit.report.page import Page, Picture, Section, Table
from kit.report.standing import read_whole, standing
from kit.run_dir import RunDirectory
from kit.search_space import STAGES
from kit.watch.convergence import REASONS, held_out_losses, phase_checks, warning
from kit.watch.pool_rows import PoolRows
from kit.watch.run_files import PoolReader, PoolView
from kit.watch.run_state import RunState
from kit.watch.run_summary import read_settings
from kit.watch.text import duration

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Run:
    """What is known of a run."""

    run: RunDirectory
    state: RunState
    view: PoolView
    profile: Profile
    opponents: Mapping[str, Mapping[str, float]]


def report_of_run(
    run: RunDirectory, opponents: Mapping[str, Mapping[str, float]] | None = None, latency: Path | None = None
) -> Page:
    """What there is to tell of a run now, beside further opponents by code, and how long its architectures take by a table.

    Raises `KitError` for a run that is damaged.
    """
    view = PoolReader(run, latency=latency).read()
    if view.error is not None:
        raise view.error
    assert view.profile is not None
    named = dict(opponents or {})
    if view.rows is not None and view.rows.has_latency:
        named["latency"] = dict(zip(view.rows.codes, view.rows.numbers("latency").tolist(), strict=True))
    about = _Run(run, read_whole(run), view, view.profile, named)
    settings = read_settings(run)
    sections = [*_ranking(about), *_scores(about), *_training(about), *_convergence(about)]
    data = {} if view.rows is None else {"architectures": list(_architectures(view.rows))}
    return Page(title=f"{settings.recipe} on {settings.profile}", facts=_facts(about), sections=sections, data=data)


def _facts(about: _Run) -> dict[str, str]:
    state, training = about.state, about.profile.training
    facts = standing(about.run, state)
    if state.seed is not None:
        facts["seed"] = str(state.seed)
    if state.phases:
        images = state.passes_done * training.batch_size
        facts["sub-network passes"] = f"{state.passes_done:,} of {training.batch_size:,} images each: {images:,} images"
    return facts | {"time": duration(state.elapsed)}


def _ranking(about: _Run) -> Iterator[Section]:
    view, rows = about.view, about.view.rows
    if rows is None or view.truth is None:
        why = view.truth_problem or view.no_truth or "nothing is scored yet"
        yield Section(title="How it ranks", words=[f"It was not ranked: {why}."])
        return
    known = np.flatnonzero(np.isfinite(rows.numbers("acc")) & np.isfinite(rows.numbers("true")))
    if len(known) < ENOUGH:
        few = f"{len(known)} scored architectures are in the truth {view.truth.name}: "
        few += f"with fewer than {ENOUGH} nothing can be said."
        yield Section(title="How it ranks", words=[few])
        return
    both = rows.take(known.tolist())
    scores = dict(zip(both.codes, both.numbers("acc").tolist(), strict=True))
    try:
        report = join(scores, view.truth.truth).rank(about.profile.scale, opponents=about.opponents)
    except InputError as error:
        yield Section(title="How it ranks", words=[f"It cannot be ranked: {error}."])
        return
    yield Section(
        title="How it ranks",
        words=[f"Truth: {view.truth.name}.", *describe(report).split("\n")],
        table=Table(header=HEADER, rows=table(report), numbers=range(1, len(HEADER))),
        pictures=list(_rank_pictures(both, report)),
    )
    yield _errors(both, about.profile)


def _rank_pictures(both: PoolRows, report: RankReport) -> Iterator[Picture]:
    predicted, true = (both.numbers(name).tolist() for name in ("acc", "true"))
    caption = "A dot is an architecture: how accurate it was when trained alone, and with the supernet's weights."
    yield Picture(name="predicted-true", plot=truth_plot(predicted, true, report.predictions), caption=caption)
    others = {label_of(name): each.pearson for name, each in report.opponents.items() if each}
    ceiling = {} if report.accuracy_reliability is None else {"ceiling": report.accuracy_reliability.ceiling}
    plot = interval_plot(
        "Agreement with the truth", "Pearson r, 95 % interval", {SUPERNET: report.predictions.pearson}, others=others,
        lines=ceiling,
    )  # fmt: skip
    caption = (
        "The supernet and the rankings that need none. The ceiling is what perfect predictions can be expected to reach."
    )
    yield Picture(name="agreement", plot=plot, caption=caption)


def _errors(both: PoolRows, profile: Profile) -> Section:
    predicted, true = (_standard(both.numbers(name)) for name in ("acc", "true"))
    residuals = predicted - true
    stages = [profile.search_space.parse(code).stages for code in both.codes]
    widths = np.array([[stage.out_channels for stage in each] for each in stages], dtype=np.float64)
    relative = (widths / np.array(profile.network.base_channels)).mean(axis=1)
    quantities = {f"depth {stage + 1}": both.depths()[:, stage].astype(np.float64) for stage in range(STAGES)}
    quantities |= {f"width {stage + 1}": widths[:, stage] for stage in range(STAGES)}
    found = {
        name: rank_correlation(values, residuals, details=False).predictions.pearson
        for name, values in quantities.items()
        if np.ptp(values) > 0 and np.ptp(residuals) > 0
    }
    pictures = [
        Picture(
            name="errors-by-depth",
            plot=residual_plot("blocks", both.numbers("depth").tolist(), residuals.tolist()),
            caption="Above the line: ranked too high.",
        ),
        Picture(
            name="errors-by-width",
            plot=residual_plot("mean width of stages", relative.tolist(), residuals.tolist()),
            caption="Width is the share of a stage's full output width, the mean over stages.",
        ),
    ]
    if found:
        plot = interval_plot("What the errors go with", "Pearson r with the error, 95 % interval", found)
        caption = "Right of zero: the more of it an architecture has, the more the supernet overrates it."
        pictures.insert(0, Picture(name="errors", plot=plot, caption=caption))
    words = ["The error of an architecture is its predicted minus its true accuracy, each in standard deviations."]
    return Section(title="What it errs by", words=words, pictures=pictures)


def _scores(about: _Run) -> Iterator[Section]:
    rows = about.view.rows
    if rows is None:
        return
    scored = np.flatnonzero(np.isfinite(rows.numbers("acc")))
    if len(scored) < MIN_ARCHITECTURES:
        return
    macs, accuracies = (rows.numbers(name)[scored] for name in ("macs", "acc"))
    plot = accuracy_plot(macs.astype(np.int64).tolist(), accuracies.tolist())
    caption = "What the supernet says of every architecture that it scored."
    pictures = [Picture(name="accuracy-macs", plot=plot, caption=caption)]
    if rows.has_latency:
        plot = cost_plot("milliseconds", rows.numbers("latency")[scored].tolist(), accuracies.tolist())
        pictures.append(Picture(name="accuracy-latency", plot=plot, caption=f"{about.view.latency}."))
    yield Section(title="The pool", pictures=pictures)


def _training(about: _Run) -> Iterator[Section]:
    phases = [phase for phase in about.state.phases if phase.steps]
    if not phases:
        return
    header = ("phase", "method", "epochs", "steps", "passes", "loss", "")
    rows = [
        [
            phase.name, phase.method, f"{phase.epochs:,}" if phase.epochs else "", f"{phase.steps:,}",
            f"{phase.passes_done:,}", "" if phase.loss is None else f"{phase.loss:.4f}", phase.status,
        ]
        for phase in phases
    ]  # fmt: skip
    curves = {
        phase.name: [(x / phase.steps, y) for x, y in zip(phase.losses.x, phase.losses.y, strict=True)]
        for phase in phases
        if len(phase.losses)
    }
    pictures = []
    if curves:
        caption = "Mean cross-entropy of a step's paths. A phase that was there already has no curve."
        pictures.append(Picture(name="training-loss", plot=loss_plot(curves), caption=caption))
    yield Section(title="Training", table=Table(header=header, rows=rows, numbers=range(2, 6)), pictures=pictures)


def _convergence(about: _Run) -> Iterator[Section]:
    checks = phase_checks(about.state.validated)
    if not checks:
        return
    header = ("after", "largest", "smallest", "median sampled", "")
    rows = [
        [
            check.phase,
            f"{check.largest.loss:.4f} ({check.largest.accuracy:.4f})",
            f"{check.smallest.loss:.4f} ({check.smallest.accuracy:.4f})",
            f"{check.median_loss:.4f} ({check.median_accuracy:.4f})",
            "largest worse than median" if check.largest_is_worse else "",
        ]
        for check in checks
    ]
    words = [
        "Loss (and accuracy) of sub-networks of each phase's space on validation images, BN calibrated, when the phase was "
        "done: the largest, the smallest, the median of those that were sampled. While these still fall, training longer "
        "helps."
    ]
    doubt = warning(checks)
    words += [f"{doubt[0].upper()}{doubt[1:]}. {REASONS}"] if doubt else []
    curves = {
        name: [(float(place), loss) for place, loss in enumerate(losses, 1)]
        for name, losses in held_out_losses(checks).items()
    }
    plot = held_out_plot([check.phase for check in checks], curves)
    picture = Picture(name="held-out-loss", plot=plot, caption="A point for each phase, in their order.")
    table = Table(header=header, rows=rows, numbers=range(1, 4))
    yield Section(title="Has it converged?", words=words, table=table, pictures=[picture] if len(checks) > 1 else [])


def _architectures(rows: PoolRows) -> Iterator[dict[str, object]]:
    names = ("acc", "true", "macs", "params", "depth", *["latency"] * rows.has_latency)
    columns = {name: rows.numbers(name).tolist() for name in names}
    for place, code in enumerate(rows.codes):
        known = {name: value if (value := columns[name][place]) == value else "" for name in names}
        yield {"code": code, **known}


def _standard(values: Floats) -> Floats:
    deviations: Floats = values - values.mean()
    return deviations / (float(values.std()) or 1.0)
