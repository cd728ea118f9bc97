"""The plan of a run: a value that says everything about its phases before anything is opened."""

import json
import random
from dataclasses import replace

import pytest

from kit.costs import costs
from kit.plan import START, DataFacts, RunCost, RunPlan
from kit.pool import draw_pool
from kit.recipe import load_profile, load_recipe, recipe_names

DATA = DataFacts(fingerprint="data", train_images=1000, val_images=200, num_classes=10)
MEASURED = {"images": 8.0, "step_seconds": 0.5, "seconds_per_mac": 1e-9}


def plan(recipe: str = "full", *, overrides: tuple[str, ...] = (), **changes: object) -> RunPlan:
    profile = load_profile("nano", overrides)
    settings = {"seed": 0, "weights_given": False, "processes": 1, "data": DATA}
    pool = draw_pool(profile.published_space, 40, 0)
    return RunPlan(recipe=load_recipe(recipe), profile=profile, pool=pool, **(settings | changes))


def walk(planned: RunPlan) -> dict[str, dict]:
    """Each phase's identity, the weights of phase X being called X."""
    weights = {START: None} | {each.name: each.name for each in planned.phases}
    return {each.name: planned.identity(each, weights) for each in planned.phases}


@pytest.mark.parametrize("weights_given", [False, True])
@pytest.mark.parametrize("recipe", recipe_names())
def test_a_phase_goes_on_from_an_earlier_one_and_cells_from_what_they_share(recipe: str, weights_given: bool) -> None:
    planned = plan(recipe, weights_given=weights_given)
    done, shared = [START], (START, 0)
    own: dict[int, tuple[str, int]] = {}
    for each in planned.phases:
        # A sub-supernet that was split before goes on from the last phase that trained its cells, else from what all share.
        begins = own.get(each.phase.cells[0], shared) if each.phase.cells else shared
        assert (each.parent, each.first_epoch) == begins
        assert each.teacher is None or each.teacher in done
        assert each.space.sample(random.Random(0)) in planned.profile.search_space
        ends = (each.name, begins[1] + each.phase.epochs)
        own |= dict.fromkeys(each.phase.cells, ends)
        if each.phase.cell is None:
            shared = ends
        done.append(each.name)
    assert not (weights_given and any(each.phase.pretrains for each in planned.phases))
    assert len(planned.members) == max(1, len(planned.cells))
    assert set(planned.members) <= {shared[0], *(each.name for each in planned.phases if each.phase.cell is not None)}


def test_the_teacher_is_the_pretrained_network_wherever_it_comes_from() -> None:
    taught = [each for each in plan().phases if each.teacher is not None]
    assert {each.teacher for each in taught} == {"pretrain"} and len(taught) == 4
    assert {each.teacher for each in plan(weights_given=True).phases} == {None, START}


def test_cells_that_nothing_trains_keep_the_shared_weights() -> None:
    recipe = load_recipe("full")
    short = recipe.model_copy(update={"phases": tuple(phase for phase in recipe.phases if phase.cell not in (1, 2))})
    assert replace(plan(), recipe=short).members == ("SSE-0", "CPT", "CPT", "SSE-3", "CPT")


def test_an_epoch_is_one_pass_over_the_data_unless_the_profile_says_more() -> None:
    assert plan(overrides=("training.steps_per_epoch=7",)).steps_per_epoch == 7
    assert plan(overrides=("training.steps_per_epoch=0", "training.batch_size=64")).steps_per_epoch == 15
    assert plan(overrides=("training.steps_per_epoch=0", "training.batch_size=2000")).steps_per_epoch == 1


def test_identities_follow_what_changes_weights_and_nothing_else() -> None:
    before = walk(plan())
    assert len({json.dumps(each, sort_keys=True) for each in before.values()}) == len(before)
    for same in (
        plan(overrides=("runtime.workers=3", "truth.epochs=99", "calibration.batches=9")),
        plan(data=DataFacts(fingerprint="data", train_images=1000, val_images=1, num_classes=10)),
    ):
        assert walk(same) == before
    for other in (
        plan(seed=1),
        plan(processes=2),
        plan(overrides=("training.batch_size=32",)),
        plan(data=DataFacts(fingerprint="others", train_images=1000, val_images=200, num_classes=10)),
    ):
        assert all(identity != before[name] for name, identity in walk(other).items())


def test_only_what_draws_from_the_pool_depends_on_it() -> None:
    planned = plan()
    other = replace(planned, pool=draw_pool(planned.profile.published_space, 41, 0))
    changed = {name for name, identity in walk(other).items() if identity != walk(planned)[name]}
    assert changed == {each.name for each in planned.phases if each.phase.uses_pool} != set()


def test_a_cost_says_the_same_after_a_journey_as_json() -> None:
    planned = plan()
    cost = planned.cost(run="r", device="cpu", measured=MEASURED, keys={"pretrain": "k"}, done={"pretrain"})
    document = json.loads(json.dumps(cost.to_json()))
    assert RunCost.from_json({**document, "from_the_future": 1}) == cost
    assert document["totals"]["passes"] == planned.passes == sum(each.passes for each in planned.phases)
    first, second = document["phases"][:2]
    assert (first["key"], first["reused"], first["parent"]) == ("k", True, START)
    assert (second["key"], second["reused"], second["parent"]) == (None, False, "pretrain")
    macs = cost.totals["macs"] + cost.evaluation_macs + cost.watching_macs
    assert cost.seconds == pytest.approx(macs * MEASURED["seconds_per_mac"]) and cost.watching_macs > 0


def test_full_networks_cost_what_the_formula_says() -> None:
    planned = plan()
    first = planned.cost(run="r", device="cpu", measured=MEASURED, keys={}, done=set()).phases[0]
    largest = costs(planned.scale.space.largest, planned.scale).macs
    assert first.method == "pretrain"
    assert first.macs == 3 * planned.profile.training.batch_size * first.passes * largest
