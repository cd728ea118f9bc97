"""`kit benchmark` as a script reads it: fields, the profile's threads, and words where the figures mean nothing."""

from collections.abc import Callable

import pytest
import torch
from conftest import Outcome, Small

SPREAD = {"repeats", "noise", "other_cores", "quiet", "doubts"}
RATIO = {"ratio", "ratio_low", "ratio_high"}
TIMED = {
    "sweep": {"subnets", "images", "tree_seconds", "one_by_one_seconds", "identical_predictions", "macs_one_by_one"}
    | {"macs_tree", "estimate_full_pool_hours", *RATIO},
    "step": {"d1", "d3", "w1", "w3", "cpt", "sse"},
}


@pytest.fixture
def other_threads() -> None:
    """PyTorch has another number of threads than the profile names."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("other_threads")
@pytest.mark.parametrize("name", TIMED)
def test_figures_come_with_their_spread(name: str, kit: Callable[..., Outcome], small: Small) -> None:
    done = kit("benchmark", name, "--profile", str(small.profile), "--batch", "4", "--seconds", "0", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found.keys() >= TIMED[name] | SPREAD
    assert found["threads"] == 1  # the profile's
    rows = [found[kind] for kind in TIMED["step"]] if name == "step" else [found]
    for row in rows:
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    if name == "step":
        assert all(
            0 < row["static_ratio_low"] <= row["static_ratio"] and row["max_gradient_difference"] < 1e-3 for row in rows
        )
    assert found.get("identical_predictions", True)
    # There was time for one round only: that is said, on stderr and in the document.
    assert found["repeats"] == 1 and not found["quiet"] and "too few" in found["doubts"]
    assert "too noisy to believe: " in done.err
