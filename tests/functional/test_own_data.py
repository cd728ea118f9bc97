"""Data and weights that people bring: a truth of others does not judge them, and what is left out of them is told."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from kit.events import Note, RankMeasured, RankSoFar
from kit.ranking.truth_file import find_truth, load_truth, write_truth
from kit.run_dir import RunDirectory
from kit.watch.run_files import PoolReader
from kit.watch.run_summary import read_state


def write_noise(root, classes, each):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for index in range(each):
                Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(root / split / name / f"{index}.png")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Ten classes of images that show nothing; beside them, two."""
    root = tmp_path_factory.mktemp("noise")
    write_noise(root, "0123456789", 2)
    write_noise(root / "two", "ab", 8)
    return root


@pytest.fixture
def run_on_nano(quick, kit, monkeypatch, tmp_path):
    """The quick run with these options: its outcome and its directory."""
    monkeypatch.chdir(tmp_path)

    def run(*options):
        outcome = kit(*quick(), "--json", *options)
        assert outcome.code == 0, outcome.err
        return outcome, RunDirectory(tmp_path / "runs" / str(outcome.json["run"]))

    return run


def events_of(run, kind):
    return [event for event in map(json.loads, run.events.read_text().splitlines()) if event["kind"] == kind.__name__]


def notes_of(run):
    return [event["message"] for event in events_of(run, Note)]


def test_the_shipped_truth_judges_what_it_was_made_with(run_on_nano):
    outcome, run = run_on_nano()
    assert outcome.json["rank"]["n"] == 24 and outcome.json["rank"]["seeds"] == load_truth(find_truth("nano")).seeds
    assert len(events_of(run, RankMeasured)) == 1 and run.rank.is_file()
    assert PoolReader(run).read().truth.name == "nano.json"


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (["--data", "folder:noise"], ["other data"]),
        (["--data", "folder:noise/two"], ["10 classes (here 2)", "other data"]),
        (["--set", "profile.resolution=16"], ["resolution 8 (here 16)"]),
        (["--set", "profile.network.base_channels=[4,4,4,4]"], ["base_channels [8, 16, 24, 32] (here [4, 4, 4, 4])"]),
    ],
)
def test_it_says_nothing_about_anything_else(run_on_nano, noise, tmp_path, options, reasons):
    (tmp_path / "noise").symlink_to(noise)
    outcome, run = run_on_nano(*options)
    assert outcome.json["rank"] is None and outcome.json["pearson"] is None
    assert not run.rank.exists() and not events_of(run, RankMeasured) and not events_of(run, RankSoFar)
    [told] = notes_of(run)
    assert read_state(run).no_rank == told
    view = PoolReader(run).read()
    assert view.truth is None and view.rows is not None
    for reason in reasons:
        assert reason in told and reason in outcome.err and reason in view.no_truth
    assert "--truth FILE" in told


def test_an_evaluation_is_compared_only_where_the_truth_fits(run_on_nano, noise, kit, tmp_path, monkeypatch):
    _, run = run_on_nano()

    def evaluate(*options):
        return kit("evaluate", str(run.path), "--limit", "6", "--fresh", "--json", *options)

    assert evaluate().json["rank_so_far"]["n"] == 6
    other = evaluate("--data", f"folder:{noise}")
    assert other.json["rank_so_far"] is None and "no rank: the truth nano.json was made with other data" in other.err
    refused = evaluate("--data", f"folder:{noise}", "--until-ci", "0.5")
    assert refused.code == 2 and "other data" in refused.err

    # Whoever names a truth gets the comparison, and hears what speaks against it.
    named = evaluate("--data", f"folder:{noise}", "--truth", "nano")
    assert named.json["rank_so_far"]["n"] == 6 and "other data" in named.err
    old = tmp_path / "old.json"
    write_truth(old, replace(load_truth(find_truth("nano")), made_with=None))
    unsaid = evaluate("--truth", str(old))
    assert unsaid.json["rank_so_far"]["n"] == 6 and "old.json does not say with which search space" in unsaid.err
    assert "does not say" in kit("rank", str(run.predictions), "--truth", str(old)).err
    monkeypatch.setattr("kit.ranking.truth_file.shipped_truths", lambda: {"nano": old})
    unsaid = evaluate()
    assert unsaid.json["rank_so_far"] is None and "no rank: the truth old.json does not say" in unsaid.err


def test_the_same_images_elsewhere_and_fewer_of_them_are_the_same_data(run_on_nano, noise, kit, tmp_path, monkeypatch):
    """What decides is the content of the whole set: neither its place nor how many of its images are used."""
    _, run = run_on_nano("--data", f"folder:{noise}")
    truth = load_truth(find_truth("nano"))
    source = json.loads(run.resolved.read_text())["data_source"]
    write_truth(tmp_path / "of-noise.json", replace(truth, made_with=replace(truth.made_with, source=source)))
    monkeypatch.setattr("kit.ranking.truth_file.shipped_truths", lambda: {"nano": tmp_path / "of-noise.json"})
    copy = tmp_path / "copy"
    shutil.copytree(noise, copy)
    outcome, _ = run_on_nano("--data", f"folder:{copy}", "--set", "profile.images.train=10")
    assert outcome.json["rank"]["n"] == 24
    Image.new("L", (8, 8), 7).save(copy / "val" / "3" / "0.png")
    outcome, _ = run_on_nano("--data", f"folder:{copy}", "--set", "profile.images.train=10")
    assert outcome.json["rank"] is None and "other data" in outcome.err


def test_images_that_are_left_out_are_told_once_and_logged(run_on_nano, noise, kit, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(noise, copy)
    for index in range(2):
        Image.new("L", (8, 8)).save(copy / "train" / "7" / f"{index}.bmp")
    told = "left out 2 .bmp"
    outcome, run = run_on_nano("--data", f"folder:{copy}")
    assert outcome.err.count(told) == 1
    assert sum(told in message for message in notes_of(run)) == 1
    assert run_on_nano("--data", f"folder:{copy}", "--dry-run")[0].err.count(told) == 1
    scored = kit("evaluate", str(run.path), "--limit", "3")
    assert scored.err.count(told) == 1
    [evaluation] = (tmp_path / "runs").glob("evaluation-*")
    assert sum(told in message for message in notes_of(RunDirectory(evaluation))) == 1


def test_what_was_unwrapped_from_weights_is_told_once_and_logged(run_on_nano, kit, tmp_path):
    _, run = run_on_nano()
    exported = tmp_path / "plain.pth"
    assert kit("weights", "export", str(run.path), "--format", "pth", "--out", str(exported)).code == 0
    state = torch.load(exported)["state_dict"]
    wrapped = tmp_path / "wrapped.pth"
    torch.save({"ema": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, wrapped)
    outcome, run = run_on_nano("--weights", str(wrapped))
    for told in ("read the state dict under 'ema'", "left out 'module.'"):
        assert outcome.err.count(told) == 1
        assert sum(told in message for message in notes_of(run)) == 1
    plan = kit("run", "recipe", "spos", "--weights", str(wrapped), "--runs", str(tmp_path / "plan"), "--dry-run")
    assert plan.code == 0 and plan.err.count("left out 'module.'") == 1, "a plan says so before anything is trained"
    scored = kit("evaluate", str(wrapped), "--profile", "nano", "--limit", "3", "--runs", str(tmp_path / "runs"))
    assert scored.code == 0 and scored.err.count("read the state dict under 'ema'") == 1
