"""The rivals' recipes through the command line: planned, trained in all phases, stopped anywhere, continued, packed."""

from typing import Any

import pytest
from event_logs import read_events

from kit.errors import StorageError
from kit.events import StepDone
from kit.methods import Sampler, make_sampler
from kit.pipeline import archive_build
from kit.recipe import load_recipe
from kit.submission import selection

RIVALS = ("ps", "fairnas", "sandwich", "rank-loss", "biased", "bignas-width", "nsas", "efs-nas", "dynas")


@pytest.mark.parametrize("name", RIVALS)
def test_each_goes_on_bit_for_bit_after_a_stop_in_its_last_phase(
    small: Any, kit: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = load_recipe(name)
    # Two epochs of two steps each: enough for momentum, an archive that has changed, and a rate that falls.
    changes = [f"--set=phases.{phase.name}.epochs={2 if phase is recipe.phases[-1] else 1}" for phase in recipe.phases]
    cheap = ("--set=profile.pool.size=6", "--set=profile.calibration.batches=1", "--set=profile.images.validation=20")
    arguments = ["run", "recipe", name, "--profile", str(small.profile), *changes, *cheap]
    if name == "biased":
        arguments.append("--set=phases.biased.draws=20")
    undisturbed = tmp_path / "undisturbed"
    assert kit(*arguments, "--runs", str(undisturbed)).code == 0

    def failing(phase: Any, scope: Any) -> Sampler[Any]:
        sampler = make_sampler(phase, scope)
        if phase.name == recipe.phases[-1].name:
            paths = sampler.paths

            def until_the_third(step: int) -> Any:
                if step == 3:
                    raise StorageError("the power is gone")
                return paths(step)

            sampler.paths = until_the_third  # type: ignore[method-assign]
        return sampler

    with monkeypatch.context() as patch:
        patch.setattr("kit.pipeline.phases.make_sampler", failing)
        assert kit(*arguments, "--runs", str(small.runs)).code == 3
    done = kit(*arguments, "--runs", str(small.runs), "--json")
    assert done.code == 0 and done.json["passes"] == done.json["passes_done"] > 0
    [run], [other] = (list(folder.glob(f"{name}-tiny-s0*")) for folder in (small.runs, undisturbed))
    assert small.results(run) == small.results(other)
    last = [event for event in read_events(run / "events.jsonl") if isinstance(event, StepDone)][-4:]
    assert {event.phase for event in last} == {recipe.phases[-1].name} and [event.step for event in last] == [0, 1, 2, 3]
    archive = tmp_path / "archive.tar"
    monkeypatch.setattr(archive_build, "default_selections", lambda pool: {"smallest": [selection.smallest(pool)]})
    assert kit("submission", "build", run.name, "--runs", str(small.runs), "--out", str(archive)).code == 0
    checked = kit("submission", "check", str(archive), "--skip", "few-accuracies", "--json")
    several = {"several-supernets"} if recipe.partition is not None else set()
    assert {check["id"] for check in checked.json["checks"] if not check["ok"]} == several, checked.json
