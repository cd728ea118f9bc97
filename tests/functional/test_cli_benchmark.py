"""`kit benchmark` as a script reads it: fields, the profile's threads, and words where the figures mean nothing."""

import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
import torch
from conftest import Outcome, Small
from kit_process import MODULE, PATIENCE

from kit.benchmark.device_checks import DeviceChecks
from kit.recipe import load_profile
from kit.training import shared_backward

SPREAD = {"repeats", "noise", "other_cores", "quiet", "doubts"}
RATIO = {"ratio", "ratio_low", "ratio_high"}
TIMED = {
    "sweep": {"subnets", "images", "tree_seconds", "one_by_one_seconds", "identical_predictions", "macs_one_by_one"}
    | {"macs_tree", "estimate_full_pool_hours", *RATIO},
    "step": {"d1", "d3", "w1", "w3", "cpt", "sse", "sandwich"},
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
    clock, options = {"step": ("processor", ["--processor-time"])}.get(name, ("wall", []))
    done = kit("benchmark", name, "--profile", str(small.profile), "--batch", "4", "--seconds", "0", "--json", *options)
    assert done.code == 0, done.err
    found = done.json
    assert found.keys() >= TIMED[name] | SPREAD
    assert found["threads"] == 1 and found["clock"] == clock  # threads are the profile's
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


def test_a_stack_of_seeds_is_compared_with_one_after_another(kit: Callable[..., Outcome], small: Small) -> None:
    options = ["--architectures", "2", "--stack", "3", "--seconds", "0"]
    done = kit("benchmark", "truth", "--profile", str(small.profile), *options, "--json")
    assert done.code == 0, done.err
    assert (done.json["stack"], done.json["threads"]) == (3, 1) and done.json.keys() >= SPREAD
    for row in (done.json["0"], done.json["1"]):
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["images_per_second"] > 0 and row["max_logit_difference"] < 1e-4
    table = kit("benchmark", "truth", "--profile", str(small.profile), *options)
    assert done.json["0"]["code"] in table.out and "too noisy to believe: 0: " in table.err


def test_a_device_is_compared_with_the_cpu(kit: Callable[..., Outcome], small: Small, monkeypatch) -> None:
    monkeypatch.setattr("kit.benchmark.device_checks.NEAR_TIES", -1.0)  # no predictions are as equal as that
    done = kit("benchmark", "device", "--profile", str(small.profile), "--seconds", "0", "--json")
    found = done.json
    assert done.code == 1, "a check failed"
    checks = {check["name"]: check for check in found["checks"]}
    # Where a CPU has AMX, PyTorch's bfloat16 convolutions may read memory that nobody wrote: in plain timm networks, too.
    failed = {name for name, check in checks.items() if not check["ok"]} - {"gradients, bfloat16"}
    assert failed == {"predictions", "out of memory"}
    assert "going on with 8," in checks["out of memory"]["detail"], "memory was made to run out"
    assert all(check["detail"].startswith(("off by ", "skipped: ")) for check in checks.values() if check["ok"])
    assert found["device"] and found["versions"].keys() >= {"kit", "torch"}
    for part in (found["step"], found["sweep"]):
        assert part["images_per_second"] > 0 and part["ratio_to_cpu"] == 1.0 and part["peak_memory_bytes"] > 1e7
    assert found["step"].keys() >= TIMED["step"] and found["sweep"].keys() >= TIMED["sweep"]
    assert found["sweep"]["share_of_convolution_speed"] > 0 and found["sweep"]["variants"]["channels_last"]["ratio"] > 0
    assert "min left" in done.err


def test_a_device_that_leaves_a_path_out_is_found(small: Small, monkeypatch) -> None:
    calls = []

    def forgetful(network, images, labels, paths, *others, **options):
        calls.append(paths)
        return shared_backward(network, images, labels, paths[: -(len(calls) == 2) or None], *others, **options)

    check = DeviceChecks(load_profile(str(small.profile)), None, torch.device("cpu")).all["gradients, float32"]
    assert check()[0]
    monkeypatch.setattr("kit.benchmark.device_checks.shared_backward", forgetful)
    ok, detail = check()  # the exact gradient, the device's, and what the CPU is off by itself
    assert len(calls) == 3 and not ok, detail


@pytest.mark.slow
def test_the_dashboard_is_timed_in_a_terminal_of_its_own(kit):
    document = kit("benchmark", "dashboard", "--events", "200", "--rows", "40", "--seconds", "1", "--json").json
    assert document["keys"] == 100 and document["exit_code"] == 0
    assert 0 < document["key_median_seconds"] <= document["key_max_seconds"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="terminals as Linux has them")
def test_a_killed_benchmark_takes_its_dashboard_with_it() -> None:
    process = subprocess.Popen([sys.executable, "-m", MODULE, "benchmark", "dashboard"], stderr=subprocess.DEVNULL)
    found: list[psutil.Process] = []
    deadline = time.monotonic() + PATIENCE
    while not found and time.monotonic() < deadline:
        time.sleep(0.05)
        found = [child for child in psutil.Process(process.pid).children(recursive=True) if "--runs" in child.cmdline()]
    process.kill()
    process.wait()
    assert found and not psutil.wait_procs(found, timeout=PATIENCE)[1]
