"""What a profile may say: data set, resolution, widths, and every number that depends on the scale of a run."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kit.search_space import PAPER_RATIOS, PUBLISHED, Scale, SearchSpace, Stem
from kit.strict import Name, PerStage, PositiveInt, Strict

Rate = Annotated[float, Field(gt=0)]


class StemSettings(Strict):
    """The first convolution and whether a 3 x 3 / 2 max pool follows."""

    kernel: Literal[3, 5, 7] = 7
    stride: Literal[1, 2] = 2
    pool: bool = True


class NetworkSettings(Strict):
    """What the digits of a code mean in channels, and how blocks start."""

    base_channels: PerStage = (64, 128, 256, 512)
    ratios: Annotated[tuple[Rate, ...], Field(min_length=7, max_length=7)] = PAPER_RATIOS
    divisor: PositiveInt = 8
    stem: StemSettings = StemSettings()
    zero_init_last: bool = True
    """Start the last BN scale of each block at zero, so that depth costs nothing at first."""


class ImageSettings(Strict):
    """Which images are used and how they are augmented; 0 means all."""

    augmentation: str = "imagenet"
    train: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[int, Field(ge=0)] = 0


class TrainingSettings(Strict):
    """Scale of training. `batch_size` is the global batch of one step; `steps_per_epoch` 0 means one pass over the data."""

    batch_size: PositiveInt = 2048
    steps_per_epoch: Annotated[int, Field(ge=0)] = 0
    learning_rate_factor: Rate = 1.0
    pretrain_learning_rate_factor: Rate = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    step: Literal["separate", "shared"] = "shared"
    """`shared` runs common prefixes of a step's paths once: the same gradients up to rounding, in less time."""


class CalibrationSettings(Strict):
    """BN calibration (P 3.1): statistics are reset for every sub-network, then estimated on `batches` training batches."""

    batches: PositiveInt = 50
    batch_size: PositiveInt = 256
    statistics: Literal["average"] | Annotated[float, Field(gt=0, le=1)] = "average"
    """`average` over the batches, or a momentum (PyTorch's sense; C: 0.1) from the reset values."""


class EvaluationSettings(Strict):
    """Images per forward pass when accuracy is measured."""

    batch_size: PositiveInt = 256
    precision: Literal["training", "float32", "bfloat16"] = "training"
    """Of the forward passes of calibration and classification; `training`: that of the training steps."""
    layout: Literal["training", "by-shape"] = "training"
    """Of images in memory; `by-shape` chooses for every convolution by a fixed rule: faster, and rounds differently."""
    images: Annotated[int, Field(ge=0)] = 0
    """Score on so many validation images, a stratified draw that all architectures share; 0: on all of them."""
    fold_batch_norm: bool = False
    """Multiply calibrated BN into the convolutions first: faster, but rounds differently, so predictions may change."""


class PoolSettings(Strict):
    """The pool drawn from the published subspace when the user brings none."""

    size: PositiveInt = 300
    seed: int = 0


class TruthSettings(Strict):
    """How architectures are trained alone (SGD, cosine per step after a linear warm-up, the profile's augmentation)."""

    # Asking for more of them adds to what is there.
    outside_keys: ClassVar[frozenset[str]] = frozenset({"architectures", "seeds"})
    architectures: PositiveInt = 24
    seeds: PositiveInt = 3
    epochs: PositiveInt = 3
    stack: PositiveInt = 1
    """So many seeds of an architecture are trained as one grouped network: rounding aside the same, in half the time."""
    batch_size: PositiveInt = 128
    learning_rate: Rate = 0.1
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.5
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    validation: Literal["validation", "unseen"] = "validation"
    """`unseen` adds the training images that `images.train` leaves out: the more, the less of an accuracy is luck."""


class RuntimeSettings(Strict):
    """How, not what: nothing here changes a result beyond rounding, so nothing here enters a key."""

    device: str = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads for PyTorch's operators; 0 leaves its default."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    cuda_graphs: bool = False
    """Classify with the prefix tree recorded as a CUDA graph."""
    held_out_images: Annotated[int, Field(ge=0)] = 1000
    """So many validation images show after every phase how its largest, its smallest and some sampled sub-networks do."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    """How long the processes of one run wait for one that is silent."""


class Profile(Strict):
    """On what a recipe runs. Any recipe runs on any profile."""

    # Data are known by their content, not by where they lie.
    outside_keys: ClassVar[frozenset[str]] = frozenset({"title", "data", "runtime"})
    name: Name
    title: str
    data: str
    num_classes: PositiveInt
    resolution: Annotated[int, Field(ge=4, le=1024)]
    network: NetworkSettings = NetworkSettings()
    images: ImageSettings = ImageSettings()
    training: TrainingSettings = TrainingSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    pool: PoolSettings = PoolSettings()
    truth: TruthSettings = TruthSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @property
    def search_space(self) -> SearchSpace:
        """All codes, with this profile's channels."""
        network = self.network
        stem = Stem(network.stem.kernel, network.stem.stride, network.stem.pool)
        return SearchSpace(network.base_channels, network.ratios, network.divisor, stem)

    @property
    def published_space(self) -> SearchSpace:
        """The subspace of the published codes, with this profile's channels."""
        return self.search_space.restrict(max_digits=PUBLISHED.max_digits)

    @property
    def scale(self) -> Scale:
        """At which size this profile means its architectures."""
        return Scale(self.search_space, self.resolution, self.num_classes)
