"""A method that only the tests know, through the command line: planned, trained, stopped in the middle, continued."""

import shutil
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
from event_logs import read_events
from safetensors import safe_open
from safetensors.numpy import load_file

from kit.costs import costs
from kit.errors import StorageError
from kit.events import PhaseStarted, RunStarted, StepDone
from kit.methods import METHODS, Method, Path, Phase, Sampler
from kit.randomness import derive_random

RECIPE = """
name = "small"
title = "a method from outside the table"

[[phases]]
name = "mixed"
method = "mixed"
epochs = 4
learning_rate = 0.02
"""
STEPS = 8


class MixedPhase(Phase):
    method: Literal["mixed"]
    smoothing: float = 0.1

    @property
    def paths_per_step(self) -> float:
        return 2.75


@dataclass(frozen=True)
class Slower:
    """Less weight the more the other path's loss lies above."""

    given: tuple[int, ...]

    def __call__(self, own: Any, other: Any) -> Any:
        return own / (own + other)


class TogetherPhase(Phase):
    method: Literal["together"]

    together = True

    @property
    def paths_per_step(self) -> int:
        return 3


class TogetherSampler(Sampler[TogetherPhase]):
    """One path a step in every cell; the later ones learn from the first, which another sub-supernet computes."""

    def paths(self, step: int) -> list[Path]:
        rngs = (derive_random(self.scope.seed, self.settings.name, step, cell) for cell in range(3))
        first, *others = (cell.sample(rng) for cell, rng in zip(self.scope.cells, rngs, strict=True))
        return [Path(first), *(Path(each, 0.5, 0.5, source=0) for each in others)]


class MixedSampler(Sampler[MixedPhase]):
    """Two paths a step, every second step four, of which one only goes forward; rate and momentum by kind of step."""

    stop_at: ClassVar[int | None] = None

    def paths(self, step: int) -> list[Path]:
        if step == MixedSampler.stop_at:
            MixedSampler.stop_at = None
            raise StorageError("the power is gone")
        space = self.scope.space
        first, second = (space.sample(derive_random(self.scope.seed, self.settings.name, step, i)) for i in range(2))
        paths = [Path(space.smallest, 0.0, 1.0, source=1), Path(space.largest, smoothing=self.settings.smoothing)]
        return paths if step % 2 == 0 else [*paths, Path(first, trained=False), Path(second, factor=Slower((2,)))]

    def learning_rate(self, step: int, first: float) -> float:
        assert self.steps == STEPS and costs(self.scope.space.largest, self.scope.scale).macs > 0
        return first * (1 - step / STEPS) ** (1 + step % 2)

    def momentum_group(self, step: int) -> str:
        return ("even", "odd")[step % 2]


