import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.pool import load_pool
from kit.recipe import load_recipe
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError, SearchSpace

FULL = "1558511111111111111111111111111111111111111111111111"
SEEDS = st.integers(0, 2**32)


@given(SEEDS)
def test_a_sampled_architecture_parses_back_and_belongs(seed):
    architecture = PUBLISHED.sample(random.Random(seed))
    assert RESNET48.parse(architecture.code) == architecture
    assert architecture in PUBLISHED and architecture in RESNET48
    assert architecture.stem_channels == architecture.stages[0].out_channels
    assert architecture.depths == tuple(int(digit) for digit in architecture.code[1:5])


@given(SEEDS)
def test_a_subspace_is_never_larger_and_holds_its_own(seed):
    rng = random.Random(seed)
    low = [rng.randint(2, 4) for _ in range(4)]
    digits = [rng.randint(1, 7) for _ in range(4)]
    subspace = PUBLISHED.restrict(min_depths=low, max_digits=digits)
    architecture = subspace.sample(rng)
    assert subspace.size <= PUBLISHED.size and architecture in PUBLISHED and architecture in subspace
    assert all(depth >= least for depth, least in zip(architecture.depths, low, strict=True))


def test_size_counts_what_enumeration_finds():
    small = RESNET48.restrict(max_depths=(2, 3, 2, 2), max_digits=(2, 1, 2, 1))
    codes = set()
    for depths in small.depth_choices:
        for outs in itertools.product(*(range(1, limit + 1) for limit in small.max_digits)):
            choices = [
                itertools.product(range(1, limit + 1), repeat=d) for d, limit in zip(depths, small.max_digits, strict=True)
            ]
            codes |= {small.build(depths, outs, mids).code for mids in itertools.product(*choices)}
    assert len(codes) == small.size
    assert all(code in codes for code in (small.sample(random.Random(seed)).code for seed in range(50)))


def test_channel_tables_are_the_challenges():
    assert RESNET48.channels == (
        (64, 64, 56, 56, 48, 48, 48),
        (128, 120, 112, 112, 104, 96, 88),
        (256, 240, 232, 216, 208, 192, 176),
        (512, 488, 464, 432, 408, 384, 360),
    )


def test_the_full_network_is_the_largest():
    assert RESNET48.parse(FULL) == RESNET48.largest


def test_the_cells_part_the_public_pool_as_published(public_pool_path):
    pool = load_pool(public_pool_path, PUBLISHED)
    cells = load_recipe("sse34").partition.subspaces(RESNET48)
    owned = [sum(each.depths in cell.depth_set for each in pool.architectures) for cell in cells]
    assert owned == [4752, 9715, 4918, 9719, 15896]
    assert len({each.depths for each in pool.architectures}) == 448


@pytest.mark.parametrize(
    ("change", "position", "why"),
    [
        (lambda c: c[1:], 52, "52 digits"),
        (lambda c: c + "0", 53, "52 digits"),
        (lambda c: "2" + c[1:], 1, "image size"),
        (lambda c: c[0] + "6" + c[2:], 2, "depths 2..5"),
        (lambda c: c[:3] + "9" + c[4:], 4, "depths 2..8"),
        (lambda c: c[:5] + "2" + c[6:], 6, "stem"),
        (lambda c: c[:6] + "8" + c[7:], 7, "1..7"),
        (lambda c: c[:6] + "0" + c[7:], 7, "0 only fills slots"),
        (lambda c: c[:9] + "2" + c[10:], 10, "residual sum"),
        (lambda c: c[:20] + "x" + c[21:], 21, "0..9"),
        (lambda c: c[:20] + "\u0661" + c[21:], 21, "0..9"),
        (lambda c: c[0] + "4" + c[2:], 15, "must be 00"),
    ],
)
def test_a_broken_code_is_refused_where_it_breaks(change, position, why):
    with pytest.raises(InvalidArchitectureError, match=why) as refusal:
        RESNET48.parse(change(FULL))
    assert refusal.value.position == position


def test_51_digits_get_a_hint():
    with pytest.raises(InvalidArchitectureError) as refusal:
        RESNET48.parse(FULL[1:])
    assert "in front" in refusal.value.hint


@given(SEEDS)
def test_output_digits_may_be_chosen(seed):
    rng = random.Random(seed)
    chosen = [rng.sample(range(1, limit + 1), rng.randint(1, limit)) for limit in PUBLISHED.max_digits]
    space = PUBLISHED.restrict(out_digits=chosen)
    for architecture in (space.sample(rng), space.largest, space.smallest):
        assert architecture in space and space.owns(architecture)
        assert all(digit in digits for digit, digits in zip(architecture.out_digits, chosen, strict=True))
    other = PUBLISHED.sample(rng)
    assert (other in space) == space.owns(other) == all(d in own for d, own in zip(other.out_digits, chosen, strict=True))
    shares = [len(own) / limit for own, limit in zip(chosen, PUBLISHED.max_digits, strict=True)]
    assert space.size == pytest.approx(PUBLISHED.size * math.prod(shares), rel=1e-12)
    assert SearchSpace.from_json(space.to_json()) == space
    if not space.owns(other):
        with pytest.raises(InvalidArchitectureError, match="takes output digits"):
            space.parse(other.code)


def test_all_output_digits_draw_and_are_written_as_before():
    everything = PUBLISHED.restrict(out_digits=[range(1, 8)] * 4)
    for seed in range(20):
        assert everything.sample(random.Random(seed)) == PUBLISHED.sample(random.Random(seed))
    assert "out_digits" not in PUBLISHED.to_json() and "out_digits" in everything.to_json()
    with pytest.raises(InputError, match="is empty"):
        PUBLISHED.restrict(out_digits=[[1], [1], [6, 7], [1]])


@given(SEEDS)
def test_a_description_gives_the_space_back(seed):
    rng = random.Random(seed)
    space = SearchSpace(base_channels=(8, 16, 24, 32), divisor=rng.choice([1, 2, 8])).restrict(
        min_depths=[rng.randint(2, 5) for _ in range(4)]
    )
    assert SearchSpace.from_json(space.to_json()) == space
