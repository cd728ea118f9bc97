"""`kit run alone`: an architecture from scratch and from a supernet's weights; killed, continued, exported."""

import json
import signal

import pytest
import timm
import torch

from kit.data import normalize
from kit.pipeline.request import open_profile_data
from kit.recipe import load_profile
from kit.supernet.pdparams import to_paddle
from kit.supernet.weights import load_subnet, load_weights
from kit.truth import train_alone
from kit.watch.run_files import RunDirectory
from kit.watch.run_summary import describe_run, read_state


@pytest.fixture
def code(trained):
    predictions = json.loads((trained.run / "predictions.json").read_text())
    return predictions["arch1"]["arch"]


@pytest.fixture
def alone(trained, code):
    def arguments(out, *options):
        return ["run", "alone", code, "--runs", str(trained.runs), "--out", str(out), *options]

    return arguments


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "weights").iterdir()}


def test_from_scratch_it_is_a_training_of_the_truth(alone, kit, trained, code, tmp_path):
    out = tmp_path / "alone"
    found = kit(*alone(out, "--profile", str(trained.profile), "--seeds", "2", "--json")).json
    assert found["code"] == code and found["inherited"] is None and "from_scratch" not in found
    profile = load_profile(str(trained.profile))
    data = open_profile_data(profile, None)
    for row in found["seeds"]:
        [score] = train_alone(profile.search_space.parse(code), profile, data, [row["seed"]])
        assert (row["accuracy"], row["loss"]) == (score.accuracy, score.loss)
        network, architecture, space = load_subnet(row["weights"])
        assert architecture.code == code and space.channels == profile.search_space.channels
        with torch.no_grad():
            right = sum(
                int((network(normalize(batch.images, data)).argmax(dim=1) == batch.labels).sum())
                for batch in data.val_batches(batch_size=profile.evaluation.batch_size)
            )
        assert right == round(row["accuracy"] * data.val_size)
        assert [epoch for epoch, _ in row["curve"]] == list(range(1, profile.truth.epochs + 1))
    state = read_state(RunDirectory(out))
    assert describe_run(RunDirectory(out)).to_json()["kind"] == "alone" and state.passes_done == state.passes > 0
    assert {event.what for event in state.validated} == {"alone"}
    # Asked again it answers, and more seeds are only those that are missing.
    log = (out / "events.jsonl").read_bytes()
    assert kit(*alone(out, "--profile", str(trained.profile), "--seeds", "2", "--json")).json == found
    assert (out / "events.jsonl").read_bytes() == log
    more = kit(*alone(out, "--profile", str(trained.profile), "--seeds", "3", "--json")).json
    assert more["seeds"][:2] == found["seeds"] and len(more["seeds"]) == 3


def test_inherited_beside_scratch_in_one_table(alone, kit, trained, tmp_path):
    options = ["--inherit", "small-tiny-s0", "--epochs", "2"]
    found = kit(*alone(tmp_path / "both", *options, "--json")).json
    assert found["inherited"] == "small-tiny-s0" and len(found["seeds"]) == len(found["from_scratch"]) == 1
    [own], [other] = found["seeds"], found["from_scratch"]
    predictions = json.loads((trained.run / "predictions.json").read_text())
    assert own["curve"][0] == [0, predictions["arch1"]["acc"]], "it begins as the supernet scored it"
    assert [epoch for epoch, _ in other["curve"]] == [1, 2] and own["weights"] != other["weights"]
    table = kit(*alone(tmp_path / "both", *options)).out
    assert "from small-tiny-s0" in table and "from scratch" in table and "epoch 2" in table
    refused = kit(*alone(tmp_path / "both", "--epochs", "3", "--inherit", "small-tiny-s0"))
    assert refused.code == 2 and "another training (profile differ)" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_it_goes_on_to_the_same_networks(alone, kit, start, trained, tmp_path, number):
    options = ["--inherit", "small-tiny-s0", "--epochs", "3", "--json"]
    whole = kit(*alone(tmp_path / "whole", *options)).json
    out = tmp_path / "stopped"
    own = ["--profile", str(trained.profile), "--set", "profile.runtime.checkpoint_seconds=0"]
    process = start(alone(out, *options, *own))
    log = out / "events.jsonl"
    assert process.wait_for(lambda: log.exists() and log.read_bytes().count(b"CheckpointSaved") >= 2)
    process.send(number)
    assert process.end() in ((-9,) if number == signal.SIGKILL else (143, 0))
    goes_on = kit(*alone(out, *options)).json
    assert files(out) == files(tmp_path / "whole")
    for name in ("seeds", "from_scratch"):
        assert [row | {"weights": ""} for row in goes_on[name]] == [row | {"weights": ""} for row in whole[name]]
    assert not [path for path in out.iterdir() if path.is_dir() and any(path.glob("checkpoint*"))]


def test_what_it_made_is_exported_as_any_other(alone, kit, trained, code, tmp_path):
    out = tmp_path / "alone"
    [row] = kit(*alone(out, "--profile", str(trained.profile), "--json")).json["seeds"]
    network, _, _ = load_subnet(row["weights"])
    x = torch.randn(3, 3, 8, 8)
    exported = kit("export", "onnx", str(out), "--out", str(tmp_path / "onnx"), "--json").json
    [model] = exported["models"]
    assert (model["code"], model["accuracy"]) == (code, row["accuracy"])
    hub = tmp_path / "hub"
    facts = kit("export", "hub", str(out), "--code", code, "--out", str(hub), "--json").json
    assert facts["accuracy"] == row["accuracy"] and "from scratch" in (hub / "README.md").read_text()
    loaded = timm.create_model(f"local-dir:{hub}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    paddle = tmp_path / "alone.pdparams"
    assert kit("weights", "export", str(out), "--format", "pdparams", "--out", str(paddle)).code == 0
    load_weights(loaded, paddle)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    names = to_paddle({name: tensor.numpy() for name, tensor in network.state_dict().items()})
    assert "blocks.0.conv.weight" in names
    other = load_profile(str(trained.profile)).search_space.smallest.code
    refused = kit("export", "hub", str(out), "--code", other, "--out", str(tmp_path / "none"))
    assert refused.code == 2 and "was trained here" in refused.err


def test_bad_wishes_are_named(alone, kit, trained, code, tmp_path):
    short = kit("run", "alone", code[:-1], "--profile", str(trained.profile), "--out", str(tmp_path / "x"))
    assert short.code == 2 and "52 digits" in short.err
    other = kit(*alone(tmp_path / "x", "--inherit", "small-tiny-s0", "--profile", "nano"))
    assert other.code == 2 and "do not fit profile nano" in other.err
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.tex").write_text("")
    held = kit(*alone(busy, "--profile", str(trained.profile)))
    assert held.code == 2 and "thesis.tex" in held.err and len(list(busy.iterdir())) == 1
    recipe = kit(*alone(tmp_path / "x", "--set", "phases.D.epochs=2"))
    assert recipe.code == 2 and "a network alone has no recipe" in recipe.err
    wild = ["--profile", str(trained.profile), "--set", "profile.truth.learning_rate=1e30"]
    diverged = kit(*alone(tmp_path / "wild", *wild))
    assert diverged.code == 4 and "lower truth.learning_rate" in diverged.err
    assert not (tmp_path / "x").exists()
