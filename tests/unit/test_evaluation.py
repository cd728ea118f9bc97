"""Scoring one by one against BN layers and counts done by hand, and what a file of results gives back."""

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit.data import Batch
from kit.evaluation import EvaluationImages, evaluate_architectures
from kit.records import appending
from kit.results import ResultsFile, Score
from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet, extract_subnet
from kit.supernet.calibration import calibrate

SPACE = SearchSpace((8, 8, 12, 16), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, False))
SEEDS = st.integers(0, 10_000)


def supernet():
    return ElasticResNet(SPACE, 3, generator=torch.Generator().manual_seed(0), zero_init_last=False)


def architectures(count, seed=0):
    rng = random.Random(seed)
    return [SPACE.sample(rng) for _ in range(count)]


def pixels(seed, count=6):
    return torch.randint(256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def images():
    labels = torch.arange(6) % 3
    validation = [Batch(pixels(10), labels), Batch(pixels(11, 4), labels[:4])]
    return EvaluationImages(calibration=[pixels(1), pixels(2)], validation=validation, prepare=lambda x: x / 255 - 0.5)


@settings(max_examples=8)
@given(SEEDS)
def test_average_statistics_are_torchs_cumulative_average_in_every_layer(seed):
    subnet = extract_subnet(supernet(), SPACE.sample(random.Random(seed)))
    reference = copy.deepcopy(subnet).train()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1)
            module.num_batches_tracked.zero_()
            module.momentum = None
    batches = [images().prepare(pixels(number)) for number in range(3)]
    with torch.no_grad():
        for batch in batches:
            reference(batch)
    subnet.layer4[0].bn2.num_batches_tracked.fill_(5)
    subnet.layer4[0].bn2.running_mean.fill_(7)  # whatever was there before must not matter
    calibrate(subnet, batches)
    for name, buffer in reference.named_buffers():
        assert torch.equal(dict(subnet.named_buffers())[name], buffer), name


@settings(max_examples=5)
@given(SEEDS)
def test_a_score_counts_the_images_whose_largest_logit_is_their_label(seed):
    (architecture,) = architectures(1, seed)
    (score,) = evaluate_architectures(supernet(), [architecture], images())
    subnet = extract_subnet(supernet(), architecture)
    calibrate(subnet, map(images().prepare, images().calibration))
    hits = 0
    with torch.no_grad():
        for batch in images().validation:
            for image, label in zip(batch.images, batch.labels, strict=True):
                logits = subnet(images().prepare(image[None]))[0].tolist()
                hits += logits.index(max(logits)) == int(label)
    assert (score.architecture, score.correct, score.images) == (architecture, hits, 10)
    assert score.accuracy == pytest.approx(hits / 10)


def test_neither_order_nor_company_changes_a_score_and_the_supernet_stays():
    network = supernet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    some = architectures(4)
    forward = {score.architecture: score.correct for score in evaluate_architectures(network, some, images())}
    backward = {score.architecture: score.correct for score in evaluate_architectures(network, some[::-1], images())}
    alone = {each: next(evaluate_architectures(network, [each], images())).correct for each in some}
    assert forward == backward == alone
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_results_of_another_key_are_ignored_and_kept(tmp_path):
    first, second = architectures(2)
    old, new = (ResultsFile(tmp_path / "results", key * 64) for key in "ab")
    with old.appending() as writer:
        writer.append([Score(first, 3, 10)])
    assert new.read() == {} and old.read() == {first.code: (3, 10)}
    with new.appending() as writer:
        writer.append([Score(second, 4, 10)])
    assert new.read() == {second.code: (4, 10)} and old.read() == {first.code: (3, 10)}


def test_a_damaged_result_is_dropped_and_the_others_stay(tmp_path):
    some = architectures(3)
    results = ResultsFile(tmp_path / "results", "c" * 64)
    with results.appending() as writer:
        for correct, architecture in enumerate(some):
            writer.append([Score(architecture, correct, 10)])
    lines = results.path.read_bytes().splitlines(keepends=True)
    results.path.write_bytes(lines[0] + lines[1].replace(b":1}}", b":9}}") + lines[2][:-5])
    assert results.read() == {some[0].code: (0, 10)}
    with results.appending() as writer:
        writer.append([Score(some[1], 1, 10)])
    assert results.read() == {some[0].code: (0, 10), some[1].code: (1, 10)}


def test_records_of_an_older_layout_are_computed_again(tmp_path):
    results = ResultsFile(tmp_path / "results", "c" * 64)
    with appending(results.path) as writer:
        writer.append({"key": results.key, "code": architectures(1)[0].code, "correct": 3, "images": 10})
    assert results.read() == {}
