"""Several processes of one run under PyTorch's launcher: the same mathematics, and nothing lost when one dies or hangs."""

import signal
import subprocess
import sys
import textwrap

import psutil
import pytest
import torch
from kit_process import PATIENCE, SERVER
from safetensors.torch import load_file

from kit.events import RunFinished, RunStopped, StepDone, SubnetEvaluated
from kit.pool import draw_pool, write_predictions
from kit.recipe import load_profile
from kit.records import read_records
from kit.training import separate_backward, shared_backward

TWO = ("--nproc-per-node", "2")

GRADIENTS = """
import sys
import torch, torch.distributed as dist
from safetensors.torch import save_file
from kit.process_group import open_process_group
from kit.training import Path, separate_backward, shared_backward
sys.path.insert(0, sys.argv[2])
from gradient_case import case

network, images, labels, paths = case()
calls = []
real = dist.all_reduce
dist.all_reduce = lambda tensor, *rest, **named: (calls.append(tensor.numel()), real(tensor, *rest, **named))[1]
with open_process_group(60) as group:
    half = slice(group.rank * 4, group.rank * 4 + 4)
    for step in (separate_backward, shared_backward):
        network.load_state_dict(case()[0].state_dict())
        network.zero_grad()
        calls.clear()
        losses = step(network, images[half], labels[half], paths)
        mean, stop = group.average(network, losses, group.rank == 1)
        assert len(calls) == 1, calls
        assert stop, "one process wanted to stop, so all do"
        found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        save_file({**found, "losses": torch.tensor(mean)}, f"{sys.argv[1]}/{step.__name__}.{group.rank}.safetensors")
"""

CASE = """
import random, torch
from kit.recipe import load_profile
from kit.supernet import ElasticResNet
from kit.training import Path

def case():
    profile = load_profile("nano")
    generator = torch.Generator().manual_seed(0)
    network = ElasticResNet(profile.search_space, 10, generator=generator, zero_init_last=False).train()
    images = torch.randn(8, 3, 8, 8, generator=generator)
    labels = torch.randint(10, (8,), generator=generator)
    paths = [Path(profile.published_space.sample(random.Random(seed)), 0.5) for seed in range(4)]
    return network, images, labels, paths
"""


@pytest.mark.slow
def test_gradients_are_the_mean_over_the_halves_in_one_exchange(tmp_path, monkeypatch):
    (tmp_path / "gradient_case.py").write_text(CASE)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(GRADIENTS))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", *TWO, str(script)]
    subprocess.run([*command, str(tmp_path), str(tmp_path)], check=True, timeout=PATIENCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    from gradient_case import case

    network, images, labels, paths = case()
    halves = [
        separate_backward(network, images[:4], labels[:4], paths),
        separate_backward(network, images[4:], labels[4:], paths),
    ]
    expected = {name: p.grad / 2 for name, p in network.named_parameters() if p.grad is not None}
    for step in (separate_backward, shared_backward):
        first, second = (load_file(tmp_path / f"{step.__name__}.{rank}.safetensors") for rank in (0, 1))
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items()), "both processes hold the same"
        torch.testing.assert_close(first.pop("losses"), torch.stack(halves).mean(dim=0), rtol=1e-5, atol=1e-6)
        assert expected.keys() == first.keys()
        for name, gradient in expected.items():
            scale = float(gradient.abs().max()) or 1.0
            assert float((first[name] - gradient).abs().max()) / scale < 1e-5, (step.__name__, name)


def workers(process):
    """The processes that a launcher has started."""
    return [child for child in psutil.Process(process.popen.pid).children() if child.name() != SERVER]


def count(small, kind):
    return sum(isinstance(event, kind) for event in small.events)


def logs(process):
    return process.log.read_text()


def everybody_is_gone(processes, seconds):
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, make_small):
    """Weights and predictions of the small run by two processes that nobody disturbed."""
    small = make_small(tmp_path_factory.mktemp("undisturbed"))
    command = [sys.executable, "-m", "kit.cli.main", *small.arguments(*TWO)]
    subprocess.run(command, check=True, timeout=PATIENCE, capture_output=True)
    return small.results()


@pytest.mark.slow
def test_two_processes_train_otherwise_than_one_and_are_another_run(trained_once, undisturbed):
    assert trained_once.results()[0] != undisturbed[0], "each process normalises by its own half of a batch"


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_nothing_changes(small, start, undisturbed):
    process = start(small.arguments(*TWO, "--max-restarts", "3", "--monitor-interval", "0.2"))
    for moment, number in ((StepDone, 9), (SubnetEvaluated, 1)):
        assert process.wait_for(lambda moment=moment, number=number: count(small, moment) >= number), logs(process)
        workers(process)[-1].send_signal(signal.SIGKILL)
    assert process.end(180) == 0, logs(process)
    assert small.results() == undisturbed
    assert isinstance(small.events[-1], RunFinished)


