"""Scoring large pools: early answers, kills, damage, and pools that change."""

import json
import re
import signal

import pytest

from kit.cli.launch import OPTIONS, _own_arguments
from kit.costs import pool_costs
from kit.pool import draw_pool, load_pool, write_predictions
from kit.ranking.truth_file import Truth, write_truth
from kit.recipe import load_profile
from kit.records import read_records

COUNT = 700


def large_pool(small, name="pool.json", count=COUNT, seed=7):
    pool = draw_pool(load_profile(str(small.profile)).published_space, count, seed)
    path = small.runs.parent / name
    write_predictions(path, pool, [0.0] * count)
    return path


def evaluate(small, pool, *options):
    return ["evaluate", str(small.run), "--runs", str(small.runs), "--pool", str(pool), *options]


def scored(path, small):
    pool = load_pool(path, load_profile(str(small.profile)).search_space)
    return dict(zip(pool.codes, pool.accuracies, strict=True))


@pytest.mark.slow
def test_an_early_answer_says_so_and_the_rest_can_follow(trained, kit, tmp_path):
    path = large_pool(trained)
    profile = load_profile(str(trained.profile))
    pool = load_pool(path, profile.search_space)
    sizes = pool_costs(pool.codes, profile.scale).macs.tolist()
    truth = tmp_path / "truth.json"
    write_truth(truth, Truth(pool.codes, tuple((size / max(sizes),) for size in sizes)))
    early = kit(*evaluate(trained, path, "--truth", str(truth), "--until-ci", "0.6", "--json"))
    assert early.code == 0
    assert "stopped after" in early.err and "rank so far: Pearson r" in early.err
    document = early.json
    assert document["subnets"] < document["pool_subnets"] == COUNT
    figure = document["rank_so_far"]
    assert figure["pearson"]["high"] - figure["pearson"]["low"] <= 0.6
    assert figure["n"] == document["subnets"]
    first = scored(document["predictions"], trained)
    assert len(first) == document["subnets"]
    rest = kit(*evaluate(trained, path, "--json"))
    assert rest.json["subnets"] == COUNT
    assert 0 <= rest.json["idle_share"] < 1
    assert rest.json["scored_now"] < COUNT, "what was scored early is not scored again"
    assert first.items() <= scored(rest.json["predictions"], trained).items()


def test_an_early_answer_needs_a_truth(trained, kit):
    refused = kit(*evaluate(trained, large_pool(trained), "--until-ci", "0.5"))
    assert refused.code == 2 and "--truth FILE" in refused.err


@pytest.mark.slow
def test_kills_torn_lines_and_another_pool_change_no_score(trained, kit, start):
    path = large_pool(trained)
    results = trained.run / "evaluations.jsonl"
    before = results.read_bytes()
    for goal in (4, 9):
        process = start(evaluate(trained, path))
        assert process.wait_for(lambda goal=goal: results.read_bytes().count(b"\n") - before.count(b"\n") >= goal)
        process.send(signal.SIGKILL)
        process.end()
    lines = results.read_bytes().splitlines(keepends=True)
    flipped = bytearray(lines[-3])
    flipped[30] ^= 1
    results.write_bytes(b"".join([*lines[:-3], bytes(flipped), *lines[-2:]])[:-7])
    intact = [record for record in read_records(results)]
    other = large_pool(trained, "other.json", count=COUNT + 50)  # the same draw, and fifty more
    resumed = kit(*evaluate(trained, other, "--json"))
    assert resumed.code == 0
    assert resumed.json["scored_now"] < COUNT + 50, "intact units that the new pool also has are kept"
    assert intact == list(read_records(results))[: len(intact)]
    anew = kit(*evaluate(trained, other, "--fresh", "--json"))
    assert anew.json["scored_now"] == COUNT + 50
    assert scored(resumed.json["predictions"], trained) == scored(anew.json["predictions"], trained)


@pytest.mark.slow
def test_folding_is_another_evaluation_with_nearly_the_same_scores(trained, kit):
    profile = trained.profile.with_name("folding.toml")
    text = trained.profile.read_text()
    profile.write_text(
        text.replace("evaluation = { batch_size = 32 }", "evaluation = { batch_size = 32, fold_batch_norm = true }")
    )
    plain = kit(*evaluate(trained, large_pool(trained, count=60), "--json"))
    folded = kit(*evaluate(trained, large_pool(trained, count=60), "--profile", str(profile), "--json"))
    assert folded.json["scored_now"] == 60
    assert re.search(r"folding BN changes \d+ of [\d,]+ predictions", folded.err)
    expected = scored(plain.json["predictions"], trained)
    for code, accuracy in scored(folded.json["predictions"], trained).items():
        assert accuracy == pytest.approx(expected[code], abs=2 / 60)


def test_launcher_options_do_not_reach_the_processes():
    given = ["run", "recipe", "full", "--nproc-per-node", "2", "--max-restarts=3", "--seed", "1", "--rdzv-endpoint", "a:1"]
    assert _own_arguments(given) == ["run", "recipe", "full", "--seed", "1"]
    assert "nproc_per_node" in OPTIONS


def test_launcher_options_stand_in_the_help(kit):
    for command in (["run", "recipe"], ["evaluate"]):
        text = kit(*command, "--help").out
        assert "--nproc-per-node" in text and "--rdzv-endpoint" in text and "--max-restarts" in text


def test_a_batch_that_cannot_be_split_is_refused(small, kit, monkeypatch):
    import torch

    from kit.errors import InputError
    from kit.pipeline.phases import PhaseRunner
    from kit.pipeline.request import RunRequest, resolve
    from kit.process_group import ProcessGroup
    from kit.recipe import load_recipe
    from kit.training.trainer import Hardware

    request = RunRequest(
        recipe=load_recipe(str(small.recipe), []), profile=load_profile(str(small.profile)), runs=small.runs
    )
    hardware = Hardware(device=torch.device("cpu"), group=ProcessGroup(rank=0, size=3))
    with pytest.raises(InputError, match="8 images cannot be split among 3 processes"):
        PhaseRunner(resolve(request), hardware, lambda: False)
    assert json.dumps(resolve(request).settings["processes"]) == "1"
