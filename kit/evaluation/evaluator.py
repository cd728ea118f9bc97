"""Scores of architectures, whoever asks for them: a supernet's weights, the images and how they are used, and no pool."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from kit.data import Batch, Data, normalize
from kit.evaluation.accuracy import EvaluationImages, evaluate_architectures
from kit.evaluation.ahead import Ahead
from kit.evaluation.kept_statistics import KeptStatistics
from kit.evaluation.prefix_tree import Tick, changed_by_folding, score_unit
from kit.evaluation.units import Unit, trees
from kit.recipe import Profile
from kit.results import Score
from kit.search_space import Architecture, Scale
from kit.strict import key_of
from kit.supernet import ElasticResNet, FewShotSupernet

Method = Literal["tree", "one-by-one"]
PARTS = 8
"""Into so many parts, at least, an image budget is divided."""
DEVICE_SHARE = 0.25
"""Decoded images may take this much of a GPU's free memory; the rest is for activations."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Calibrates and scores sub-networks the profile's way, all on the same images."""

    supernet: ElasticResNet | FewShotSupernet
    data: Data
    profile: Profile
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    method: Method = "tree"
    window: tuple[int, int] | None = None
    """Only these validation images, by their places in the stratified draw of all (from, to); scores keep the answers."""
    kept: KeptStatistics | None = None
    """Where calibrated statistics are kept from one window to the next."""
    weights_sha256: str = ""
    """Of the supernet's weights: whoever keeps scores must say it, because they depend on it."""

    @property
    def key(self) -> str:
        """What a score depends on besides the architecture."""
        assert self.weights_sha256, "scores of unknown weights cannot be kept"
        return key_of(
            weights=self.weights_sha256,
            data=self.data.fingerprint,
            images=self.profile.images,
            resolution=self.profile.resolution,
            calibration=self.profile.calibration,
            evaluation=self.profile.evaluation,
            precision=self.precision,
            seed=self.seed,
            method=self.method,
            window=self.window,
        )

    @property
    def precision(self) -> str:
        """What scores are computed in: `float32` or `bfloat16`."""
        own = self.profile.evaluation.precision
        return self.profile.training.precision if own == "training" else own

    @property
    def scale(self) -> Scale:
        """The profile's, with as many classes as the data have."""
        return replace(self.profile.scale, num_classes=self.data.num_classes)

    @property
    def calibration_images(self) -> int:
        """Training images for each sub-network; none after the first window, if the statistics are kept."""
        if self.kept is not None and self.window is not None and self.window[0] > 0:
            return 0
        return self.profile.calibration.batches * self.profile.calibration.batch_size

    @property
    def images_per_subnet(self) -> int:
        """Forward passes that one sub-network takes by itself."""
        return self.calibration_images + self.seen.val_size

    @cached_property
    def seen(self) -> Data:
        """The data with the validation images that scores are of: all, the budget's, or the window's."""
        if self.window is not None:
            return self.data.with_validation(self.window[1], self.window[0])
        budget = self.profile.evaluation.images
        return self.data.with_validation(budget) if budget else self.data

    @property
    def batch_sizes(self) -> list[int]:
        """Validation images of each batch; with a budget at least so many batches that they tell how much it matters."""
        size, total = self.profile.evaluation.batch_size, self.seen.val_size
        if self.profile.evaluation.images:
            size = min(size, -(-total // PARTS))
        return [min(size, total - start) for start in range(0, total, size)]

    @cached_property
    def images(self) -> EvaluationImages:
        """The batches that every sub-network sees, drawn once."""
        calibration, training = self.profile.calibration, self.profile.training
        batches = self.data.calibration_batches(
            seed=self.seed, batch_size=calibration.batch_size, batches=calibration.batches
        )
        validation: Iterable[Batch] = self._validation
        if self.device.type == "cuda":
            batches, validation = _near(batches, list(validation), self.device)
        return EvaluationImages(
            calibration=batches,
            validation=validation,
            prepare=lambda images: normalize(images, self.data, device=self.device, channels_last=training.channels_last),
            statistics=calibration.statistics,
            autocast=torch.bfloat16 if self.precision == "bfloat16" else None,
            cuda_graphs=self.profile.runtime.cuda_graphs,
            by_shape=self.profile.evaluation.layout == "by-shape",
            fold=self.profile.evaluation.fold_batch_norm,
            keep_answers=self.window is not None,
            kept=self.kept,
        )

    @property
    def waited(self) -> float:
        """Seconds so far in which there were no images to classify because the next ones were not ready."""
        return self._validation.waited

    @cached_property
    def _validation(self) -> Ahead:
        # Apart from `images`, so that whoever only asks for `waited` decodes nothing.
        return Ahead(self.seen.val_batches(batch_size=self.batch_sizes[0]))

    @cached_property
    def network(self) -> ElasticResNet | FewShotSupernet:
        """The supernet, where and how it is used."""
        return self.supernet.to(self.device).eval()

    def score(self, architectures: Iterable[Architecture]) -> list[Score]:
        """One score each, in their order; those that begin alike share what they can."""
        asked = list(architectures)
        units = trees(self.supernet, list(dict.fromkeys(asked)))
        found = {score.architecture: score for unit in units for score in self.score_unit(unit)}
        return [found[architecture] for architecture in asked]

    def score_unit(
        self, unit: Unit, tick: Tick = lambda: None, note: Callable[[str], None] = lambda message: None
    ) -> list[Score]:
        """The scores of one unit, in its order; `tick` is called on the way, `note` is told of difficulties."""
        if self.method == "one-by-one":
            tick()
            return list(evaluate_architectures(self.network, unit.architectures, self.images))
        return score_unit(self.network, unit, self.images, tick=tick, note=note)

    def changed_by_folding(self, unit: Unit) -> tuple[int, int] | None:
        """Predictions that change on the first batch because BN is folded, of how many; None where it is not."""
        if not self.images.fold or self.method != "tree":
            return None
        return changed_by_folding(self.network, unit, self.images)


def _near(
    calibration: Sequence[Tensor], validation: Sequence[Batch], device: torch.device
) -> tuple[list[Tensor], list[Batch]]:
    """Decoded images where a GPU gets at them fast: in its own memory if they take little of it, else page-locked."""
    needed = sum(images.nbytes for images in (*calibration, *(batch.images for batch in validation)))
    free, _ = torch.cuda.mem_get_info(device)

    def move(images: Tensor) -> Tensor:
        return images.to(device) if needed < free * DEVICE_SHARE else images.pin_memory()

    return [move(images) for images in calibration], [Batch(move(batch.images), batch.labels) for batch in validation]
