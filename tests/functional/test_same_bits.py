"""The script that compares two versions of the kit sees the smallest difference there can be."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from same_bits import main


def test_one_bit_is_a_difference(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compare(other: Path) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["same_bits.py", str(finished_run.parent), str(other), "--profile", "tiny"])
        code = main()
        return code, capsys.readouterr().out.splitlines()[1:]

    def copy(name: str) -> Path:
        shutil.copytree(finished_run, tmp_path / name / finished_run.name)
        return tmp_path / name / finished_run.name

    assert compare(copy("same").parent) == (0, ["small   same      same"])

    run = copy("weights")
    file = next((run / "weights").glob("*.safetensors"))
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    tensors[name].reshape(-1).view("u1")[0] ^= 1
    save_file(tensors, file)
    code, (row,) = compare(run.parent)
    assert code == 1 and f"1 of {len(tensors)} tensors differ, the first is {name}" in row and row.endswith("same")

    run = copy("predictions")
    predictions = json.loads((run / "predictions.json").read_bytes())
    first = next(iter(predictions.values()))
    first["acc"] = math.nextafter(first["acc"], 2)
    (run / "predictions.json").write_text(json.dumps(predictions))
    code, (row,) = compare(run.parent)
    assert code == 1 and row.split()[1] == "same" and f"1 of {len(predictions)} differ" in row

    (tmp_path / "none").mkdir()
    code, (row,) = compare(tmp_path / "none")
    assert code == 1 and "no run: new" in row
