"""`kit submission build`: one run, one archive, the same bytes for everybody; and what it refuses to pack."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from synthetic_archive import failed_rules
from test_rival_recipes import RIVALS

from kit.files import sha256_of_file
from kit.pipeline import archive_build
from kit.recipe import load_profile, load_recipe, recipe_names
from kit.submission import selection
from kit.submission.archive import unpack_archive
from kit.submission.checks import check_archive

FLOAT_PARTS = 4


@pytest.fixture
def copy(finished_run, built_archive, tmp_path):
    """The finished run, built once, under another roof."""
    target = tmp_path / "elsewhere" / "small-tiny-s0"
    shutil.copytree(finished_run, target)
    return target


@pytest.fixture
def unpacked(built_archive, tmp_path):
    unpack_archive(built_archive, tmp_path / "unpacked")
    return tmp_path / "unpacked"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_archive_passes_every_check(built_archive):
    report = check_archive(built_archive)
    assert report.ok and set(failed_rules(report)) <= {"several-supernets"}
    with tarfile.open(built_archive) as archive:
        names = archive.getnames()
    assert "results/rank.json" not in names  # no truth is shipped for this profile
    assert {"submission.json", "onnx/index.json", "weights/supernet.safetensors"} < set(names)


def test_the_command_reports_what_it_built(copy, kit, tmp_path):
    out = tmp_path / "new" / "again.tar"
    document = kit("submission", "build", str(copy), "--out", str(out), "--json").json
    assert document["archive"] == str(out) and document["sha256"] == digest(out) and document["size"] == out.stat().st_size
    with tarfile.open(out) as archive:
        assert document["members"] == len(archive.getnames())
    chosen = {name for entry in document["exported"] for name in entry["selections"]}
    assert chosen == {"best", "smallest", "largest", "pareto"}
    predictions = json.loads((copy / "predictions.json").read_text())
    accuracies = {entry["arch"]: entry["acc"] for entry in predictions.values()}
    best = next(entry for entry in document["exported"] if "best" in entry["selections"])
    assert best["accuracy"] == max(accuracies.values())
    assert all(entry["accuracy"] == accuracies[entry["code"]] for entry in document["exported"])


def test_building_twice_gives_the_same_bytes(finished_run, built_archive, kit, tmp_path):
    assert kit("submission", "build", str(finished_run), "--out", str(tmp_path / "b.tar")).code == 0
    assert digest(tmp_path / "b.tar") == digest(built_archive)


@pytest.mark.slow
def test_another_user_on_another_machine_builds_the_same_bytes(copy, built_archive, tmp_path, checkout):
    """Other folder, umask, time zone, locale, user name, home and hash seed, file times of now, and no writable run."""
    for path in copy.rglob("*"):
        os.utime(path)
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "USER": "somebody", "LOGNAME": "somebody", "TZ": "Asia/Kathmandu",
        "LANG": "C", "LC_ALL": "C", "PYTHONHASHSEED": "99", "PYTHONPATH": str(checkout), "HOSTNAME": "elsewhere",
    }  # fmt: skip
    command = [sys.executable, "-c", "import os; os.umask(0o077)\nfrom kit.cli.main import main; main()"]
    out = home / "c.tar"
    arguments = ["submission", "build", copy.name, "--runs", str(copy.parent), "--out", str(out)]
    subprocess.run([*command, *arguments], cwd=home, env=environment, check=True, capture_output=True, timeout=300)
    assert digest(out) == digest(built_archive)


@pytest.mark.slow
def test_exports_made_anew_are_the_same_bytes(copy, built_archive, kit, tmp_path):
    shutil.rmtree(copy / "exports")
    assert kit("submission", "build", str(copy), "--out", str(tmp_path / "d.tar")).code == 0
    assert digest(tmp_path / "d.tar") == digest(built_archive)


@pytest.mark.slow
def test_damaged_exports_are_made_anew(copy, built_archive, kit, tmp_path):
    model = next((copy / "exports" / "onnx").glob("*.onnx"))
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    next((copy / "exports" / "weights" / "calibrated").iterdir()).unlink()
    assert kit("submission", "build", str(copy), "--out", str(tmp_path / "e.tar")).code == 0
    assert digest(tmp_path / "e.tar") == digest(built_archive)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_build_leaves_nothing_half_done(copy, built_archive, kit, start, tmp_path, number, code):
    shutil.rmtree(copy / "exports")
    out = tmp_path / "out" / "f.tar"
    process = start(["submission", "build", str(copy), "--out", str(out)])
    assert process.wait_for(lambda: any((copy / "exports" / "onnx").glob("*.onnx")))
    process.send(number)
    assert process.end() == code
    assert not out.exists() and not (copy / "exports" / "onnx" / "index.json").exists()
    assert kit("submission", "build", str(copy), "--out", str(out)).code == 0
    assert digest(out) == digest(built_archive) and [path.name for path in out.parent.iterdir()] == ["f.tar"]


def test_the_records_agree(unpacked, finished_run):
    rows = [json.loads(line) for line in (unpacked / "results" / "evaluations.jsonl").read_text().splitlines()]
    predictions = json.loads((finished_run / "predictions.json").read_text())
    assert [(row["name"], row["code"]) for row in rows] == [(name, e["arch"]) for name, e in predictions.items()]
    assert all(row["correct"] / row["images"] == predictions[row["name"]]["acc"] for row in rows)
    weights = sha256_of_file(unpacked / "weights" / "supernet.safetensors")
    assert weights == sha256_of_file(finished_run / "weights" / "supernet.safetensors")
    assert {row["weights_sha256"] for row in rows} == {weights}
    index = json.loads((unpacked / "onnx" / "index.json").read_text())
    assert index["supernet_sha256"] == weights
    assert [model["code"] for model in index["models"]] == sorted(model["code"] for model in index["models"])
    profile = load_profile(str(unpacked / "recipe" / "profile.toml"))
    assert index["input"] == {"name": "images", "shape": ["batch", 3, profile.resolution, profile.resolution]}
    for model in index["models"]:
        assert sha256_of_file(unpacked / model["file"]) == model["sha256"]
        assert sha256_of_file(unpacked / model["weights"]) == model["weights_sha256"]
        assert model["max_abs_difference"] <= 1e-4
        graph = onnx.load(unpacked / model["file"])
        assert graph.opset_import[0].version == index["opset"]
        notes = {entry.key: entry.value for entry in graph.metadata_props}
        assert notes["code"] == model["code"] and float(notes["accuracy"]) == model["accuracy"]
        assert (notes["recipe"], notes["profile"]) == ("small", "tiny")


def test_sha256sum_accepts_the_sums(unpacked):
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=unpacked, capture_output=True, text=True)
    assert done.returncode == 0 and "FAILED" not in done.stdout
    listed = {line.split()[1] for line in (unpacked / "SHA256SUMS").read_text().splitlines()}
    assert listed == {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()} - {"SHA256SUMS"}


def test_the_pages_lines_load_a_calibrated_subnet(unpacked, checkout, monkeypatch):
    """Exactly the lines of docs/api.md, in the folder of an unpacked archive."""
    blocks = re.findall(r"```python\n(.*?)```", (checkout / "docs" / "api.md").read_text(), re.DOTALL)
    (lines,) = [block for block in blocks if "resnet48_subnet" in block]
    monkeypatch.chdir(unpacked)
    index = json.loads(Path("onnx/index.json").read_text())
    for model in index["models"]:
        scope = {"code": model["code"]}
        exec(compile(lines, "api.md", "exec"), scope)
        network, stored = scope["network"], load_file(model["weights"])
        assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())
        assert sum(parameter.numel() for parameter in network.parameters()) == model["params"] and not network.training


def refusal(kit, run, tmp_path, *options):
    outcome = kit("submission", "build", str(run), "--out", str(tmp_path / "no.tar"), *options)
    assert not (tmp_path / "no.tar").exists()
    assert outcome.code == 2 and "hint:" in outcome.err
    return outcome.err


def without_events(run, *kinds):
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(line for line in lines if json.loads(line)["kind"] not in kinds))


def test_an_unfinished_run_is_refused_with_the_missing_step(copy, kit, tmp_path):
    without_events(copy, "RunFinished")
    assert "comparison with the truth" in refusal(kit, copy, tmp_path)
    (copy / "predictions.json").unlink()
    assert "scoring is missing" in refusal(kit, copy, tmp_path)
    (copy / "weights.json").unlink()
    assert "final weights are missing" in refusal(kit, copy, tmp_path)
    lines = (copy / "events.jsonl").read_text().splitlines(keepends=True)
    last = next(i for i, line in enumerate(lines) if '"PhaseFinished"' in line and '"CPT"' in line)
    (copy / "events.jsonl").write_text("".join(lines[:last]))
    assert "phase CPT is missing (3 of 5" in refusal(kit, copy, tmp_path)
    (copy / "events.jsonl").write_text("")
    assert "training is missing" in refusal(kit, copy, tmp_path)


def test_changed_weights_are_refused(copy, kit, tmp_path):
    weights = copy / "weights" / "supernet.safetensors"
    data = bytearray(weights.read_bytes())
    data[-FLOAT_PARTS] ^= 1
    weights.write_bytes(data)
    assert "changed after training" in refusal(kit, copy, tmp_path)
    # Also when whoever changed them changed the recorded hash too: then they have no scores.
    (copy / "weights.json").write_text(json.dumps({weights.name: hashlib.sha256(data).hexdigest()}))
    assert "60 of 60 sub-networks have no score" in refusal(kit, copy, tmp_path)


def test_changed_predictions_are_refused(copy, kit, tmp_path):
    predictions = json.loads((copy / "predictions.json").read_text())
    predictions["arch7"]["acc"] = (predictions["arch7"]["acc"] + 0.5) / 2
    (copy / "predictions.json").write_text(json.dumps(predictions))
    assert "does not agree with the scores" in refusal(kit, copy, tmp_path)


def test_other_data_are_refused(copy, kit, tmp_path):
    shutil.rmtree(copy / "exports")
    profile = copy / "profile.toml"
    profile.write_text(profile.read_text().replace("validation = 60", "validation = 59"))
    assert "data are not those" in refusal(kit, copy, tmp_path)


def test_what_is_no_finished_recipe_run_is_refused(copy, kit, tmp_path):
    resolved = json.loads((copy / "resolved.json").read_text())
    (copy / "resolved.json").write_text(json.dumps({**resolved, "kind": "truth"}))
    assert "no run of a recipe" in refusal(kit, copy, tmp_path)
    assert "there is no run" in refusal(kit, tmp_path / "nowhere", tmp_path)


@pytest.mark.slow
def test_exports_of_a_choice_of_subnets(copy, kit, tmp_path):
    space = load_profile(str(copy / "profile.toml")).search_space
    pool = [entry["arch"] for entry in json.loads((copy / "pool.json").read_text()).values()]
    foreign = space.largest.code
    assert foreign not in pool
    out = tmp_path / "exports"
    where = ["--out", str(out), "--json"]
    document = kit(
        "export", "onnx", str(copy), "--smallest", "--best", "1", "--code", pool[4], "--code", foreign, *where
    ).json
    models = {model["code"]: model for model in document["models"]}
    assert models[pool[4]]["selections"][-1] == "code" and models[foreign]["selections"] == ["code"]
    costs = {code: model["macs"] for code, model in models.items()}
    assert "smallest" in min(models.values(), key=lambda model: model["macs"])["selections"]
    assert costs[foreign] == max(costs.values())
    for model in models.values():
        assert Path(model["file"]).is_absolute() and sha256_of_file(Path(model["file"])) == model["sha256"]
        assert sha256_of_file(Path(model["weights"])) == model["weights_sha256"]
    # What is exported by itself is what the archive holds.
    for model in models.values():
        kept = copy / "exports" / "onnx" / f"{model['code']}.onnx"
        if kept.exists():
            assert sha256_of_file(kept) == model["sha256"]


def test_an_export_needs_a_choice_and_valid_codes(copy, kit, tmp_path):
    out = ["--out", str(tmp_path / "x")]
    nothing = kit("export", "onnx", str(copy), *out)
    assert nothing.code == 2 and "--best N" in nothing.err
    code = json.loads((copy / "pool.json").read_text())["arch1"]["arch"]
    wrong = kit("export", "onnx", str(copy), "--code", code[:20] + "9" + code[21:], *out)
    assert wrong.code == 2 and "digit 21" in wrong.err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_the_archive_names_the_data_and_the_classes_that_were_used(small, kit, tmp_path):
    rng = random.Random(0)
    for split, count in (("train", 70), ("val", 12)):
        for label in range(3):
            folder = tmp_path / "images" / split / f"class-{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = bytes(min(255, rng.randrange(120) + 60 * label) for _ in range(3 * 12 * 12))
                Image.frombytes("RGB", (12, 12), pixels).save(folder / f"{index}.png")
    data = ["--data", f"folder:{tmp_path / 'images'}"]
    whole = ["--set", "profile.images.train=0", "--set", "profile.images.validation=0"]
    run = kit(*small.arguments(*data, *whole, "--json")).json
    archive = tmp_path / "folder.tar"
    assert kit("submission", "build", run["path"], "--out", str(archive)).code == 0
    checked = kit("submission", "check", str(archive), "--skip", "few-accuracies", "--json")
    assert checked.code == 0, checked.json
    unpack_archive(archive, tmp_path / "unpacked")
    profile = load_profile(str(tmp_path / "unpacked" / "recipe" / "profile.toml"))
    assert (profile.data, profile.num_classes) == ("folder", 3)
    without = kit("submission", "reproduce", str(archive))
    assert without.code == 2 and "path is missing" in without.err
    again = kit("submission", "reproduce", str(archive), *data, "--sample", "5", "--json")
    assert again.code == 0 and again.json["exact"] == 5


@pytest.mark.slow
def test_the_archives_of_all_recipes_but_the_rivals_pass(tmp_path, kit, small, monkeypatch):
    """Those of `RIVALS` are packed where they are trained."""
    names = sorted(set(recipe_names()) - set(RIVALS))
    # Exports take longer than all the rest: one for each recipe.
    monkeypatch.setattr(archive_build, "default_selections", lambda pool: {"smallest": [selection.smallest(pool)]})
    profile = small.profile.read_text()
    changes = {"steps_per_epoch = 2": "steps_per_epoch = 1", "size = 60": "size = 100", "seconds = 0.0": "seconds = 60.0"}
    for old, new in changes.items():
        assert old in profile
        profile = profile.replace(old, new)
    (tmp_path / "tiny.toml").write_text(profile)
    failed = {}
    for name in names:
        where = ["--runs", str(tmp_path / "runs")]
        shortened = [f"--set=phases.{phase.name}.epochs=1" for phase in load_recipe(name).phases]
        run = kit("run", "recipe", name, "--profile", str(tmp_path / "tiny.toml"), *where, *shortened, "--json")
        assert run.code == 0, run.err
        archive = tmp_path / f"{name}.tar"
        assert kit("submission", "build", run.json["run"], "--out", str(archive), *where).code == 0
        checked = kit("submission", "check", str(archive), "--json")
        assert checked.code == 0, checked.json
        failed[name] = {check["id"] for check in checked.json["checks"] if not check["ok"]}
    split = {name for name in names if load_recipe(name).partition is not None}
    assert failed == {name: {"several-supernets"} if name in split else set() for name in names}
