import json
import random
import subprocess
import sys

import pytest
from kit_process import PATIENCE

from kit.cli.main import main
from kit.pool import Pool, draw_pool, write_predictions
from kit.ranking.truth_file import Truth, write_truth
from kit.recipe import load_profile

STATISTICS = {"pearson", "kendall", "spearman"}
SPACE = load_profile("nano").search_space


def kit(capsys, *arguments):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code or 0, *capsys.readouterr()


@pytest.fixture
def files(tmp_path):
    """Predictions of 30 architectures and a truth of three seeds on nano for 24 of them."""
    rng = random.Random(0)
    pool = draw_pool(SPACE, 30, seed=0)
    quality = [rng.uniform(0.2, 0.9) for _ in range(30)]
    predictions, truth = tmp_path / "predictions.json", tmp_path / "truth.json"
    write_predictions(predictions, pool, [value + rng.uniform(-0.1, 0.1) for value in quality])
    accuracies = tuple(tuple(value + rng.gauss(0, 0.1) for _ in range(3)) for value in quality[:24])
    write_truth(truth, Truth(pool.codes[:24], accuracies, accuracies, "nano", {"made": "by a test"}))
    return predictions, truth, pool


def report(capsys, *arguments):
    code, out, _ = kit(capsys, "rank", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_the_document_holds_what_is_promised(files, capsys):
    predictions, truth, _ = files
    code, out, err = kit(capsys, "rank", predictions, "--truth", truth, "--json")
    assert code == 0
    document = json.loads(out)
    assert document["n"] == 24
    assert document["profile"] == "nano"
    assert document["predictions"] == str(predictions.resolve())
    assert document["truth"] == str(truth.resolve())
    for part in (document, *document["baselines"].values()):
        for name in STATISTICS:
            assert part[name]["low"] <= part[name]["value"] <= part[name]["high"]
    assert set(document["baselines"]) == {"macs", "params", "depth"}
    assert document["pearson"]["value"] > 0.7
    for name in ("pearson", "kendall"):
        difference = document["versus_macs"][f"{name}_difference"]
        expected = document[name]["value"] - document["baselines"]["macs"][name]["value"]
        assert difference["value"] == pytest.approx(expected)
        assert difference["low"] < difference["value"] < difference["high"]
    assert 0 < document["reliability"] < document["ceiling"] < 1
    assert document["ties"] == {"predictions": 0, "truth": 0}
    assert "6 predictions" in err


def test_the_same_command_gives_the_same_bytes(files, capsys):
    predictions, truth, _ = files
    arguments = ("rank", predictions, "--truth", truth, "--json")
    assert kit(capsys, *arguments) == kit(capsys, *arguments)


def test_names_order_and_percent_do_not_matter(files, capsys, tmp_path):
    predictions, truth, _ = files
    entries = list(json.loads(predictions.read_text()).values())
    random.Random(1).shuffle(entries)
    renamed = {f"net{i}": {"acc": 100 * entry["acc"], "arch": entry["arch"]} for i, entry in enumerate(entries)}
    (tmp_path / "renamed.json").write_text(json.dumps(renamed))
    one, other = report(capsys, predictions, "--truth", truth), report(capsys, tmp_path / "renamed.json", "--truth", truth)
    for name in STATISTICS:
        assert one[name] == pytest.approx(other[name])
    assert one["baselines"] == other["baselines"]


def test_costs_are_those_of_the_profile(files, capsys, tmp_path):
    predictions, truth, _ = files
    own, nano, imagenet = (
        report(capsys, predictions, "--truth", truth, *options)
        for options in ([], ["--profile", "nano"], ["--profile", "imagenet"])
    )
    assert own == nano
    assert imagenet["pearson"] == nano["pearson"]
    assert imagenet["baselines"]["macs"] != nano["baselines"]["macs"]
    # A challenge file does not name a profile: its costs are those of ImageNet at 224.
    scores = json.loads(predictions.read_text())
    (tmp_path / "challenge.json").write_text(json.dumps(scores))
    challenge = report(capsys, predictions, "--truth", tmp_path / "challenge.json")
    assert challenge["profile"] == "imagenet"
    assert challenge["pearson"]["value"] == pytest.approx(1)
    assert "reliability" not in challenge


def test_the_table_shows_the_supernet_and_its_opponents_with_intervals(files, capsys):
    predictions, truth, _ = files
    document = report(capsys, predictions, "--truth", truth)
    code, out, _ = kit(capsys, "rank", predictions, "--truth", truth)
    assert code == 0
    lines = {line.strip().split("  ")[0]: line for line in out.splitlines() if "[" in line}
    assert {"supernet", "multiply-adds", "parameters", "depth", "supernet minus multiply-adds"} <= lines.keys()
    for label, part in (("supernet", document), ("depth", document["baselines"]["depth"])):
        for name in STATISTICS:
            for value in part[name].values():
                assert f"{value:+.3f}" in lines[label]
    assert f"reliability is {document['reliability']:.2f}" in out
    assert "24 architectures" in out


def bad_input(tmp_path, pool):
    accuracies = [index / 40 for index in range(30)]
    good = tmp_path / "good.json"
    write_predictions(good, pool, accuracies)
    rows = json.loads(good.read_text())

    def variant(name, value):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    constant = variant("constant.json", {name: row | {"acc": 0.5} for name, row in rows.items()})
    other = draw_pool(SPACE, 30, seed=5)
    disjoint = tmp_path / "disjoint.json"
    write_predictions(disjoint, Pool(other.names, other.architectures), accuracies)
    short = {"a": {"acc": 0.5, "arch": "12"}}
    yield good, tmp_path / "absent.json", 3, "absent.json"
    yield tmp_path / "absent.json", good, 3, "absent.json"
    yield tmp_path, good, 3, str(tmp_path)
    yield constant, good, 2, "constant"
    yield good, constant, 2, "truth: all 30 values are 0.5"
    yield disjoint, good, 2, "none of the 30 architectures of the truth"
    yield variant("nan.json", good.read_text().replace("0.5,", "NaN,")), good, 2, "finite"
    yield good, variant("nan-truth.json", good.read_text().replace("0.5,", "NaN,")), 2, "finite"
    yield variant("short.json", short), good, 2, "entry 'a'"
    yield good, variant("short-truth.json", short), 2, "12"
    yield variant("list.json", []), good, 2, "a list"
    yield variant("text.json", "hello"), good, 2, "not valid JSON"
    yield good, "imagenot", 2, "imagenot"
    yield (
        good,
        variant("strange.json", {"profile": "imagenot", "architectures": [{"arch": "1", "accuracies": [1]}]}),
        2,
        "imagenot",
    )


def test_bad_input_is_one_clear_error(files, capsys, tmp_path):
    for predictions, truth, expected, message in bad_input(tmp_path, files[2]):
        code, out, err = kit(capsys, "rank", predictions, "--truth", truth, "--json")
        assert (code, out) == (expected, ""), (predictions, truth)
        assert message in err
        assert err.splitlines()[-1].startswith(("error: ", "hint: "))


def test_it_runs_as_a_process_without_torch(files):
    predictions, truth, _ = files
    script = (
        "import sys\ntry:\n    from kit.cli.main import main; main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "rank", "--json", str(predictions), "--truth", str(truth)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert json.loads(done.stdout)["n"] == 24
    assert not set(done.stderr.split()) & {"torch", "timm", "torchvision"}
