"""The search space of elastic ResNet-48s: architectures as values, spaces as sets of them.

A code has 52 digits: image size (always 1), four depths, the stem's width digit, then two width digits (conv1, conv2) for
each of 5 + 5 + 8 + 5 block slots. A stage of depth d fills its first d slots; the others are `00`. Width digits 1..7 stand
for ratios of the stage's base channels. The residual sum allows one output width per stage, and since stage 1 has no
shortcut convolution, the stem has stage 1's output width.
"""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

from kit.errors import InputError

CODE_LENGTH = 52
SLOTS = (5, 5, 8, 5)
STAGES = len(SLOTS)
MIN_DEPTH = 2
PAPER_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
ALL_DIGITS = tuple(range(1, len(PAPER_RATIOS) + 1))
FIRST_SLOT_POSITION = 6
STEM_POSITION = 5
OUT_POSITIONS = (7, 17, 27, 43)
"""Where a code has the output digit of each stage: behind its first block."""

Depths = tuple[int, ...]
Choices = tuple[Depths, list[int], list[list[int]]]
"""Depths, the output digit of each stage, the conv1 digit of each block: all that an architecture is free in."""


class InvalidArchitectureError(InputError):
    """A code that no architecture of the space has; `position` counts digits from 1."""

    def __init__(self, message: str, *, position: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.position = position


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: a common output width and one inner width per block (its length is the depth)."""

    out_channels: int
    mid_channels: tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """One sub-network of the space, parsed from its code. Two codes may share a shape, so the code is part of the value."""

    code: str
    stages: tuple[Stage, ...]

    @property
    def depths(self) -> Depths:
        return tuple(len(stage.mid_channels) for stage in self.stages)

    @property
    def stem_channels(self) -> int:
        return self.stages[0].out_channels

    @property
    def out_digits(self) -> tuple[int, ...]:
        """The output digit of each stage."""
        return tuple(int(self.code[at]) for at in OUT_POSITIONS)

    @property
    def choices(self) -> Choices:
        """The free choices that `SearchSpace.build` makes it of."""
        starts = (position - 1 for position in OUT_POSITIONS)  # of each stage's first slot
        mids = [
            [int(self.code[at + 2 * block]) for block in range(depth)] for at, depth in zip(starts, self.depths, strict=True)
        ]
        return self.depths, list(self.out_digits), mids

    @property
    def width_digits(self) -> tuple[int, ...]:
        """The stem's digit and the 46 slot digits, `0` where a slot is empty: the coordinates of CPT's distance."""
        return tuple(int(digit) for digit in self.code[STEM_POSITION:])

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution: 7 x 7, stride 2, max pool for ImageNet; smaller for small images."""

    kernel: int = 7
    stride: int = 2
    pool: bool = True


@dataclass(frozen=True)
class SearchSpace:
    """A set of architectures: allowed depth combinations and, per stage, the largest width digit and the output digits.

    `base_channels`, `ratios`, `divisor` and `stem` fix what the digits mean; the other fields say which digits are allowed
    (`out_digits` None: all up to the largest). Progressive shrinking is a list of such sets, a sub-supernet owns one.
    """

    base_channels: tuple[int, ...] = (64, 128, 256, 512)
    ratios: tuple[float, ...] = PAPER_RATIOS
    divisor: int = 8
    stem: Stem = Stem()
    depth_choices: tuple[Depths, ...] = tuple(itertools.product(*(range(MIN_DEPTH, slots + 1) for slots in SLOTS)))
    max_digits: tuple[int, ...] = (7, 7, 7, 7)
    out_digits: tuple[tuple[int, ...], ...] | None = None

    @cached_property
    def out_choices(self) -> tuple[tuple[int, ...], ...]:
        """The output digits that each stage may have."""
        digits = self.out_digits or (ALL_DIGITS,) * STAGES
        return tuple(tuple(d for d in own if d <= limit) for own, limit in zip(digits, self.max_digits, strict=True))

    @cached_property
    def channels(self) -> tuple[tuple[int, ...], ...]:
        """Channels by stage and width digit: `channels[stage][digit - 1]`."""
        return tuple(
            tuple(round_channels(base * ratio, self.divisor) for ratio in self.ratios) for base in self.base_channels
        )

    def parse(self, code: str) -> Architecture:
        """The architecture with this code.

        Raises `InvalidArchitectureError`, naming the first offending digit (counted from 1), what was expected and why.
        """
        depths = _parse_depths(code)
        if depths not in self.depth_set:
            _refuse(2, code, f"depths {depths} are not in this space ({self.describe()})")
        digits = [int(digit) for digit in code]
        self._check_width(code, STEM_POSITION, stage=0)
        stages = []
        position = FIRST_SLOT_POSITION
        for stage, (slots, depth) in enumerate(zip(SLOTS, depths, strict=True)):
            out_digit = digits[position + 1]
            for block in range(depth):
                at = position + 2 * block
                self._check_width(code, at, stage)
                self._check_width(code, at + 1, stage)
                if digits[at + 1] != out_digit:
                    reason = f"the residual sum needs the stage's conv2 digit {out_digit}, as in its first block"
                    _refuse(at + 2, code, reason)
            if out_digit not in self.out_choices[stage]:
                _refuse(position + 2, code, f"stage {stage + 1} takes output digits {_listed(self.out_choices[stage])} here")
            for at in range(position + 2 * depth, position + 2 * slots):
                if digits[at] != 0:
                    _refuse(at + 1, code, f"stage {stage + 1} has depth {depth}: slots after it must be 00")
            if stage == 0 and digits[STEM_POSITION] != out_digit:
                reason = f"the stem must equal stage 1's conv2 digit {out_digit} (stage 1 has no shortcut convolution)"
                _refuse(STEM_POSITION + 1, code, reason)
            table = self.channels[stage]
            mids = tuple(table[digits[position + 2 * block] - 1] for block in range(depth))
            stages.append(Stage(table[out_digit - 1], mids))
            position += 2 * slots
        return Architecture(code, tuple(stages))

    def build(self, depths: Sequence[int], out_digits: Sequence[int], mid_digits: Sequence[Sequence[int]]) -> Architecture:
        """The architecture with these free choices: depths, one output digit per stage, one conv1 digit per block."""
        slots = [
            "".join(f"{mid}{out}" for mid in mids) + "00" * (limit - len(mids))
            for out, mids, limit in zip(out_digits, mid_digits, SLOTS, strict=True)
        ]
        return self.parse("1" + "".join(map(str, depths)) + str(out_digits[0]) + "".join(slots))

    def sample(self, rng: random.Random) -> Architecture:
        """Draw depths, then one output digit per stage, then one conv1 digit per block, each uniformly."""
        return self.build(*self.draw(rng))

    def draw(self, rng: random.Random) -> Choices:
        """The free choices of `sample`: a tenth of the time, for who draws many and builds few."""
        depths = self.depth_choices[rng.randrange(len(self.depth_choices))]
        outs = [choices[rng.randrange(len(choices))] for choices in self.out_choices]
        mids = [
            [1 + rng.randrange(limit) for _ in range(depth)] for depth, limit in zip(depths, self.max_digits, strict=True)
        ]
        return depths, outs, mids

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Another architecture of this space that differs in one free choice: a depth, an output or an inner digit.

        Blocks that a larger depth adds get drawn inner digits. Raises `InputError` where the space has nothing near.
        """
        depths, outs, mids = architecture.choices
        genes = [("depth", stage, 0) for stage in range(STAGES)] + [("out", stage, 0) for stage in range(STAGES)]
        genes += [("mid", stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
        for kind, stage, block in rng.sample(genes, len(genes)):
            if kind == "depth":
                others = [each for each in self.depth_choices if _differs_only_at(each, depths, stage)]
                if others:
                    depths = rng.choice(others)
                    limit, wanted = self.max_digits[stage], depths[stage]
                    mids[stage] = (mids[stage] + [rng.randint(1, limit) for _ in range(wanted)])[:wanted]
                    return self.build(depths, outs, mids)
                continue
            own = outs if kind == "out" else mids[stage]
            at = stage if kind == "out" else block
            possible = self.out_choices[stage] if kind == "out" else range(1, self.max_digits[stage] + 1)
            digits = [digit for digit in possible if digit != own[at]]
            if digits:
                own[at] = rng.choice(digits)
                return self.build(depths, outs, mids)
        raise InputError(f"{architecture} is the only architecture of its kind here ({self.describe()})")

    def restrict(
        self,
        *,
        min_depths: Sequence[int] | None = None,
        max_depths: Sequence[int] | None = None,
        max_digits: Sequence[int] | None = None,
        depth_choices: Iterable[Sequence[int]] | None = None,
        out_digits: Sequence[Iterable[int]] | None = None,
    ) -> "SearchSpace":
        """The subspace with these further limits (never larger than this space). Raises `InputError` if it is empty."""
        low = tuple(min_depths or (MIN_DEPTH,) * STAGES)
        high = tuple(max_depths or SLOTS)
        allowed = self.depth_set if depth_choices is None else {tuple(depths) for depths in depth_choices}
        limits = tuple(max_digits or self.max_digits)
        if not len(low) == len(high) == len(limits) == STAGES:
            raise InputError(f"a subspace needs {STAGES} values, one per stage: {low}, {high}, {limits}")
        kept = tuple(
            depths
            for depths in self.depth_choices
            if depths in allowed and all(a <= d <= b for a, d, b in zip(low, depths, high, strict=True))
        )
        narrowed = tuple(min(a, b) for a, b in zip(self.max_digits, limits, strict=True))
        outs = self.out_digits
        if out_digits is not None:
            outs = tuple(tuple(sorted({*own} & {*new})) for own, new in zip(self.out_choices, out_digits, strict=True))
        subspace = replace(self, depth_choices=kept, max_digits=narrowed, out_digits=outs)
        if not kept or not all(subspace.out_choices):
            raise InputError(f"the subspace with depths {low} to {high} and width digits up to {limits} is empty")
        return subspace

    def owns(self, architecture: Architecture) -> bool:
        """Whether depths and output digits are this space's: cells of a partition differ in nothing else."""
        if architecture.depths not in self.depth_set:
            return False
        pairs = zip(architecture.out_digits, self.out_digits or (), strict=False)
        return all(digit in digits for digit, digits in pairs)

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        try:
            return self.parse(architecture.code) == architecture
        except InvalidArchitectureError:
            return False

    @cached_property
    def size(self) -> int:
        """How many codes the space has."""
        total = 0
        for depths in self.depth_choices:
            choices = 1
            for depth, limit, outs in zip(depths, self.max_digits, self.out_choices, strict=True):
                choices *= limit**depth * len(outs)
            total += choices
        return total

    @property
    def largest(self) -> Architecture:
        """The deepest architecture at full width; a supernet's weights have its shapes."""
        depths = max(self.depth_choices, key=lambda depths: (sum(depths), depths))
        return self.build(depths, [min(outs) for outs in self.out_choices], [(1,) * depth for depth in depths])

    @property
    def smallest(self) -> Architecture:
        """The shallowest architecture at the smallest widths."""
        depths = min(self.depth_choices, key=lambda depths: (sum(depths), depths))
        mids = [(d,) * depth for d, depth in zip(self.max_digits, depths, strict=True)]
        return self.build(depths, [max(outs) for outs in self.out_choices], mids)

    @property
    def whole(self) -> "SearchSpace":
        """The space of all codes that share this space's meaning of digits."""
        return SearchSpace(self.base_channels, self.ratios, self.divisor, self.stem, max_digits=(len(self.ratios),) * STAGES)

    def describe(self) -> str:
        """One line for people: depth ranges and width limits."""
        columns = list(zip(*self.depth_choices, strict=True))
        ranges = " ".join(f"{min(column)}-{max(column)}" for column in columns)
        widths = " ".join(map(str, self.max_digits))
        text = f"depths {ranges} ({len(self.depth_choices)} combinations), width digits up to {widths}"
        if self.out_digits is None:
            return text
        return f"{text}, output digits {' '.join(map(_listed, self.out_choices))}"

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal space."""
        outs = {} if self.out_digits is None else {"out_digits": [_listed(digits) for digits in self.out_digits]}
        return {
            "base_channels": list(self.base_channels),
            "ratios": list(self.ratios),
            "divisor": self.divisor,
            "stem": {"kernel": self.stem.kernel, "stride": self.stem.stride, "pool": self.stem.pool},
            "depth_choices": ["".join(map(str, depths)) for depths in self.depth_choices],
            "max_digits": list(self.max_digits),
            **outs,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "SearchSpace":
        """The space that `to_json` described. Raises `InputError` when the value is not such a description."""
        try:
            outs = value.get("out_digits")
            return cls(
                tuple(int(base) for base in value["base_channels"]),
                tuple(float(ratio) for ratio in value["ratios"]),
                int(value["divisor"]),
                Stem(**value["stem"]),
                tuple(tuple(int(depth) for depth in text) for text in value["depth_choices"]),
                tuple(int(digit) for digit in value["max_digits"]),
                None if outs is None else tuple(tuple(int(digit) for digit in text) for text in outs),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a description of a search space: {error!r}") from error

    @cached_property
    def depth_set(self) -> frozenset[Depths]:
        return frozenset(self.depth_choices)

    def _check_width(self, code: str, at: int, stage: int) -> None:
        limit = self.max_digits[stage]
        if not 1 <= int(code[at]) <= limit:
            where = "the stem" if at == STEM_POSITION else f"stage {stage + 1}"
            reason = f"{where} takes width digits 1..{limit} here"
            if code[at] == "0":
                reason += "; 0 only fills slots after the stage's depth"
            _refuse(at + 1, code, reason)


@dataclass(frozen=True)
class Scale:
    """At which size architectures are meant: what their digits stand for, pixels of an image's side, classes."""

    space: SearchSpace
    resolution: int
    num_classes: int


def _differs_only_at(one: Depths, other: Depths, stage: int) -> bool:
    return all((a != b) == (place == stage) for place, (a, b) in enumerate(zip(one, other, strict=True)))


def round_channels(channels: float, divisor: int) -> int:
    """Round to the nearest multiple of `divisor`, never more than 10 % below `channels` (the challenge's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _parse_depths(code: str) -> Depths:
    if len(code) != CODE_LENGTH:
        message = f"a code has {CODE_LENGTH} digits, this one has {len(code)}: {code[:80]!r}"
        hint = None
        if len(code) == CODE_LENGTH - 1:
            hint = "put the image-size digit 1 in front, as the challenge's JSON has it"
        raise InvalidArchitectureError(message, position=min(len(code), CODE_LENGTH) + 1, hint=hint)
    for position, digit in enumerate(code, 1):
        if digit not in "0123456789":
            _refuse(position, code, "only the digits 0..9 may occur")
    if code[0] != "1":
        _refuse(1, code, "the image size is always 1 (224 pixels)")
    for stage, slots in enumerate(SLOTS):
        if not MIN_DEPTH <= int(code[1 + stage]) <= slots:
            _refuse(2 + stage, code, f"stage {stage + 1} has depths {MIN_DEPTH}..{slots}")
    return tuple(int(digit) for digit in code[1 : 1 + STAGES])


def _listed(digits: Sequence[int]) -> str:
    return "".join(map(str, digits))


def _refuse(position: int, code: str, reason: str) -> NoReturn:
    raise InvalidArchitectureError(f"digit {position} of {code} is {code[position - 1]}: {reason}", position=position)


RESNET48 = SearchSpace()
"""The organisers' space: width digits 1..7 in every stage."""

PUBLISHED = RESNET48.restrict(max_digits=(3, 3, 5, 7))
"""The subspace of the 45,000 published codes."""
