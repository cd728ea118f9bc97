import hashlib
import json
import pickle
import subprocess
import sys

import pytest
import torch

from kit.cli.main import main
from kit.recipe import load_profile
from kit.search_space import SearchSpace
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.weights import export_weights, load_supernet, save_weights, sse34_cells

TINY = SearchSpace(base_channels=(8, 8, 16, 16), divisor=4)
NANO = load_profile("nano")


def supernet(space=NANO.search_space, classes=NANO.num_classes, seed=0):
    return ElasticResNet(space, classes, generator=torch.Generator().manual_seed(seed))


def same(a, b):
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture
def kit(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return (caught.value.code or 0, *capsys.readouterr())

    return run


@pytest.mark.parametrize("suffix", ["pdparams", "pth", "safetensors"])
def test_import_and_export_go_round(suffix, kit, tmp_path):
    net = supernet()
    export_weights(net, tmp_path / f"theirs.{suffix}", suffix)
    code, out, err = kit("weights", "import", f"theirs.{suffix}", "--profile", "nano", "--out", "ours.safetensors", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["file"] == str(tmp_path / "ours.safetensors")
    assert report["source"] == str(tmp_path / f"theirs.{suffix}")
    assert report["sha256"] == hashlib.sha256((tmp_path / "ours.safetensors").read_bytes()).hexdigest()
    assert report["members"] == 1 and report["num_classes"] == NANO.num_classes
    assert same(net, load_supernet(tmp_path / "ours.safetensors"))
    # The file notes its space, so no profile is needed; options may stand before the argument.
    code, out, err = kit("weights", "export", "--format", suffix, "--out", f"again.{suffix}", "ours.safetensors")
    assert code == 0, err
    assert f"again.{suffix}" in out
    assert (tmp_path / f"again.{suffix}").read_bytes() == (tmp_path / f"theirs.{suffix}").read_bytes()


def test_few_shot_files_keep_their_members(kit, tmp_path):
    cells = sse34_cells(NANO.search_space)
    net = FewShotSupernet([supernet(seed=index) for index in range(5)], cells)
    export_weights(net, tmp_path / "few.pdparams", "pdparams")
    code, out, _ = kit("weights", "import", "few.pdparams", "--profile", "nano", "--out", "few.safetensors", "--json")
    assert code == 0 and json.loads(out)["members"] == 5
    loaded = load_supernet(tmp_path / "few.safetensors")
    assert isinstance(loaded, FewShotSupernet) and loaded.cells == cells and same(net, loaded)


def test_a_run_is_exported_by_id_and_by_path(kit, tmp_path):
    run = tmp_path / "elsewhere" / "r1"
    (run / "weights").mkdir(parents=True)
    (run / "resolved.json").write_text("{}")
    save_weights(supernet(), run / "weights" / "supernet.safetensors")
    code, _, err = kit("weights", "export", "r1", "--runs", "elsewhere", "--format", "pth", "--out", "by_id.pth")
    assert code == 0, err
    code, _, err = kit("weights", "export", "elsewhere/r1", "--format", "pth", "--out", "by_path.pth")
    assert code == 0, err
    assert (tmp_path / "by_id.pth").read_bytes() == (tmp_path / "by_path.pth").read_bytes()
    assert same(supernet(), load_supernet(tmp_path / "by_id.pth"))


class Attack:
    def __reduce__(self):
        return open, ("witness", "w")


def test_errors_name_the_file_leave_nothing_behind_and_have_their_codes(kit, tmp_path):
    save_weights(supernet(TINY, 3), tmp_path / "tiny.safetensors")
    export_weights(supernet(TINY, 3), tmp_path / "tiny.pdparams", "pdparams")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "tiny.safetensors").read_bytes()[:-5])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "hostile.pdparams").write_bytes(pickle.dumps({"a": Attack()}))
    torch.save({"a": Attack()}, tmp_path / "hostile.pth")
    (tmp_path / "folder.pth").mkdir()
    before = sorted(tmp_path.iterdir())
    nano = ("--profile", "nano")
    cases = [
        (2, "tiny.safetensors", nano, "another search space"),
        (2, "tiny.pdparams", nano, "has the shape"),
        (2, "tiny.pdparams", (), "has the shape"),
        (2, "tiny.pdparams", ("--profile", "nanoo"), "nano"),
        (3, "cut.safetensors", nano, "damaged"),
        (3, "empty.pth", nano, "empty"),
        (3, "hostile.pdparams", nano, "it asks for"),
        (3, "hostile.pth", nano, "nothing of it was run"),
        (3, "folder.pth", nano, "cannot read"),
        (3, "absent.pth", nano, "No such file"),
        (2, "notes.txt", nano, "suffix"),
    ]
    for expected, file, options, text in cases:
        code, out, err = kit("weights", "import", file, "--out", "out.safetensors", *options)
        assert (code, out) == (expected, ""), (file, code, err)
        assert text in err and (file in err or "nanoo" in err), (file, err)
        assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


def test_export_errors(kit, tmp_path):
    save_weights(supernet(), tmp_path / "w.safetensors")
    (tmp_path / "runs" / "r1").mkdir(parents=True)
    (tmp_path / "runs" / "r1" / "resolved.json").write_text("{}")
    for arguments, text in (
        (("w.safetensors", "--format", "pth", "--out", "x.safetensors"), "does not end in .pth"),
        (("w.safetensors", "--format", "onnx", "--out", "x.onnx"), "onnx"),
        (("nowhere", "--format", "pth", "--out", "x.pth"), "no run 'nowhere'"),
        (("r1", "--format", "pth", "--out", "x.pth"), "no final weights"),
    ):
        code, out, err = kit("weights", "export", *arguments)
        assert (code, out) == (2, "") and text in err, (arguments, err)


def test_help_needs_no_torch():
    code = "import sys; from kit.cli.main import main\ntry: main(['weights', 'import', '--help'])\n"
    code += "except SystemExit as e: assert not e.code\nprint('torch' in sys.modules, 'timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--out" in done.stdout and done.stdout.strip().endswith("False False")
