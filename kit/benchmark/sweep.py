"""The prefix tree against one sub-network after another: the same scores, in less time and with fewer multiply-adds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from scipy.stats import kendalltau, pearsonr
from torch import Tensor

from kit.benchmark.timing import CPU, measure, timed
from kit.costs import pool_costs
from kit.data import Batch
from kit.evaluation import CalibratedTree, EvaluationImages, evaluate_architectures, evaluate_prefix_tree, plan_units
from kit.pool import Pool
from kit.randomness import derive_seed
from kit.recipe import Profile
from kit.search_space import Architecture
from kit.supernet import ElasticResNet, extract_subnet
from kit.supernet.calibration import calibrate
from kit.supernet.prefix import grow, tree_macs

IMAGENET_VALIDATION = 50_000


def benchmark_sweep(
    profile: Profile,
    pool: Pool,
    *,
    subnets: int,
    resolution: int,
    batch: int,
    calibration: int,
    validation: int,
    repeats: int,
    seconds: float,
    clock: str = "wall",
    device: torch.device = CPU,
) -> dict[str, Any]:
    """Calibrate and score `subnets` architectures of the pool's most frequent stage-1 variant both ways, in turn.

    Images are synthetic; `calibration` and `validation` count batches. Multiply-adds are counted for the whole pool at the
    profile's own resolution, and the full pool's hours are scaled from the measured tree by them. `folding`, `by_shape`,
    `bfloat16` and `bfloat16_by_shape`: the tree over the tree that is faster in this way, what that changes, and how the
    ranking agrees.
    """
    chosen = one_variant(pool, subnets)
    network, images = sweep_inputs(profile, batch, resolution, calibration=calibration, validation=validation, device=device)
    expected = _predictions_one_by_one(network, chosen, images)
    identical = torch.equal(predictions_by_tree(network, chosen, images), expected)
    factors = {
        "folding": replace(images, fold=True),
        "by_shape": replace(images, by_shape=True),
        "bfloat16": replace(images, autocast=torch.bfloat16),
        "bfloat16_by_shape": replace(images, autocast=torch.bfloat16, by_shape=True),
    }
    changes = _changes(network, chosen, images, factors, expected)
    one_by_one = partial(_run, evaluate_architectures, network, chosen, images)
    by_tree = [partial(_run, evaluate_prefix_tree, network, chosen, seen) for seen in (images, *factors.values())]
    ways = [timed(way, device, clock) for way in (one_by_one, *by_tree)]
    found = measure(ways, repeats=repeats, seconds=seconds, warm=False)  # the predictions were the warm-up
    work = (calibration + validation) * batch
    per_second = work * tree_macs(grow(enumerate(chosen)), replace(profile.scale, resolution=resolution)) / found.seconds(1)
    return {
        "profile": profile.name,
        "subnets": len(chosen),
        "images": work,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "clock": clock,
        "tree_seconds": found.seconds(1),
        "macs_per_second": per_second,
        "one_by_one_seconds": found.seconds(0),
        **found.ratio(0, 1).document(),
        **found.document(),
        "identical_predictions": identical,
        "predictions": expected.numel(),
        **{
            name: {**found.ratio(1, way).document(), "seconds": found.seconds(way), **changes[name]}
            for way, name in enumerate(factors, 2)
        },
        **_whole_pool(growth(network, pool, profile), profile, per_second),
    }


def _run(way: Callable[..., Iterable[object]], *inputs: Any) -> None:
    for _ in way(*inputs):
        pass


def _whole_pool(sizes: list[dict[str, Any]], profile: Profile, per_second: float) -> dict[str, Any]:
    """What the whole pool costs by count, and how long that takes at so many multiply-adds a second."""
    whole = sizes[-1]
    per_image = profile.calibration.batches * profile.calibration.batch_size + IMAGENET_VALIDATION
    return {
        "pool_subnets": whole["subnets"],
        "macs_one_by_one": whole["macs_one_by_one"],
        "macs_tree": whole["macs_tree"],
        "macs_ratio": whole["ratio"],
        "growth": sizes,
        "estimate_full_pool_hours": whole["macs_tree"] * per_image / per_second / 3600,
    }


def _changes(
    network: ElasticResNet,
    chosen: list[Architecture],
    images: EvaluationImages,
    factors: Mapping[str, EvaluationImages],
    expected: Tensor,
) -> dict[str, dict[str, float]]:
    """What each factor changes in predictions and in a ranking."""
    exact = _label_scores(network, chosen, images)
    changes = {}
    for name, seen in factors.items():
        other = _label_scores(network, chosen, seen)
        changes[name] = {
            "changed_predictions": int((predictions_by_tree(network, chosen, seen) != expected).sum()),
            "pearson": float(pearsonr(exact, other).statistic),
            "kendall": float(kendalltau(exact, other).statistic),
        }
    return changes


def growth(network: ElasticResNet, pool: Pool, profile: Profile) -> list[dict[str, Any]]:
    """Multiply-adds per image at the profile's resolution, both ways, of the first 100, 1,000, ... of a pool and of all."""
    rows: list[dict[str, Any]] = []
    for size in [*(size for size in (100, 1_000, 10_000, 100_000) if size < len(pool)), len(pool)]:
        architectures = pool.architectures[:size]
        alone = pool_costs([each.code for each in architectures], profile.scale).total_macs
        units = plan_units(network, architectures)
        tree = sum(tree_macs(grow(enumerate(unit.architectures)), profile.scale) for unit in units)
        rows.append({"subnets": size, "macs_one_by_one": alone, "macs_tree": tree, "ratio": alone / tree})
    return rows


