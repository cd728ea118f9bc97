"""How long each block of a space takes on some device: a small file that prices every architecture as a sum."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from kit.costs import AT_ONCE, IN_CHANNELS, code_digits, strided
from kit.errors import InputError
from kit.files import read_json, write_json
from kit.search_space import FIRST_SLOT_POSITION, SLOTS, STAGES, STEM_POSITION, Architecture, Scale, SearchSpace
from kit.strict import Name, PositiveInt, Strict, first_problem

if TYPE_CHECKING:  # numpy is imported where a pool is priced
    import numpy as np
    from numpy.typing import NDArray

STEM, RESIDUAL, HEAD = "stem", "block", "head"
Milliseconds = Annotated[float, Field(gt=0)]
MOST_BLOCKS = 100_000


@dataclass(frozen=True, order=True, slots=True)
class Block:
    """A part of a network that runs on its own: the stem, a residual block, or pooling with the linear layer.

    `size` is the side of what goes in, in pixels; `mid_channels` of a residual block alone is not 0. A block of stride 2
    has a shortcut convolution.
    """

    kind: str
    in_channels: int
    mid_channels: int
    out_channels: int
    size: int
    stride: int

    @property
    def key(self) -> str:
        """What a table calls it."""
        channels = "-".join(str(each) for each in (self.in_channels, self.mid_channels, self.out_channels) if each)
        return f"{self.kind} {channels} @{self.size}" + f" /{self.stride}" * (self.stride > 1)


def blocks_of(architecture: Architecture, scale: Scale) -> Iterator[Block]:
    """The blocks of a network, in the order of computation."""
    sizes = _sizes(scale)
    channels = architecture.stem_channels
    yield _stem(channels, scale)
    for index, stage in enumerate(architecture.stages):
        for number, mid in enumerate(stage.mid_channels):
            yield _residual(index, number, channels, mid, stage.out_channels, sizes)
            channels = stage.out_channels
    yield _head(channels, scale, sizes)


def all_blocks(scale: Scale) -> list[Block]:
    """Every distinct block of a space's digits, in order: each architecture consists of these."""
    return sorted({block for _, _, block in _by_digits(scale)})


def _by_digits(scale: Scale) -> Iterator[tuple[str, tuple[int, ...], Block]]:
    """Every block with the column of a table and the place in it that digits name."""
    sizes, table = _sizes(scale), scale.space.channels
    for stage, widths in enumerate(table):
        for (out, width), (mid, inner) in product(enumerate(widths, 1), repeat=2):
            yield "later", (stage, mid, out), _residual(stage, 1, width, inner, width, sizes)
            for before, given in enumerate(table[stage - 1], 1) if stage else ():
                yield "first", (stage, before, mid, out), _residual(stage, 0, given, inner, width, sizes)
    for digit, width in enumerate(table[0], 1):
        yield "stem", (digit,), _stem(width, scale)
    for digit, width in enumerate(table[-1], 1):
        yield "head", (digit,), _head(width, scale, sizes)


def _sizes(scale: Scale) -> list[int]:
    """The side of every stage's output; stage 1 keeps that of the stem."""
    halvings = [scale.space.stem.stride] + [2] * scale.space.stem.pool
    size = scale.resolution
    for stride in halvings:
        size = strided(size, stride)
    sizes = [size]
    while len(sizes) < STAGES:
        sizes.append(strided(sizes[-1], 2))
    return sizes


def _stem(channels: int, scale: Scale) -> Block:
    return Block(STEM, IN_CHANNELS, 0, channels, scale.resolution, scale.space.stem.stride)


def _residual(stage: int, number: int, given: int, mid: int, out: int, sizes: Sequence[int]) -> Block:
    halves = stage > 0 and number == 0
    return Block(RESIDUAL, given, mid, out, sizes[stage - halves], 1 + halves)


def _head(channels: int, scale: Scale, sizes: Sequence[int]) -> Block:
    return Block(HEAD, channels, 0, scale.num_classes, sizes[-1], 1)


class BlockTime(Strict):
    """The median of a block's repeats, and the middle half of them, in milliseconds."""

    ms: Milliseconds
    low: Milliseconds
    high: Milliseconds


class NetworkTime(Strict):
    """A whole network, measured beside the blocks: what their sum is checked against."""

    code: str
    measured_ms: Milliseconds
    sum_ms: Milliseconds


class Correction(Strict):
    """What turns the sum of blocks that ran alone into the time of a network."""

    factor: float
    per_block_ms: float

    def total(self, milliseconds: Any, blocks: Any) -> Any:
        """Of a sum and how many blocks it has, numbers or arrays."""
        return self.factor * milliseconds + self.per_block_ms * blocks


