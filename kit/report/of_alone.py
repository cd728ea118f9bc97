"""The report of an architecture trained by itself: how accurate it became, how fast, and what inheriting weights saves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kit.costs import Costs, costs
from kit.events import Validated
from kit.figures.plot import Point
from kit.figures.run_plots import curve_plot
from kit.plan import BACKWARD_FACTOR
from kit.report.page import Page, Picture, Section, Table
from kit.report.standing import how_far, read_whole, standing
from kit.run_dir import RunDirectory
from kit.watch.run_state import PhaseState, RunState
from kit.watch.text import duration, short_number
from kit.watch.trainings import INHERITED, SCRATCH, TrainedCode, Training, mean_accuracy, read_trained

MOST_ROWS = 12
"""Epochs that the table shows."""
Curves = Mapping[Training, Sequence[Point]]


@dataclass(frozen=True)
class _Alone:
    """What is known of a `kit run alone`."""

    state: RunState
    trained: TrainedCode
    cost: Costs

    @property
    def phases(self) -> dict[Training, PhaseState]:
        """The trainings that the log tells of."""
        found = {Training.of_phase(phase.name): phase for phase in self.state.phases}
        return {training: phase for training, phase in found.items() if training is not None}

    @property
    def epochs(self) -> int:
        return self.trained.profile.truth.epochs

    @property
    def held_out(self) -> dict[Training, dict[float, Validated]]:
        """By epoch, how the trainings of the log did on validation images."""
        found: dict[Training, dict[float, Validated]] = {}
        phases = self.phases
        for event in self.state.validated:
            training = Training.of_phase(event.phase)
            if training in phases and phases[training].steps:
                found.setdefault(training, {})[event.step * self.epochs / phases[training].steps] = event
        return found

    @property
    def accuracies(self) -> dict[Training, list[Point]]:
        """Accuracy by epoch: as a finished training keeps it, of one at work as the log tells it."""
        found = {
            training: [(epoch, event.accuracy) for epoch, event in sorted(events.items())]
            for training, events in self.held_out.items()
        }
        return found | {each.training: [*each.curve] for each in self.trained.finished}


def report_of_alone(run: RunDirectory) -> Page:
    """What the trainings of one architecture have come to. Raises `KitError` where they are damaged."""
    trained = read_trained(run)
    profile = trained.profile
    cost = costs(profile.search_space.parse(trained.code), profile.scale)
    about = _Alone(read_whole(run), trained, cost)
    return Page(
        title=f"One architecture trained alone on {profile.name}",
        facts=_facts(about),
        sections=[_accuracy(about), *_saved(about)],
        data={"epochs": list(_epochs(about))},
    )


def _facts(about: _Alone) -> dict[str, str]:
    state, trained = about.state, about.trained
    settings, phases = trained.profile.truth, about.phases
    begun = " and ".join(trained.begun(start) for start in dict.fromkeys(each.start for each in phases))
    passes = state.passes_done * settings.batch_size
    return {
        **standing(trained.run, state),
        "code": trained.code,
        "multiply-adds": f"{about.cost.macs:,}",
        "parameters": f"{about.cost.params:,}",
        "trainings": f"{len(phases):,}, {begun or 'from scratch'}, of {about.epochs:,} epochs each",
        "steps": f"{state.passes_done:,} of {state.passes:,}, of {settings.batch_size:,} images each",
        "cost": f"{short_number(passes * about.cost.macs * BACKWARD_FACTOR)} multiply-adds, forward and backward",
        "time": duration(state.elapsed),
    }


def _accuracy(about: _Alone) -> Section:
    words = how_far(about.state)
    for start in (INHERITED, SCRATCH):
        if finished := about.trained.of(start):
            mean, error = mean_accuracy(finished)
            spread = "one training" if error is None else f"{len(finished)} trainings, standard error {error:.4f}"
            words.append(f"Trained {about.trained.begun(start)}: accuracy {mean:.4f} ({spread}).")
    words += [] if about.trained.finished else ["No training is finished: there is no accuracy yet."]
    rows = [
        [about.trained.begun(each.start), str(each.seed), f"{each.accuracy:.4f}", f"{each.loss:.4f}"]
        for each in about.trained.finished
    ]
    header = ("weights", "seed", "accuracy", "loss on validation images")
    table = Table(header=header, rows=rows, numbers=range(1, 4)) if rows else None
    return Section(title="How accurate it is", words=words, table=table, pictures=list(_pictures(about)))


def _pictures(about: _Alone) -> Iterator[Picture]:
    steps = {
        training: [(x / phase.steps * about.epochs, y) for x, y in zip(phase.losses.x, phase.losses.y, strict=True)]
        for training, phase in about.phases.items()
        if phase.steps
    }
    losses = {
        training: [(epoch, event.loss) for epoch, event in sorted(events.items())]
        for training, events in about.held_out.items()
    }
    line = "A line for each training."
    there = f"{line} One that was there already when the last one began has none."
    for name, title, label, curves, caption in (
        ("held-out-accuracy", "Accuracy on validation images", "top-1 accuracy", about.accuracies, line),
        ("held-out-loss", "Loss on validation images", "mean cross-entropy", losses, there),
        ("training-loss", "Training loss", "mean cross-entropy", steps, there),
    ):
        if groups := _by_start(about.trained, curves):
            yield Picture(name=name, plot=curve_plot(title, "epochs", label, groups), caption=caption)


def _by_start(trained: TrainedCode, curves: Curves) -> dict[str, list[Sequence[Point]]]:
    """Curves of two points and more, those that began alike under one name."""
    groups: dict[str, list[Sequence[Point]]] = {}
    for training, points in curves.items():
        if len(points) > 1:
            groups.setdefault(trained.begun(training.start), []).append(points)
    return groups


def _saved(about: _Alone) -> Iterator[Section]:
    """Both ways beside each other, once each has a finished training."""
    ways = {start: _means(about.trained, start) for start in (INHERITED, SCRATCH)}
    if not all(ways.values()):
        return
    inherited, scratch = ways[INHERITED], ways[SCRATCH]
    last = max(scratch)
    first = min((epoch for epoch, accuracy in inherited.items() if accuracy >= scratch[last]), default=None)
    begun = about.trained.begun(INHERITED)
    reached = f"the {scratch[last]:.4f} that training from scratch has after {last} epochs"
    words = (
        f"Trained {begun} it does not reach {reached}."
        if first is None
        else f"Trained {begun} it has {reached} after {first}: inheriting saves {last - first} of {last} epochs."
    )
    rows = [
        [
            str(epoch), f"{inherited[epoch]:.4f}",
            *([f"{scratch[epoch]:.4f}", f"{inherited[epoch] - scratch[epoch]:+.4f}"] if epoch in scratch else ["", ""]),
        ]
        for epoch in _spread(sorted(inherited))
    ]  # fmt: skip
    header = ("epochs", begun, about.trained.begun(SCRATCH), "difference")
    table = Table(header=header, rows=rows, numbers=range(4))
    yield Section(title="What inheriting saves", words=[words, "Accuracies are means over seeds."], table=table)


def _means(trained: TrainedCode, start: str) -> dict[int, float]:
    """Mean accuracy over seeds, by epoch."""
    accuracies: dict[int, list[float]] = {}
    for each in trained.of(start):
        for epoch, accuracy in each.curve:
            accuracies.setdefault(epoch, []).append(accuracy)
    return {epoch: fmean(values) for epoch, values in accuracies.items()}


def _spread(epochs: Sequence[int]) -> list[int]:
    """As many of them as a table has room for, with the first and the last."""
    count = min(len(epochs), MOST_ROWS)
    return [epochs[place * (len(epochs) - 1) // max(1, count - 1)] for place in range(count)]


def _epochs(about: _Alone) -> Iterator[dict[str, object]]:
    """A row for each epoch of each training, with a loss where the log has it."""
    events = about.held_out
    for training, points in about.accuracies.items():
        for epoch, accuracy in points:
            event = events.get(training, {}).get(epoch)
            loss = "" if event is None else event.loss
            yield {"weights": training.start, "seed": training.seed, "epoch": epoch, "accuracy": accuracy, "loss": loss}
