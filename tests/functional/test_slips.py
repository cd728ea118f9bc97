"""Slips that mislead: a mistyped folder, another working folder, a foreign suffix, codes for the terminal."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.dashboard.host import check_new_file
from kit.run_dir import RunDirectory
from kit.watch.run_actions import continue_arguments

RECORDED = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"


def test_a_mistyped_folder_of_runs_is_no_empty_list(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build = ("submission", "build", "x", "--out", "x.tar")
    for command in (("runs", "list"), ("runs", "show", "x"), ("evaluate", "x"), build, ("dashboard", "--once")):
        mistyped = kit(*command, "--runs", "rnus")
        assert mistyped.code == 2 and "there is no folder rnus" in mistyped.err and "--runs DIR" in mistyped.err
    first = kit("runs", "list", "--json")
    assert first.code == 0 and first.json == {"runs": []}, "nobody has run anything yet"


@pytest.mark.parametrize("given", ["option", "profile"])
def test_a_run_finds_its_data_from_every_folder(quick, kit, tmp_path, monkeypatch, given):
    here, there = tmp_path / "here", tmp_path / "there"
    there.mkdir()
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in "ab":
            (here / "images" / split / name).mkdir(parents=True)
            for index in range(8):
                path = here / "images" / split / name / f"{index}.png"
                Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(path)
    monkeypatch.chdir(here)
    options = ["--data", "folder:images"]
    if given == "profile":
        own = here / "own.toml"
        text = (Path(__file__).resolve().parents[2] / "recipes" / "profiles" / "nano.toml").read_text()
        own.write_text(text.replace('data = "digits"', 'data = "folder:images"'))
        options = ["--profile", str(own)]
    ran = kit(*quick(), *options, "--json")
    assert ran.code == 0, ran.err
    run = RunDirectory(Path(ran.json["path"]))
    monkeypatch.chdir(there)
    scored = kit("evaluate", str(run.path), "--limit", "3", "--fresh", "--json")
    assert scored.code == 0, scored.err
    again = kit(*continue_arguments(run, run.path.parent), "--json")
    assert again.code == 0 and again.json["run"] == run.id, again.err
    for path in run.path.parent.glob("*/resolved.json"):
        assert json.loads(path.read_text())["inputs"]["data"] == f"folder:{here / 'images'}"


@pytest.mark.parametrize(
    "command",
    [
        ("recipes", "copy", "full", "x.json"),
        ("weights", "import", "w.pth", "--out", "x.pth"),
        ("weights", "export", "w.pth", "--format", "pth", "--out", "x.safetensors"),
        ("submission", "build", "run", "--out", "x.tar.gz"),
        ("dashboard", "--once", "--svg", "x.png"),
    ],
)
def test_a_suffix_that_promises_another_format_is_refused(kit, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    refused = kit(*command)
    assert refused.code == 2 and "does not end in ." in refused.err and "the suffix tells readers the format" in refused.err
    assert not list(tmp_path.iterdir())


def test_the_dashboard_writes_what_a_name_promises(tmp_path):
    endings = (".csv", ".json")
    assert check_new_file(str(tmp_path / "x.txt"), endings) == "its name ends with .csv or .json"
    assert check_new_file(str(tmp_path / "x.csv"), endings) == ""


def test_nothing_that_a_file_says_commands_the_terminal(kit, tmp_path):
    name = "a\x1b[31mred\x1b]0;title\x07"
    shutil.copytree(RECORDED, tmp_path / name)
    resolved = json.loads((tmp_path / name / "resolved.json").read_text())
    resolved["recipe"]["name"] = "b\x1b[2J\u202e"
    (tmp_path / name / "resolved.json").write_text(json.dumps(resolved))
    where = ("--runs", str(tmp_path))
    for outcome in (kit("runs", "list", *where), kit("runs", "show", name, *where), kit("runs", "show", "\x1b[5m", *where)):
        assert "\\x1b[" in outcome.out + outcome.err
        assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out + outcome.err)