class LatencyTable(Strict):
    """The document of `kit latency measure`."""

    format: Literal[1]
    profile: Name
    space: dict[str, Any]
    resolution: PositiveInt
    classes: PositiveInt
    device: str
    backend: str
    threads: PositiveInt
    batch: PositiveInt
    versions: dict[str, str]
    repeats: PositiveInt
    """Of each block, at least."""
    seconds: float
    spread: float
    """The middle half of a block's repeats over their median: the median of all blocks."""
    other_cores: float
    """That other processes kept busy meanwhile."""
    doubts: str
    """Why the times are not to be believed; nothing if they are."""
    pearson: Annotated[float, Field(ge=-1, le=1)]
    mean_absolute_error_percent: Annotated[float, Field(ge=0)]
    """Of the sums, over the whole networks."""
    networks: Annotated[tuple[NetworkTime, ...], Field(strict=False)]
    correction: Correction
    """Fitted on other whole networks than these."""
    blocks: Annotated[dict[str, BlockTime], Field(max_length=MOST_BLOCKS)]

    @cached_property
    def scale(self) -> Scale:
        """What the digits of a code mean here, image size and classes."""
        return Scale(SearchSpace.from_json(self.space), self.resolution, self.classes)

    def milliseconds(self, architecture: Architecture) -> float:
        """Of one batch: the sum over an architecture's blocks. Raises `InputError` for a block that was not measured."""
        times = [self._of(block) for block in blocks_of(architecture, self.scale)]
        found: float = self.correction.total(sum(times), len(times))
        return found

    def pool_milliseconds(self, codes: Sequence[str]) -> "NDArray[np.float64]":
        """`milliseconds` of many valid codes at once, shape (codes,), equal but for the order of sums."""
        import numpy as np

        if len(codes) > AT_ONCE:
            return np.concatenate(
                [self.pool_milliseconds(codes[start : start + AT_ONCE]) for start in range(0, len(codes), AT_ONCE)]
            )
        digits, times = code_digits(codes), self._arrays
        before = digits[:, STEM_POSITION]
        total: NDArray[np.float64] = times["stem"][before]
        position = FIRST_SLOT_POSITION
        for stage, slots in enumerate(SLOTS):
            out = digits[:, position + 1]
            for slot in range(slots):
                mid = digits[:, position + 2 * slot]
                own = times["first"][stage, before, mid, out] if stage and not slot else times["later"][stage, mid, out]
                total = total + own
            position, before = position + 2 * slots, out
        depths = digits[:, 1 : 1 + STAGES].sum(axis=1)
        found: NDArray[np.float64] = self.correction.total(total + times["head"][before], depths + 2)
        return found

    def by_code(self, codes: Sequence[str]) -> dict[str, float]:
        """`pool_milliseconds`, to look up."""
        return dict(zip(codes, self.pool_milliseconds(codes).tolist(), strict=True))

    def check_fits(self, scale: Scale, what: str) -> None:
        """Raise `InputError` where a table is of another space, image size or number of classes than `what`, or has gaps."""
        own, wanted = self.scale, scale
        pairs = {
            "base channels": (own.space.base_channels, wanted.space.base_channels),
            "ratios": (own.space.ratios, wanted.space.ratios),
            "divisor": (own.space.divisor, wanted.space.divisor),
            "stem": (own.space.stem, wanted.space.stem),
            "resolution": (own.resolution, wanted.resolution),
            "classes": (own.num_classes, wanted.num_classes),
        }
        differing = [f"{name} {a}, not {b}" for name, (a, b) in pairs.items() if a != b]
        if differing:
            raise InputError(
                f"the latency table is of profile {self.profile}, not of {what}: it has {'; '.join(differing)}",
                hint=f"measure one with `kit latency measure --profile ...` for {what}",
            )
        for block in all_blocks(own):
            self._of(block)

    def describe(self) -> str:
        """One line for wherever its figures are shown."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return (
            f"latency: {self.backend} on {self.device}, {threads}, batch {self.batch}; sums of blocks against "
            f"{len(self.networks)} whole networks: r {self.pearson:.3f}, mean error {self.mean_absolute_error_percent:.1f} %"
            + (f"; not to be believed: {self.doubts}" if self.doubts else "")
        )

    def brief(self) -> str:
        """The same in few words, for a line that has other things to say."""
        found = f"ms by {self.backend}, batch {self.batch} (sums: r {self.pearson:.2f}, error "
        return f"{found}{self.mean_absolute_error_percent:.0f} %)" + " noisy" * bool(self.doubts)

    def _of(self, block: Block) -> float:
        time = self.blocks.get(block.key)
        if time is None:
            raise InputError(
                f"the latency table of profile {self.profile} has no {block.key!r}",
                hint="measure the table again with `kit latency measure`",
            )
        return time.ms

    @cached_property
    def _arrays(self) -> "dict[str, NDArray[np.float64]]":
        """The times by digits; digit 0 is an empty slot, which takes none."""
        import numpy as np

        digits = len(self.scale.space.ratios) + 1
        shapes = {"stem": 1, "head": 1, "later": 2, "first": 3}
        found = {name: np.zeros((STAGES,) * (digits_of > 1) + (digits,) * digits_of) for name, digits_of in shapes.items()}
        for name, place, block in _by_digits(self.scale):
            found[name][place] = self._of(block)
        return found


def write_latency(path: Path, table: LatencyTable) -> None:
    """Keep a table."""
    write_json(path, table.model_dump(mode="json"))


def read_latency(path: Path) -> LatencyTable:
    """A table that `write_latency` wrote. Raises `StorageError` or `InputError` where it is missing or none."""
    try:
        return LatencyTable.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(
            f"{path} is no latency table: {first_problem(error)}", hint="make one with `kit latency measure --out FILE`"
        ) from error