@pytest.fixture(autouse=True)
def in_the_table(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    for name in ("Mixed", "Together"):
        monkeypatch.setitem(METHODS, name.lower(), Method(f"{__name__}:{name}Phase", f"{__name__}:{name}Sampler"))
    small.recipe.write_text(RECIPE)


def test_it_is_planned_and_its_passes_are_counted(small: Any, kit: Any) -> None:
    plan = kit(*small.arguments("--dry-run", "--json")).json
    assert [(phase["method"], phase["paths_per_step"], phase["passes"]) for phase in plan["phases"]] == [("mixed", 2.75, 22)]
    done = kit(*small.arguments("--json"))
    assert done.code == 0 and done.json["passes"] == done.json["passes_done"] == 22
    assert [event.passes for event in small.events if isinstance(event, RunStarted)] == [22]
    steps = [event for event in small.events if isinstance(event, StepDone)]
    assert [len(event.codes) for event in steps] == [2, 4] * 4 and all(len(e.losses) == len(e.codes) for e in steps)
    assert [event.learning_rate for event in steps] == [
        pytest.approx(steps[0].learning_rate * (1 - step / STEPS) ** (1 + step % 2)) for step in range(STEPS)
    ]


@pytest.mark.parametrize("stop_at", [3, 4])
def test_it_goes_on_bit_for_bit_after_a_stop(small: Any, kit: Any, tmp_path: Any, stop_at: int) -> None:
    undisturbed = tmp_path / "undisturbed"
    assert kit(*small.arguments(runs=undisturbed)).code == 0
    MixedSampler.stop_at = stop_at
    assert kit(*small.arguments()).code == 3
    assert kit(*small.arguments()).code == 0
    steps = [event.step for event in small.events if isinstance(event, StepDone)]
    assert steps == list(range(STEPS))
    assert small.results() == small.results(undisturbed / "small-tiny-s0")


def test_both_steps_train_it_to_almost_the_same(small: Any, kit: Any, tmp_path: Any) -> None:
    losses = []
    for step in ("separate", "shared"):
        runs = tmp_path / step
        assert kit(*small.arguments("--set", f"profile.training.step={step}", runs=runs)).code == 0
        [log] = runs.glob("small-*/events.jsonl")
        losses.append([event.losses for event in read_events(log) if isinstance(event, StepDone)])
    for separate, shared in zip(*losses, strict=True):
        assert shared == pytest.approx(separate, rel=1e-2)


TOGETHER = """
name = "small"
title = "all sub-supernets in one step"

[partition]
by = "total-depth"
stages = [3, 4]
cells = [["4", "5"], ["6", "7", "8"]]
rest = true

[[phases]]
name = "pretrain"
method = "pretrain"
epochs = 1
learning_rate = 0.02

[[phases]]
name = "first"
method = "together"
epochs = 2
learning_rate = 0.02

[[phases]]
name = "second"
method = "together"
epochs = 1
learning_rate = 0.02
"""
BY_WIDTH = """
name = "small"
title = "splits of splits"

[partition]
by = "width"
stages = [4]
cells = [["1", "2"], ["3", "4"]]
rest = true

[[phases]]
name = "all"
method = "uniform"
paths = 1
epochs = 1
learning_rate = 0.02

[[phases]]
name = "narrow"
method = "uniform"
cell = [1, 2]
paths = 1
epochs = 1
learning_rate = 0.02

[[phases]]
name = "narrowest"
method = "uniform"
cell = 2
paths = 1
epochs = 1
learning_rate = 0.02
"""


def members(run: Any) -> list[Any]:
    """The same weight of every sub-supernet."""
    with safe_open(run / "weights" / "supernet.safetensors", "np") as file:
        return [file.get_tensor(f"members.{member}.layer1.0.conv1.weight") for member in range(3)]


def test_sub_supernets_may_be_trained_in_one_step(small: Any, kit: Any, tmp_path: Any) -> None:
    small.recipe.write_text(TOGETHER)
    undisturbed = tmp_path / "undisturbed"
    assert kit(*small.arguments(runs=undisturbed)).code == 0
    first, second, third = members(undisturbed / "small-tiny-s0")
    assert (first != second).any() and (second != third).any() and (first != third).any()
    small.recipe.write_text(TOGETHER.partition('[[phases]]\nname = "second"')[0])
    assert kit(*small.arguments()).code == 0
    half = members(small.run)
    small.recipe.write_text(TOGETHER)
    again = tmp_path / "again"
    shutil.copytree(small.runs / "phases", again / "phases")
    assert kit(*small.arguments(runs=again)).code == 0
    assert small.results(again / "small-tiny-s0") == small.results(undisturbed / "small-tiny-s0")
    assert all((one != other).any() for one, other in zip(half, members(again / "small-tiny-s0"), strict=True))


def test_a_sub_supernet_of_several_cells_is_split_further(small: Any, kit: Any) -> None:
    small.recipe.write_text(BY_WIDTH)
    plan = kit(*small.arguments("--dry-run", "--json")).json
    assert [(phase["name"], phase["parent"]) for phase in plan["phases"]] == [
        ("all", ""), ("narrow", "all"), ("narrowest", "narrow"),
    ]  # fmt: skip
    assert kit(*small.arguments()).code == 0
    started = {event.phase: event for event in small.events if isinstance(event, PhaseStarted)}
    weights = {name: load_file(small.runs / "phases" / event.key / "weights.safetensors") for name, event in started.items()}
    for member, name in zip(members(small.run), ("all", "narrow", "narrowest"), strict=True):
        assert (member == weights[name]["layer1.0.conv1.weight"]).all()
    codes = {event.phase: event.codes for event in small.events if isinstance(event, StepDone)}
    assert codes["narrow"][0][43] in "34567" and codes["narrowest"][0][43] in "567"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cell = 2", "cell = [0, 2]", "phase narrowest joins cells (0, 2) that earlier phases have trained apart"),
        ("cell = 2", "cell = 3", "there is no cell 3"),
        ("cell = 2", "cell = []", "phases.narrowest.cell"),
        ('method = "uniform"\ncell = 2\npaths = 1', 'method = "together"', "together or one by one"),
    ],
)
def test_cells_that_do_not_fit_are_refused(small: Any, kit: Any, old: str, new: str, expected: str) -> None:
    small.recipe.write_text(BY_WIDTH.replace(old, new))
    refused = kit("recipes", "validate", str(small.recipe))
    assert refused.code == 2 and expected in refused.err


def test_its_settings_are_checked_as_any_others(small: Any, kit: Any) -> None:
    for old, new, expected in (
        ("epochs = 4", "epochs = 4\nsmoothin = 0.2", "phases.mixed.smoothin: unknown key (did you mean 'smoothing'?)"),
        ('method = "mixed"', 'method = "mixd"', "phases.mixed.method: there is no such method (did you mean 'mixed'?"),
    ):
        small.recipe.write_text(RECIPE.replace(old, new))
        refused = kit("recipes", "validate", str(small.recipe))
        assert refused.code == 2 and expected in refused.err
