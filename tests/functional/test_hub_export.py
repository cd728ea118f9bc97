"""`kit export hub`: a folder from which timm makes the very network that was scored."""

import json

import pytest
import timm
import torch

from kit.data import normalize, open_data
from kit.recipe import load_profile


@pytest.fixture
def hub(finished_run, kit, tmp_path):
    entries = json.loads((finished_run / "predictions.json").read_text()).values()
    best = max(entries, key=lambda entry: entry["acc"])
    out = tmp_path / "model"
    outcome = kit("export", "hub", str(finished_run), "--code", best["arch"], "--out", str(out), "--json")
    assert outcome.code == 0, outcome.err
    return out, outcome.json, best


def test_timm_loads_what_was_scored(hub, finished_run, kit):
    out, facts, best = hub
    assert facts["accuracy"] == best["acc"] and facts["code"] == best["arch"]
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    network = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    profile = load_profile(str(finished_run / "profile.toml"))
    data = open_data("digits", resolution=8, augmentation="shift", train_images=200, val_images=60)
    config = timm.data.resolve_model_data_config(network)
    assert tuple(config["input_size"]) == (3, profile.resolution, profile.resolution)
    assert (tuple(config["mean"]), tuple(config["std"])) == (tuple(data.mean), tuple(data.std))
    with torch.no_grad():
        right = sum(
            int((network(normalize(batch.images, data)).argmax(1) == batch.labels).sum())
            for batch in data.val_batches(batch_size=profile.evaluation.batch_size)
        )
    assert right == facts["correct"]
    assert sum(p.numel() for p in network.parameters()) == facts["params"]
    fresh = timm.create_model(f"local-dir:{out}", pretrained=False)
    assert not torch.equal(fresh.conv1.weight, network.conv1.weight)
    other = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=3)
    assert other.fc.out_features == 3 and torch.equal(other.conv1.weight, network.conv1.weight)


def test_the_card_says_what_it_is(hub):
    out, facts, _ = hub
    card = (out / "README.md").read_text()
    for text in (
        facts["code"],
        f"{facts['accuracy']:.4f} on {facts['images']:,}",
        "recipe `small`",
        "License: say here",
        "local-dir:",
    ):
        assert text in card
    assert "{" not in card


def test_bad_wishes_are_named(finished_run, kit, tmp_path):
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.tex").write_text("")
    code = json.loads((finished_run / "pool.json").read_text())["arch1"]["arch"]
    held = kit("export", "hub", str(finished_run), "--code", code, "--out", str(busy))
    assert held.code == 2 and "thesis.tex" in held.err
    wrong = kit("export", "hub", str(finished_run), "--code", code[:20] + "9" + code[21:], "--out", str(tmp_path / "x"))
    assert wrong.code == 2 and "digit 21" in wrong.err and not (tmp_path / "x").exists()
    with pytest.raises(TypeError, match="unexpected: pretrained"):
        timm.create_model("resnet48_subnet", code=code, pretrained=True)
