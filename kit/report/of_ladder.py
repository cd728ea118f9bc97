"""The report of a ladder: which recipe ranks how well, what each step of the ladder adds, and what nobody can say."""

from collections.abc import Iterator, Mapping
from typing import Any

from kit.figures.rank_plots import interval_plot
from kit.ladder_files import read_ladder
from kit.ladder_report import LadderReport, RowRank
from kit.rank_report import Interval
from kit.ranking.opponents import label_of
from kit.ranking.words import LADDER_HEADER, describe_ladder, ladder_table
from kit.report.page import Page, Picture, Section, Table
from kit.run_dir import RunDirectory

TOP_HEADER = (
    "recipe",
    "chosen",
    "among the best as many",
    "true rank of the best",
    "of the worst",
    "accuracy lost",
    "tau among them",
)


def report_of_ladder(run: RunDirectory) -> Page:
    """The report of what a ladder measured last. Raises `KitError` where it measured nothing yet."""
    report = read_ladder(run.ladder)
    ranked = {row.recipe: row.rank for row in report.rows if row.rank is not None}
    facts = {
        "profile": report.profile,
        "truth": report.truth,
        "architectures": f"{report.n}: {report.chosen or 'not said how chosen'}",
    }
    if report.reliability_interval is not None:
        facts["reliability of the truth"] = f"{report.reliability_interval:.3f}"
    sections = [
        Section(
            title="Which recipe ranks best",
            words=describe_ladder(report).split("\n"),
            table=Table(header=LADDER_HEADER, rows=ladder_table(report), numbers=range(1, len(LADDER_HEADER))),
            pictures=list(_pictures(report, ranked)),
        ),
        Section(
            title="Choosing by it",
            words=["Of the architectures that a recipe predicts best; means over its supernets."],
            table=Table(header=TOP_HEADER, rows=list(_tops(ranked)), numbers=range(1, len(TOP_HEADER))),
        ),
    ]
    return Page(title=f"Ladder on {report.profile}", facts=facts, sections=sections, data={"ladder": list(_flat(report))})


def _pictures(report: LadderReport, ranked: Mapping[str, RowRank]) -> Iterator[Picture]:
    if not ranked:
        return
    others = {label_of(name): each.pearson for name, each in report.opponents.items()}
    lines = {} if report.ceiling is None else {"ceiling": report.ceiling}
    if report.single_training is not None:
        lines["one training alone"] = report.single_training.pearson
    own = {name: rank.predictions.pearson for name, rank in ranked.items()}
    yield Picture(
        name="pearson",
        plot=interval_plot("Agreement with the truth", "Pearson r, 95 % interval", own, others=others, lines=lines),
        caption="Blue: recipes; grey: rankings that need no supernet. Vertical lines: what perfect predictions, and one "
        "stand-alone training of each architecture, can be expected to reach.",
    )
    partial = {name: rank.partial.pearson for name, rank in ranked.items() if rank.partial is not None}
    if partial:
        yield Picture(
            name="partial",
            plot=interval_plot("What a supernet adds to counting", "partial Pearson r, 95 % interval", partial),
            caption="Correlation with the truth once log multiply-adds and log parameters are regressed out of both sides.",
        )
    for name, title, differences in (
        ("minus-macs", "Recipe minus multiply-adds", {n: r.versus_macs for n, r in ranked.items()}),
        ("minus-previous", "Recipe minus the one above it", {n: r.versus_previous for n, r in ranked.items()}),
    ):
        known: dict[str, Interval] = {n: each.pearson_difference for n, each in differences.items() if each is not None}
        if known:
            plot = interval_plot(title, "difference of Pearson r, 95 % interval", known)
            yield Picture(name=name, plot=plot, caption="On the same resamples of architectures and supernets.")
    paper = {row.recipe: row for row in report.rows if row.paper is not None and row.rank is not None}
    if paper:
        figures = {name: row.rank.predictions.pearson for name, row in paper.items() if row.rank is not None}
        theirs = {f"{name}, paper": Interval(row.paper, row.paper, row.paper) for name, row in paper.items() if row.paper}
        yield Picture(
            name="paper",
            plot=interval_plot("The paper's rows", "Pearson r", figures, others=theirs),
            caption="Blue: here, with intervals. Grey: the paper's figures, on ImageNet and a truth of its own, one run "
            "each, without intervals: what can be compared is the order.",
        )


def _tops(ranked: Mapping[str, RowRank]) -> Iterator[list[str]]:
    for name, rank in ranked.items():
        for top in rank.top:
            yield [
                name, f"{top.k:.0f}", f"{top.precision:.0%}", f"{top.best_rank:.1f}", f"{top.worst_rank:.1f}",
                f"{top.regret:.4f}", "" if top.kendall is None else f"{top.kendall:+.3f}",
            ]  # fmt: skip


def _flat(report: LadderReport) -> Iterator[dict[str, Any]]:
    """A row of numbers for each recipe, in full precision."""
    for row in report.rows:
        flat: dict[str, Any] = {"recipe": row.recipe, "seeds": row.seeds, "passes": row.passes, "images": row.images}
        flat |= {"seconds": row.seconds, "paper": row.paper, "error": row.error or ""}
        rank = row.rank
        found: dict[Any, Interval | None] = dict.fromkeys(
            ("pearson", "kendall", "spearman", "minus_macs", "minus_previous", "partial")
        )
        if rank is not None:
            found.update(rank.predictions.figures)
            for name, versus in (("minus_macs", rank.versus_macs), ("minus_previous", rank.versus_previous)):
                found[name] = None if versus is None else versus.pearson_difference
            found["partial"] = None if rank.partial is None else rank.partial.pearson
        for name, each in found.items():
            for part in ("value", "low", "high"):
                flat[f"{name}_{part}"] = "" if each is None else getattr(each, part)
        yield flat
