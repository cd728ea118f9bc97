"""No hidden traffic between host and device: steps, calibration and the tree walk run on PyTorch's meta device.

It has shapes and no numbers, so whoever asks a tensor for one fails there. What a GPU would also do, in silence, is refused
here: every tensor that an operator takes or makes must lie on the device.
"""

import random
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kit.data import Batch, normalize
from kit.errors import InputError, TrainingStoppedError
from kit.evaluation import CalibratedTree, EvaluationImages
from kit.evaluation.prefix_tree import _Grader
from kit.methods import METHODS, Scope, load_objective, make_sampler
from kit.pipeline.hardware import choose_hardware
from kit.recipe import OptimizerSettings, load_profile, load_recipe, recipe_names
from kit.search_space import Scale, SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.calibration import calibrate
from kit.training import Path, shared_backward
from kit.training.optimization import GroupedSGD
from kit.training.trainer import Hardware, StepRunner, check_finite

META = torch.device("meta")
SPACE = SearchSpace((4, 6, 8, 10), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
PUBLISHED = SPACE.restrict(max_digits=(3, 3, 5, 7))
DATA = SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
FEWER = {
    "candidates": {"candidates": 2},
    "novelty": {"members": 2},
    "biased": {"draws": 9},
    "cellwise": {"cells_per_step": 4},
}
PHASES = {
    (phase.method, phase.needs_teacher, phase.together): phase.model_copy(update=FEWER.get(phase.method, {}))
    for name in recipe_names()
    for phase in load_recipe(name).phases
}


class OnDevice(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        tensors = (each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor))
        assert all(each.device == META for each in tensors), f"{operator} leaves the device"
        return result


def supernet():
    return ElasticResNet(SPACE, 5, zero_init_last=False).to(META)


def pixels(count=4):
    return torch.zeros(count, 3, 16, 16, dtype=torch.uint8, device=META)


def prepare(images):
    return normalize(images, DATA, device=META)


@pytest.fixture(autouse=True)
def _warm():
    prepare(pixels())  # the constants of the normalisation are moved once


def test_every_method_is_in_a_recipe():
    assert {method for method, *_ in PHASES} == METHODS.keys()


def step_of(phase, network, shared, objective=None):
    """One optimizer step as the trainer does it, up to the losses that are logged."""
    pool = tuple(phase.subspace(PUBLISHED).sample(random.Random(seed)) for seed in range(20))
    cells = tuple(PUBLISHED.restrict(min_depths=(2, 2, 2, d), max_depths=(5, 5, 8, d)) for d in (2, 3, 4, 5))
    scale = Scale(SPACE, 16, 5)
    scope = Scope(space=phase.subspace(PUBLISHED), scale=scale, seed=0, steps_per_epoch=3, cells=cells, pool=pool)
    sampler = make_sampler(phase, scope)
    network = FewShotSupernet.from_supernet(network, cells) if phase.together else network
    runner = StepRunner(
        network=network.train(),
        data=DATA,
        hardware=Hardware(device=META),
        teacher=supernet() if phase.needs_teacher else None,
        shared=shared,
        objective=objective or load_objective(phase),
    )
    optimizer = GroupedSGD(network, OptimizerSettings())
    batch = Batch(pixels(), torch.zeros(4, dtype=torch.int64, device=META))
    with OnDevice():
        optimizer.prepare(0.1, sampler.momentum_group(0))
        losses = runner.backward(batch, sampler.paths(0))
        optimizer.step()
    assert len(losses) == len(sampler.paths(0))
    return losses


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("phase", PHASES.values(), ids=lambda phase: phase.name)
def test_a_training_step_stays_on_the_device(phase, shared):
    assert step_of(phase, supernet(), shared).device == META


@pytest.mark.parametrize("leak", [lambda losses: losses[0].item(), lambda losses: losses + torch.ones(1)])
def test_an_objective_that_leaves_the_device_is_found(leak):
    phase = next(iter(PHASES.values()))

    class Leaking(load_objective(phase)):
        def result(self):
            leak(super().result())
            return super().result()

    with pytest.raises((RuntimeError, AssertionError)):
        step_of(phase, supernet(), True, Leaking)


class Halved:
    given = (1,)

    def __call__(self, own, other):
        return own / (own + other)


def test_whatever_a_path_may_ask_for_stays_on_the_device():
    first, second = (SPACE.sample(random.Random(seed)) for seed in range(2))
    paths = [
        Path(first, 0.5, 0.5, source=2, factor=Halved()),
        Path(second, trained=False),
        Path(second, 1.0, 0.5, smoothing=0.1),
    ]
    network, labels, teacher = (
        supernet().train(),
        torch.zeros(4, dtype=torch.int64, device=META),
        torch.zeros(4, 5, device=META),
    )
    with OnDevice():
        losses = shared_backward(network, prepare(pixels()), labels, paths, teacher)
    assert losses.shape == (3,)


@pytest.mark.parametrize("statistics", ["average", 0.1])
def test_calibration_of_one_network_stays_on_the_device(statistics):
    alone = extract_subnet(supernet(), SPACE.sample(random.Random(0)))
    with OnDevice():
        calibrate(alone, (prepare(pixels()) for _ in range(2)), statistics=statistics)
    assert not alone.training


@pytest.mark.parametrize("fold", [False, True])
def test_the_walk_over_the_tree_stays_on_the_device(fold):
    chosen = [SPACE.sample(random.Random(seed)) for seed in range(6)]
    images = EvaluationImages(calibration=[pixels(), pixels()], validation=[], prepare=prepare, fold=fold)
    batch = Batch(pixels(8), torch.zeros(8, dtype=torch.int64, device=META))
    network = supernet().eval()
    with OnDevice():
        [right] = _Grader(CalibratedTree(network, chosen, images), len(chosen), False)(batch, range(5))
    assert right.shape == (6, 5) and right.device == META


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_a_teacher_that_is_not_finite_stops_the_phase(shared):
    network, teacher = (ElasticResNet(SPACE, 5, zero_init_last=False) for _ in range(2))
    torch.nn.init.constant_(teacher.fc.bias, torch.inf)
    path = Path(SPACE.sample(random.Random(0)), 0.5, 0.5)
    runner = StepRunner(
        network=network, data=DATA, hardware=Hardware(device=torch.device("cpu")), teacher=teacher, shared=shared
    )
    batch = Batch(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    losses = runner.backward(batch, [path]).tolist()
    with pytest.raises(TrainingStoppedError, match=r"loss of .* is nan") as caught:
        check_finite(losses, [path], "SSE", 3)
    assert "teacher" in caught.value.hint


@pytest.mark.parametrize("name", ["cuda:99", "meta", "gpu", ""])
def test_a_device_that_is_not_there_is_refused(name):
    profile = load_profile("nano")
    runtime = profile.runtime.model_copy(update={"device": name})
    with pytest.raises(InputError, match=r"runtime\.device"):
        choose_hardware(profile.model_copy(update={"runtime": runtime}))
