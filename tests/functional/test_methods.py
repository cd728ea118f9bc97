"""A method that only the tests know, through the command line: planned, trained, stopped in the middle, continued."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest

from kit.errors import StorageError
from kit.events import RunStarted, StepDone, read_events
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
        return first * (1 - step / STEPS) ** (1 + step % 2)

    def momentum_group(self, step: int) -> str:
        return ("even", "odd")[step % 2]


@pytest.fixture(autouse=True)
def in_the_table(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    monkeypatch.setitem(METHODS, "mixed", Method(f"{__name__}:MixedPhase", f"{__name__}:MixedSampler"))
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


def test_its_settings_are_checked_as_any_others(small: Any, kit: Any) -> None:
    for old, new, expected in (
        ("epochs = 4", "epochs = 4\nsmoothin = 0.2", "phases.mixed.smoothin: unknown key (did you mean 'smoothing'?)"),
        ('method = "mixed"', 'method = "mixd"', "phases.mixed.method: there is no such method (did you mean 'mixed'?"),
    ):
        small.recipe.write_text(RECIPE.replace(old, new))
        refused = kit("recipes", "validate", str(small.recipe))
        assert refused.code == 2 and expected in refused.err