@pytest.mark.slow
def test_without_restarts_a_lost_process_ends_the_command_and_the_next_one_continues(small, start, undisturbed):
    process = start(small.arguments(*TWO))
    assert process.wait_for(lambda: count(small, StepDone) >= 5)
    workers(process)[0].send_signal(signal.SIGKILL)
    assert process.end() == 3
    assert "run the same command again" in logs(process) and "Traceback" not in logs(process)
    again = start(small.arguments(*TWO))
    assert again.end() == 0, logs(again)
    assert small.results() == undisturbed


@pytest.mark.slow
def test_a_stop_reaches_all_processes_at_one_step(small, start, undisturbed):
    process = start(small.arguments(*TWO))
    assert process.wait_for(lambda: count(small, StepDone) >= 4)
    process.send(signal.SIGTERM)
    assert process.end() == 143, logs(process)
    assert "Traceback" not in logs(process)
    stopped = small.events
    assert isinstance(stopped[-1], RunStopped) and stopped[-1].exit_code == 143
    again = start(small.arguments(*TWO))
    assert again.end() == 0, logs(again)
    steps = [(event.phase, event.step) for event in small.events if isinstance(event, StepDone)]
    assert len(steps) == len(set(steps)) == 22, "no step was done twice"
    assert small.results() == undisturbed


@pytest.mark.slow
def test_processes_whose_launcher_is_gone_stop_by_themselves(small, start, undisturbed):
    process = start(small.arguments(*TWO))
    assert process.wait_for(lambda: count(small, StepDone) >= 4)
    orphans = workers(process)
    assert len(orphans) == 2
    process.send(signal.SIGKILL)  # the rendezvous store dies with it
    assert everybody_is_gone(orphans, 60)
    again = start(small.arguments(*TWO))
    assert again.end() == 0, logs(again)
    assert small.results() == undisturbed


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_command(small, start, undisturbed):
    limit = ("--set", "profile.runtime.timeout_seconds=5")
    process = start(small.arguments(*TWO, *limit))
    assert process.wait_for(lambda: count(small, StepDone) >= 4)
    hung = workers(process)[-1]
    hung.send_signal(signal.SIGSTOP)
    try:
        assert process.end(120) == 3, logs(process)
    finally:
        if hung.is_running():
            hung.kill()
    assert "does not answer" in logs(process)
    again = start(small.arguments(*TWO, *limit))
    assert again.end() == 0, logs(again)
    assert small.results() == undisturbed


@pytest.fixture
def scored(trained):
    """How to score a larger pool with a finished run of one process."""
    small = trained
    pool = small.runs.parent / "pool.json"
    space = load_profile(str(small.profile)).published_space
    write_predictions(pool, draw_pool(space, 700, 7), [0.0] * 700)
    return ["evaluate", str(small.run), "--runs", str(small.runs), "--pool", str(pool)]


def lines(small, rank=""):
    path = small.run / f"evaluations{rank}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_scores_do_not_depend_on_who_computed_them(small, kit, start, scored):
    alone = kit(*scored, "--json")
    expected = (small.run / alone.json["predictions"]).read_bytes()
    both = start([*scored, *TWO, "--fresh"])
    # Kill one in the middle of a unit; the other's finished units, and its own, are there for the next start.
    assert both.wait_for(lambda: lines(small, ".rank1") >= 2 and lines(small) >= 1)
    workers(both)[-1].send_signal(signal.SIGKILL)
    assert both.end() == 3
    kept = lines(small) + lines(small, ".rank1")
    again = start([*scored, *TWO])
    assert again.end() == 0, logs(again)
    assert (small.run / alone.json["predictions"]).read_bytes() == expected
    units = [record for record in read_records(small.run / "evaluations.jsonl") if len(record["correct"]) > 1]
    codes = [code for record in units for code in record["correct"]]
    assert kept >= 3 and len(codes) == len(set(codes)), "what was finished is not computed again"
    assert not list(small.run.glob("evaluations.rank*"))


@pytest.mark.slow
def test_a_hanging_worker_is_noticed_by_those_who_wait_for_it(small, start, scored):
    profile = small.profile.with_name("impatient.toml")
    text = small.profile.read_text()
    profile.write_text(text.replace("checkpoint_seconds = 0.0", "checkpoint_seconds = 0.0, timeout_seconds = 6"))
    process = start([*scored, *TWO, "--profile", str(profile)])
    assert process.wait_for(lambda: lines(small, ".rank1") >= 1)
    hung = workers(process)[-1]
    hung.send_signal(signal.SIGSTOP)
    try:
        assert process.end(150) == 3, logs(process)
    finally:
        if hung.is_running():
            hung.kill()
    # On a busy machine the time may be up in a call of the group first, which says it in other words.
    assert any(words in logs(process) for words in ("has not moved for 6 s", "does not answer"))


@pytest.mark.slow
def test_two_sweeps_on_one_directory_do_not_mix(small, start, scored):
    first = start(scored)
    assert first.wait_for(lambda: lines(small) >= 3)
    second = start([*scored, *TWO])
    assert second.end() == 3
    assert "in use by another process" in logs(second)
    assert first.end() == 0, logs(first)
