"""The evaluator: scores of any architectures in the order asked for, without pool or paths."""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.data import Data, open_data
from kit.evaluation import Evaluator, evaluate_architectures
from kit.evaluation.evaluator import Method
from kit.evaluation.kept_statistics import KeptStatistics
from kit.evaluation.units import UNIT_SIZE, trees
from kit.recipe import Profile, load_profile
from kit.results import Score
from kit.search_space import Architecture, SearchSpace
from kit.supernet import ElasticResNet, FewShotSupernet

PROFILE = load_profile("nano", ["network.base_channels=[3,4,5,6]", "calibration.batches=2", "images.validation=50"])
SPACE = PROFILE.published_space


@cache
def data() -> Data:
    return open_data(PROFILE.data, resolution=8, augmentation=PROFILE.images.augmentation, train_images=200, val_images=50)


def supernet(seed: int = 0) -> ElasticResNet:
    generator = torch.Generator().manual_seed(seed)
    return ElasticResNet(PROFILE.search_space, data().num_classes, generator=generator, zero_init_last=False)


def sample(count: int, space: SearchSpace = SPACE) -> list[Architecture]:
    rng = random.Random(count)
    return [space.sample(rng) for _ in range(count)]


def counts(scores: Iterable[Score]) -> list[tuple[str, int, int]]:
    return [(score.architecture.code, score.correct, score.images) for score in scores]


@pytest.mark.parametrize("few_shot", [False, True])
def test_scores_come_in_the_order_asked_for_whichever_way_they_are_made(few_shot: bool) -> None:
    network: ElasticResNet | FewShotSupernet = supernet()
    if few_shot:
        cells = [SPACE.whole.restrict(max_depths=(3, 5, 8, 5)), SPACE.whole.restrict(min_depths=(4, 2, 2, 2))]
        network = FewShotSupernet([supernet(0), supernet(1)], cells)
    asked = sample(12)
    asked += [asked[3], asked[0]]
    evaluator = Evaluator(supernet=network, data=data(), profile=PROFILE)
    one_by_one = Evaluator(supernet=network, data=data(), profile=PROFILE, method="one-by-one")
    expected = counts(evaluate_architectures(network.eval(), asked, evaluator.images))
    assert counts(evaluator.score(asked)) == counts(one_by_one.score(asked)) == expected
    assert len({correct for _, correct, _ in expected}) > 2 and {images for *_, images in expected} == {50}
    assert evaluator.score([]) == []


def test_few_children_of_one_supernet_are_one_tree() -> None:
    children = sample(UNIT_SIZE)
    assert len({each.stages[0] for each in children}) > 20
    assert [len(unit) for unit in trees(supernet(), children)] == [UNIT_SIZE]
    assert [len(unit) for unit in trees(supernet(), sample(UNIT_SIZE + 1))] == [UNIT_SIZE // 2 + 1, UNIT_SIZE // 2]


def changed(section: str, **settings: object) -> Profile:
    part = getattr(PROFILE, section).model_copy(update=settings)
    return PROFILE.model_copy(update={section: part})


def test_the_key_follows_what_a_score_depends_on() -> None:
    network = supernet()

    def key(profile: Profile = PROFILE, **others: object) -> str:
        settings = {"weights_sha256": "w", "seed": 0} | others
        return Evaluator(supernet=network, data=data(), profile=profile, **settings).key

    same = [
        key(),
        key(changed("truth", epochs=9)),
        key(changed("runtime", threads=9)),
        key(changed("training", step="separate")),
    ]
    assert len(set(same)) == 1
    other = [
        key(changed("calibration", batches=3)),
        key(changed("evaluation", fold_batch_norm=True)),
        key(changed("evaluation", layout="by-shape")),
        key(changed("training", precision="bfloat16")),
        key(weights_sha256="v"),
        key(seed=1),
        key(method="one-by-one"),
    ]
    assert len({key(), *other}) == 1 + len(other)
    with pytest.raises(AssertionError, match="unknown weights"):
        key(weights_sha256="")


@pytest.mark.parametrize("method", ["tree", "one-by-one"])
def test_windows_add_up_and_what_is_calibrated_once_is_not_calibrated_again(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = sample(6)
    whole = Evaluator(supernet=supernet(), data=data(), profile=PROFILE, method=method, weights_sha256="0")

    def part(start: int, stop: int) -> Evaluator:
        return replace(whole, window=(start, stop), kept=KeptStatistics(tmp_path))

    first = part(0, 20)
    seen = first.score(asked)
    assert first.calibration_images > part(20, 50).calibration_images == 0
    assert len({first.key, part(20, 50).key, whole.key}) == 3
    with monkeypatch.context() as without:
        without.setattr(Data, "calibration_batches", lambda *args, **given: [])
        rest = part(20, 50).score(asked[::-1])[::-1]  # in other company than before
    both = [(one.correct + other.correct, one.images + other.images) for one, other in zip(seen, rest, strict=True)]
    assert both == [(score.correct, score.images) for score in whole.score(asked)]
    for score in (*seen, *rest):
        right = np.unpackbits(np.frombuffer(score.answers, np.uint8), count=score.images)
        assert right.sum() == score.correct and len(score.answers) == -(-score.images // 8)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [score.answers for score in part(20, 50).score(asked)] == [score.answers for score in rest]
