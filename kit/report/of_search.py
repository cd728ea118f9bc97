"""The report of a search: what it found, whether evolution earned its place, what its best are worth when trained alone."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.costs import costs, pool_costs
from kit.figures.run_plots import accuracy_plot, curve_plot
from kit.files import read_json
from kit.recipe import Profile
from kit.report.page import Page, Picture, Section, Table
from kit.report.standing import how_far, read_whole, standing
from kit.run_dir import DEFAULT_RUNS, RunDirectory
from kit.watch.run_files import read_settings
from kit.watch.run_state import PhaseState, RunState
from kit.watch.search_view import Found, SearchResult, SearchView, Way, read_result, read_search
from kit.watch.text import duration, short_number, shown_path
from kit.watch.trainings import INHERITED, SCRATCH, TrainedCode, mean_accuracy, trained_in

WAYS = {"evolution": "evolution", "random": "random search"}
"""Phases of a search, and what they are called."""
SEEDS = 4
"""Trainings that the report advises."""
FLATTERED = (
    "Accuracies are those with the supernet's weights, on the images that chose them: the best of many is flattered, and a "
    "predicted accuracy is not a stand-alone one."
)


@dataclass(frozen=True)
class _Search:
    """What is known of a search; `best` is by way, `result` None before its end."""

    run: RunDirectory
    state: RunState
    view: SearchView
    profile: Profile
    resolved: dict[str, Any]
    result: SearchResult | None
    best: dict[str, Found]
    trained: tuple[TrainedCode, ...]

    @property
    def supernet(self) -> Path:
        """The directory of the run whose supernet scores."""
        return Path(str(self.resolved["inputs"].get("run", "")))

    def way(self, name: str) -> Way | None:
        return None if self.result is None else {"evolution": self.result, "random": self.result.random}[name]

    @property
    def codes(self) -> dict[str, str]:
        """The codes of the best, and whose they are."""
        codes: dict[str, str] = {}
        for name, found in self.best.items():
            codes[found.code] = f"{codes[found.code]} and {WAYS[name]}" if found.code in codes else WAYS[name]
        return codes


def report_of_search(run: RunDirectory, runs: Path) -> Page:
    """What a search found so far. Trainings of its best are looked for in `runs` and beside it.

    Raises `KitError` for a search that is damaged.
    """
    about = _read(run, runs)
    sections = [_found(about), *_alone(about), *_front(about), *_cost(about)]
    return Page(
        title=f"Search of {about.supernet.name} on {about.profile.name}",
        facts=_facts(about),
        sections=sections,
        data={"architectures": list(_architectures(about)), "best-so-far": list(_best_so_far(about.state))},
    )


def _read(run: RunDirectory, runs: Path) -> _Search:
    resolved = read_json(run.resolved, inputs=dict, evaluations=int, population=int, sample=int, seed=int)
    state, view, profile, result = read_whole(run), read_search(run), read_settings(run).profile, read_result(run)
    if result is not None:
        best = {"evolution": result.best, "random": result.random.best}
    else:
        best = {each.name: _priced(*each.best, profile) for each in state.phases if each.name in WAYS and each.best}
    data = str(resolved["inputs"].get("data", ""))
    trained = tuple(
        each
        for each in trained_in([run.path.parent, runs], {found.code for found in best.values()})
        # Accuracies are compared where networks and images are the same.
        if (each.profile.scale, each.profile.images, each.data) == (profile.scale, profile.images, data)
    )
    return _Search(run, state, view, profile, resolved, result, best, trained)


def _priced(code: str, accuracy: float, profile: Profile) -> Found:
    cost = costs(profile.search_space.parse(code), profile.scale)
    return Found(code=code, accuracy=accuracy, macs=cost.macs, params=cost.params)


def _facts(about: _Search) -> dict[str, str]:
    settings, result = about.resolved, about.result
    facts = {
        **standing(about.run, about.state),
        "supernet": about.supernet.name,
        "limits": ", ".join(about.view.limits_in_words) or "none",
        "seed": str(settings["seed"]),
        "evolution": f"of a population of {settings['population']:,} the best of {settings['sample']:,} has a child",
        "budget": f"{settings['evaluations']:,} evaluations each, of evolution and of random search",
        "architectures scored": f"{about.view.scored:,}"
        + f", on {about.view.images:,} images each" * bool(about.view.images),
    }
    if result is not None and result.latency:
        facts["milliseconds"] = result.latency
    return facts | {"time": duration(about.state.elapsed)}


def _found(about: _Search) -> Section:
    timed = any(found.latency_ms is not None for found in about.best.values())
    header = ("best of", "accuracy", "multiply-adds", "parameters", *["ms"] * timed, "code")
    rows = [
        [WAYS[name], *_figures(found), *[_milliseconds(found)] * timed, found.code] for name, found in about.best.items()
    ]
    curves = {WAYS[phase.name]: [points] for phase in about.state.phases if (points := _points(phase))}
    pictures = []
    if curves:
        plot = curve_plot("Best so far", "evaluations", "best predicted top-1 accuracy", curves)
        pictures.append(Picture(name="best-so-far", plot=plot, caption="Both ways have the same budget, limits and seed."))
    words = [*how_far(about.state), *_verdict(about), *[FLATTERED] * bool(about.best)]
    table = Table(header=header, rows=rows, numbers=range(1, 4 + timed)) if rows else None
    return Section(title="What it found", words=words, table=table, pictures=pictures)


def _figures(found: Found) -> tuple[str, str, str]:
    return f"{found.accuracy:.4f}", f"{found.macs:,}", f"{found.params:,}"


def _milliseconds(found: Found | None) -> str:
    return "" if found is None or found.latency_ms is None else f"{found.latency_ms:.3f}"


def _verdict(about: _Search) -> Iterator[str]:
    """Whether evolution's best is above random search's, and what chance alone would do."""
    result, images = about.result, about.view.images
    if result is None or not images:
        return
    one, other = result.best.accuracy, result.random.best.accuracy
    more = round((one - other) * images)
    is_what = "above" if more > 0 else "below" if more < 0 else "not above"
    difference = f"{abs(more):,} {'more' if more > 0 else 'fewer'} of {images:,} images right" if more else "as many right"
    yield (
        f"Evolution's best is {is_what} random search's: {one:.4f} against {other:.4f} ({difference}), at "
        f"{short_number(result.best.macs)} and {short_number(result.random.best.macs)} multiply-adds. Both had "
        f"{result.evaluated:,} evaluations, the same limits and one seed."
    )
    if error := ((one * (1 - one) + other * (1 - other)) / images) ** 0.5:
        yield f"With {images:,} other images such a difference would move by {error:.4f} (standard error)."


def _cost(about: _Search) -> Iterator[Section]:
    """What the evaluations took; counted when the search is done."""
    ways = {name: way for name in WAYS if (way := about.way(name)) is not None}
    if not ways:
        return
    rows = [
        [
            WAYS[name], f"{way.evaluated:,}", f"{way.distinct:,}", short_number(way.macs_done),
            short_number(way.macs_one_by_one), f"{way.macs_one_by_one / max(1, way.macs_done):.2f}",
        ]
        for name, way in ways.items()
    ]  # fmt: skip
    header = ("", "evaluations", "architectures", "multiply-adds done", "one by one", "times fewer")
    words = (
        "Architectures are scored as trees: what they have in common is computed once. What both ways asked for is counted "
        "with evolution, which went first."
    )
    table = Table(header=header, rows=rows, numbers=range(1, len(header)))
    yield Section(title="What it cost", words=[words], table=table)


def _front(about: _Search) -> Iterator[Section]:
    view = about.view
    if not view.front:
        return
    ways = {name: way for name in WAYS if (way := about.way(name)) is not None}
    known = {found.code: found for way in ways.values() for found in way.pareto}
    timed = any(found.latency_ms is not None for found in known.values())
    params = pool_costs([entry.code for entry in view.front], about.profile.scale).params.tolist()
    rows = [
        [
            f"{entry.accuracy:.4f}", f"{entry.macs:,}", f"{parameters:,}",
            *[_milliseconds(known.get(entry.code))] * timed, _finders(ways, entry.macs, entry.accuracy), entry.code,
        ]
        for entry, parameters in zip(view.front, params, strict=True)
    ]  # fmt: skip
    header = ("accuracy", "multiply-adds", "parameters", *["ms"] * timed, "found by", "code")
    plot = accuracy_plot([entry.macs for entry in view.entries], [entry.accuracy for entry in view.entries])
    caption = "Everything that evolution and random search scored. Nothing is above the line at as few multiply-adds."
    yield Section(
        title="Accuracy against multiply-adds",
        words=["The Pareto front of both ways together, the most accurate first."],
        table=Table(header=header, rows=rows, numbers=range(3 + timed)),
        pictures=[Picture(name="accuracy-macs", plot=plot, caption=caption)],
    )


def _finders(ways: dict[str, Way], macs: int, accuracy: float) -> str:
    found = [WAYS[name] for name, way in ways.items() if any((e.macs, e.accuracy) == (macs, accuracy) for e in way.pareto)]
    return " and ".join(found)


def _alone(about: _Search) -> Iterator[Section]:
    if not about.best:
        return
    header = ("best of", "weights", "accuracy", "standard error", "seeds", "epochs", "supernet's accuracy", "training")
    rows = []
    predicted = {found.code: found.accuracy for found in about.best.values()}
    for code, whose in about.codes.items():
        for trained in (each for each in about.trained if each.code == code):
            for start in (SCRATCH, INHERITED):
                if finished := trained.of(start):
                    mean, error = mean_accuracy(finished)
                    rows.append([
                        whose, trained.begun(start), f"{mean:.4f}", "" if error is None else f"{error:.4f}",
                        str(len(finished)), str(trained.profile.truth.epochs), f"{predicted[code]:.4f}", trained.run.id,
                    ])  # fmt: skip
    known = {trained.code for trained in about.trained}
    words = [
        f"The best of {whose} was not trained alone: nothing here says what it is worth by itself. This trains it, "
        f"from scratch and from the supernet's weights: {_command(about, code, whose)}"
        for code, whose in about.codes.items()
        if code not in known
    ]
    if rows:
        words.insert(0, "Accuracy is the mean over seeds of stand-alone trainings, on the same images.")
    table = Table(header=header, rows=rows, numbers=range(2, 7)) if rows else None
    yield Section(title="Trained alone", words=words, table=table)


def _command(about: _Search, code: str, whose: str) -> str:
    """What trains an architecture of this search by itself, in a folder beside it."""
    out = about.run.path.with_name("-".join((about.run.id, "alone", *whose.split())))
    words = ["kit", "run", "alone", code, "--inherit", about.supernet.name, "--seeds", str(SEEDS), "--out", shown_path(out)]
    folder = shown_path(about.supernet.parent)
    return shlex.join(words if folder == str(DEFAULT_RUNS) else [*words, "--runs", folder])


def _architectures(about: _Search) -> Iterator[dict[str, object]]:
    entries = about.view.entries
    cost = pool_costs([entry.code for entry in entries], about.profile.scale) if entries else None
    front = {entry.code for entry in about.view.front}
    for place, entry in enumerate(entries):
        assert cost is not None
        yield {
            "code": entry.code,
            "acc": entry.accuracy,
            "macs": entry.macs,
            "params": int(cost.params[place]),
            "depth": int(cost.depth[place]),
            "front": int(entry.code in front),
        }


def _best_so_far(state: RunState) -> Iterator[dict[str, object]]:
    for phase in state.phases:
        for evaluations, accuracy in _points(phase):
            yield {"by": WAYS[phase.name], "evaluations": evaluations, "accuracy": accuracy}


def _points(phase: PhaseState) -> list[tuple[float, float]]:
    return list(zip(phase.found.x, phase.found.y, strict=True)) if phase.name in WAYS else []
