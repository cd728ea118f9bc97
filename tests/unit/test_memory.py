"""When memory runs out: smaller portions, the same scores. And how much a sweep needs in the first place."""

import json
import random
import subprocess
import sys
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.data import Batch
from kit.errors import ExitCode, StorageError
from kit.evaluation import EvaluationImages, Unit
from kit.evaluation.memory import Portions, memory_errors
from kit.evaluation.prefix_tree import score_unit
from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet

SWEEP = """
import json, random, resource, sys
import torch
from kit.data import Batch
from kit.evaluation import EvaluationImages, plan_units
from kit.evaluation.prefix_tree import score_unit
from kit.search_space import SearchSpace, Stem
from kit.supernet import ElasticResNet

subnets, spare_mb, images = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
space = SearchSpace((8, 8, 8, 8), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
generator = torch.Generator().manual_seed(0)
network = ElasticResNet(space, 5, generator=generator, zero_init_last=False).eval()
rng = random.Random(1)
chosen = list(dict.fromkeys(space.restrict(max_depths=(2, 2, 2, 3)).sample(rng) for _ in range(subnets)))
draw = lambda count: torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
seen = EvaluationImages(
    calibration=[draw(200)],
    validation=[Batch(draw(images), torch.randint(5, (images,), generator=generator))],
    prepare=lambda pixels: pixels.float().sub_(128).div_(64),
)
score_unit(network, plan_units(network, chosen[:1])[0], EvaluationImages(**{**vars(seen), "validation": []}))
if spare_mb:
    used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + spare_mb * 2**20,) * 2)
notes = []
scores = [s for unit in plan_units(network, chosen, 16) for s in score_unit(network, unit, seen, note=notes.append)]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"scores": [[s.architecture.code, s.correct] for s in scores], "notes": notes, "peak_kb": peak}))
"""


def sweep(subnets, images, spare_mb=0):
    command = [sys.executable, "-c", SWEEP, str(subnets), str(spare_mb), str(images)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_too_little_memory_changes_no_score():
    # The room is too small for the whole batch's activations, but holds what oneDNN keeps for every size that is tried.
    enough, little = sweep(2, 24000), sweep(2, 24000, spare_mb=400)
    assert not enough["notes"]
    assert any("out of memory with 24000 images classified at once" in note for note in little["notes"])
    assert little["scores"] == enough["scores"]


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_subnets():
    few, many = sweep(24, 1000), sweep(120, 1000)
    assert len(many["scores"]) == 120
    # One activation more per sub-network would be 96 x 8 MB.
    assert many["peak_kb"] < few["peak_kb"] + 100_000


ONEDNN = "could not create a primitive"


@pytest.fixture(scope="module")
def _uncollected():
    """Collecting garbage takes a while in a large process, and is no part of the laws."""
    with patch("kit.evaluation.memory._give_back"):
        yield


@pytest.mark.usefixtures("_uncollected")
@settings(max_examples=20)
@given(st.lists(st.integers(), max_size=8), st.integers(1, 9))
def test_portions_give_the_results_of_the_whole(items, room):
    notes = []

    def work(part):
        if len(part) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return [item * 2 for item in part]

    assert Portions("things", notes.append)(work, items) == [item * 2 for item in items]
    assert bool(notes) == (len(items) > room)


@pytest.mark.usefixtures("_uncollected")
@settings(max_examples=20)
@given(st.integers(1, 40), st.lists(st.booleans(), min_size=80, max_size=80))
def test_memory_that_comes_and_goes_is_tried_a_few_times_only(count, failing):
    calls = iter(failing)
    failed = []

    def work(part):
        if next(calls):
            failed.append(len(part))
            raise RuntimeError(ONEDNN)
        return list(part)

    portions = Portions("things", lambda message: None)
    try:
        for _ in range(2):  # what was learnt of one batch holds for the next
            assert portions(work, range(count)) == list(range(count))
    except StorageError as error:
        assert f"out of memory ({ONEDNN}) with 1 things" in str(error)
    assert len(failed) <= count.bit_length()


def small_sweep(room):
    """Scores of five sub-networks on 30 images, `room` of which fit into memory at once, and what was said about it."""
    space = SearchSpace((4, 4, 4, 4), (1.0,) * 7, 1, Stem(3, 2, False))
    generator = torch.Generator().manual_seed(0)
    network = ElasticResNet(space, 5, generator=generator, zero_init_last=False).eval()

    def prepare(pixels):
        if len(pixels) > room:
            raise RuntimeError(ONEDNN)
        return pixels.double()

    draw = lambda count: torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)  # noqa: E731
    batches = [Batch(draw(15), torch.randint(5, (15,), generator=generator)) for _ in range(2)]
    rng, notes = random.Random(1), []
    unit = Unit(tuple(space.sample(rng) for _ in range(5)))
    images = EvaluationImages(calibration=[draw(3)], validation=batches, prepare=prepare)
    return [score.correct for score in score_unit(network.double(), unit, images, note=notes.append)], notes


def test_onednn_out_of_memory_halves_once_and_changes_no_score():
    scores, notes = small_sweep(7)
    assert (scores, []) == small_sweep(30)
    assert notes == [f"out of memory ({ONEDNN}) with 15 images classified at once: going on with 7, with the same results"]


def test_calibration_that_never_fits_ends_in_words():
    with pytest.raises(StorageError, match="with 1 sub-networks calibrated at once") as caught:
        small_sweep(2)
    assert caught.value.hint and caught.value.exit_code == ExitCode.STORAGE


def test_a_device_is_out_of_memory_by_class():
    with pytest.raises(StorageError, match="out of memory"), memory_errors():
        raise torch.OutOfMemoryError("CUDA: tried to allocate 2 GiB")


@pytest.mark.parametrize("text", ["shapes do not match", f"{ONEDNN} descriptor for a convolution"])
def test_other_errors_are_left_alone(text):
    def work(part):
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=text), memory_errors():
        Portions("sub-networks", lambda message: None)(work, (1, 2))
