"""Sub-networks taken home score as they were scored, and load into timm with nothing lost."""

import random

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from kit.data import Batch
from kit.errors import StorageError
from kit.evaluation import EvaluationImages, evaluate_architectures
from kit.search_space import SearchSpace, Stem
from kit.submission.calibrated import allowed_difference, calibrate_as_scored, save_calibrated
from kit.supernet import ElasticResNet, FewShotSupernet

SPACE = SearchSpace((8, 8, 12, 16), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, False))
ARCHITECTURE = SPACE.sample(random.Random(3))


def supernet():
    return ElasticResNet(SPACE, 3, generator=torch.Generator().manual_seed(0), zero_init_last=False)


def pixels(seed, count):
    return torch.randint(256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def images():
    validation = [Batch(pixels(10, 20), torch.arange(20) % 3), Batch(pixels(11, 9), torch.arange(9) % 3)]
    return EvaluationImages(calibration=[pixels(1, 8), pixels(2, 8)], validation=validation, prepare=lambda x: x / 255 - 0.5)


@pytest.fixture
def score():
    (score,) = evaluate_architectures(supernet(), [ARCHITECTURE], images())
    return score


def test_it_scores_what_was_recorded_and_leaves_the_supernet_alone(score):
    net = supernet()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    _, found = calibrate_as_scored(net, ARCHITECTURE, images(), recorded=(score.correct, score.images))
    assert found == (score.correct, score.images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_another_record_is_refused(score):
    with pytest.raises(StorageError, match=f"{score.correct} of {score.images}"):
        calibrate_as_scored(supernet(), ARCHITECTURE, images(), recorded=(score.correct + 1, score.images))
    with pytest.raises(StorageError, match="recorded"):
        calibrate_as_scored(supernet(), ARCHITECTURE, images(), recorded=(score.correct, score.images + 1))


def test_another_environment_may_differ_by_the_stated_bound_and_no_more(score):
    net, allowed = supernet(), allowed_difference(score.images, same_environment=False, exact_precision=True)
    arguments = {"same_environment": False}
    calibrate_as_scored(net, ARCHITECTURE, images(), recorded=(score.correct + allowed, score.images), **arguments)
    with pytest.raises(StorageError):
        calibrate_as_scored(net, ARCHITECTURE, images(), recorded=(score.correct + allowed + 1, score.images), **arguments)


def test_the_file_loads_into_a_fresh_timm_network_bit_for_bit(tmp_path):
    subnet, score = calibrate_as_scored(supernet(), ARCHITECTURE, images(), recorded=None)
    path = tmp_path / "subnet.safetensors"
    save_calibrated(subnet, ARCHITECTURE, score, path)
    network = timm.create_model("resnet48_subnet", code=ARCHITECTURE.code, space=SPACE, num_classes=3)
    network.load_state_dict(load_file(path))
    sample = pixels(5, 4) / 255
    assert torch.equal(network.eval()(sample), subnet(sample))
    with safe_open(path, "np") as file:
        assert len(file.metadata()) <= 1
    again = tmp_path / "again.safetensors"
    save_calibrated(subnet, ARCHITECTURE, score, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_few_shot_supernet_calibrates_the_member_that_owns_the_architecture():
    cells = [
        SPACE.restrict(depth_choices=[depths for depths in SPACE.depth_choices if (depths[3] == 2) == first])
        for first in (True, False)
    ]
    net = FewShotSupernet.from_supernet(supernet(), cells)
    owner = net.cell_of(ARCHITECTURE)
    with torch.no_grad():
        net.members[1 - owner].conv1.weight.zero_()
    single, _ = calibrate_as_scored(supernet(), ARCHITECTURE, images(), recorded=None)
    shared, _ = calibrate_as_scored(net, ARCHITECTURE, images(), recorded=None)
    for name, tensor in single.state_dict().items():
        assert torch.equal(tensor, shared.state_dict()[name]), name


def test_a_profile_says_what_the_digits_mean():
    from kit.recipe import load_profile

    chosen = load_profile("nano")
    network = timm.create_model("resnet48_subnet", code=chosen.search_space.smallest.code, profile="nano")
    assert network.fc.out_features == chosen.num_classes
    assert network.conv1.out_channels == chosen.search_space.smallest.stem_channels
