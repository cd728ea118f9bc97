"""When memory runs out: smaller portions, the same scores. And how much a sweep needs in the first place."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import StorageError
from kit.evaluation.memory import in_halves

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


@settings(max_examples=20)  # each portion collects garbage, which takes a while in a large process
@given(st.lists(st.integers(), max_size=8), st.integers(1, 9))
def test_halves_give_the_results_of_the_whole(items, room):
    notes = []

    def work(part):
        if len(part) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return [item * 2 for item in part]

    assert in_halves(work, items, what="things", note=notes.append) == [item * 2 for item in items]
    assert bool(notes) == (len(items) > room)


def test_one_item_too_many_is_a_clear_error():
    def work(part):
        raise MemoryError

    with pytest.raises(StorageError, match="out of memory with 1 sub-networks"):
        in_halves(work, (1, 2), what="sub-networks calibrated", note=lambda message: None)


def test_other_errors_are_left_alone():
    def work(part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(work, (1, 2), what="sub-networks", note=lambda message: None)