@torch.no_grad()
def _predictions_one_by_one(network: ElasticResNet, chosen: list[Architecture], images: EvaluationImages) -> Tensor:
    """Predicted classes, `(architectures, images)`."""
    rows = []
    for architecture in chosen:
        alone = extract_subnet(network, architecture)
        calibrate(alone, map(images.prepare, images.calibration), statistics=images.statistics)
        rows.append(torch.cat([alone(images.prepare(batch.images)).argmax(dim=1) for batch in images.validation]))
    return torch.stack(rows)


def predictions_by_tree(network: ElasticResNet, chosen: list[Architecture], images: EvaluationImages) -> Tensor:
    """Predicted classes through the prefix tree, `(architectures, images)`."""
    tree = CalibratedTree(network, chosen, images)
    columns = []
    for batch in images.validation:
        found = torch.empty(len(chosen), len(batch.labels), dtype=torch.int64, device=batch.labels.device)

        def take(ends: Sequence[int], logits: Tensor, found: Tensor = found) -> None:
            found[ends] = logits.argmax(dim=1)

        tree.classify(batch.images, take)
        columns.append(found)
    return torch.cat(columns, dim=1)


def _label_scores(network: ElasticResNet, chosen: list[Architecture], images: EvaluationImages) -> list[float]:
    """Each architecture's mean probability of the labels: what untrained networks on noise can be ranked by."""
    tree = CalibratedTree(network, chosen, images)
    scores = torch.zeros(len(chosen), dtype=torch.float64)
    for batch in images.validation:

        def take(ends: Sequence[int], logits: Tensor, labels: Tensor = batch.labels) -> None:
            found = logits.double().softmax(dim=1).gather(1, labels[:, None]).sum().cpu()
            scores[list(ends)] += found

        tree.classify(batch.images, take)
    found: list[float] = scores.tolist()
    return found


def one_variant(pool: Pool, count: int) -> list[Architecture]:
    """The first `count` architectures of the most frequent stage-1 variant (all of them, if fewer)."""
    groups: dict[object, list[Architecture]] = {}
    for architecture in pool.architectures:
        groups.setdefault(architecture.stages[0], []).append(architecture)
    return max(groups.values(), key=len)[:count]


def sweep_inputs(
    profile: Profile, batch: int, resolution: int, *, calibration: int, validation: int, device: torch.device = CPU
) -> tuple[ElasticResNet, EvaluationImages]:
    """A fresh network and so many batches of synthetic images: the same on every device."""
    generator = torch.Generator().manual_seed(derive_seed("benchmark"))
    network = ElasticResNet(profile.search_space, profile.num_classes, generator=generator, zero_init_last=False).eval()
    shape = (batch, 3, resolution, resolution)
    labels = torch.randint(0, 10, (batch,), generator=generator).to(device)
    drawn = [torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(calibration + validation)]
    images = EvaluationImages(
        calibration=[each.to(device) for each in drawn[:calibration]],
        validation=[Batch(each.to(device), labels) for each in drawn[calibration:]],
        prepare=lambda pixels: pixels.to(device).float().sub_(128).div_(64),
    )
    return network.to(device), images
