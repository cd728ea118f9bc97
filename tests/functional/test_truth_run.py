"""`kit run truth`: architectures trained alone, whose results depend on nothing but architecture and seed."""

import json
import signal
from math import sqrt
from statistics import mean, variance

import pytest

from kit.ranking.truth_file import find_truth, load_truth
from kit.recipe import load_profile
from kit.records import read_records


def arguments(small, *options, runs=None, workers=1):
    where = ["--profile", str(small.profile), "--runs", str(runs or small.runs)]
    return ["run", "truth", *where, "--workers", str(workers), *options]


def truth(runs):
    return runs / "truth-tiny" / "truth.json"


def trainings(runs):
    return [(r["code"], r["seed"]) for r in read_records(runs / "truth-tiny" / "trainings.jsonl")]


def test_a_truth_is_made_once_and_grows(small, kit):
    outcome = kit(*arguments(small, "--json"))
    assert outcome.code == 0
    assert outcome.json == {"truth": str(truth(small.runs)), "architectures": 3, "seeds": 2, "profile": "tiny"}
    first = load_truth(truth(small.runs))
    assert len(first.codes) == 3 and all(len(values) == 2 for values in first.accuracies)
    assert len({value for values in first.losses for value in values}) == 6, "no two trainings are the same"
    assert first.chosen == "the first 3 of the pool that profile tiny draws with seed 0"
    assert len(trainings(small.runs)) == 6
    document = truth(small.runs).read_bytes()
    assert kit(*arguments(small)).code == 0
    assert truth(small.runs).read_bytes() == document and len(trainings(small.runs)) == 6

    assert kit(*arguments(small, "--architectures", "4")).code == 0
    grown = load_truth(truth(small.runs))
    assert (grown.codes[:3], grown.accuracies[:3], grown.losses[:3]) == (first.codes, first.accuracies, first.losses)
    assert len(trainings(small.runs)) == 8, "only what was missing was trained"


def test_order_and_choice_of_architectures_change_no_result(small, kit, tmp_path):
    assert kit(*arguments(small)).code == 0
    whole = load_truth(truth(small.runs))
    codes = tmp_path / "codes.txt"
    codes.write_text("\n".join(reversed(whole.codes[1:])) + "\n\n")
    assert kit(*arguments(small, "--codes", str(codes), "--seeds", "1", runs=tmp_path / "other")).code == 0
    part = load_truth(truth(tmp_path / "other"))
    assert part.codes == tuple(reversed(whole.codes[1:])) and part.chosen == "a list that was given"
    for code, losses in zip(part.codes, part.losses, strict=True):
        assert losses == (whole.losses[whole.codes.index(code)][0],)


def test_stacked_seeds_are_the_separate_ones_up_to_rounding(small, kit, tmp_path):
    stacked = ["--set", "profile.truth.stack=2", "--seeds", "3"]
    assert kit(*arguments(small, "--seeds", "3")).code == 0
    assert kit(*arguments(small, *stacked, runs=tmp_path / "stacked")).code == 0
    one, other = load_truth(truth(small.runs)), load_truth(truth(tmp_path / "stacked"))
    assert other.codes == one.codes and len(trainings(tmp_path / "stacked")) == 9
    for losses, expected in zip(other.losses, one.losses, strict=True):
        assert losses == pytest.approx(expected, rel=1e-3) and losses[2] == expected[2], "a single one is not stacked"


def test_seeds_that_are_asked_for_later_are_stacked_among_themselves(small, kit):
    stacked = ["--set", "profile.truth.stack=2"]
    assert kit(*arguments(small, *stacked, "--seeds", "1")).code == 0
    first = load_truth(truth(small.runs))
    assert kit(*arguments(small, *stacked, "--seeds", "4")).code == 0
    grown = load_truth(truth(small.runs))
    assert [row[:1] for row in grown.losses] == list(first.losses) and grown.seeds == 4
    assert len(trainings(small.runs)) == 12


@pytest.mark.slow
def test_the_number_of_workers_changes_no_result(small, kit, tmp_path):
    for workers in (1, 2):
        assert kit(*arguments(small, "--seeds", "1", runs=tmp_path / str(workers), workers=workers)).code == 0
    assert truth(tmp_path / "1").read_bytes() == truth(tmp_path / "2").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_truth_keeps_what_is_finished(small, kit, start, tmp_path, workers):
    options = ("--architectures", "12", "--set", "profile.truth.epochs=4")
    process = start(arguments(small, *options, workers=workers))
    assert process.wait_for(lambda: len(trainings(small.runs)) >= 2)
    process.send(signal.SIGINT)
    assert process.end() == 130, process.log.read_text()
    assert "Traceback" not in process.log.read_text()
    kept = trainings(small.runs)
    assert 2 <= len(kept) < 24 and not truth(small.runs).exists()
    assert kit(*arguments(small, *options)).code == 0
    assert trainings(small.runs)[: len(kept)] == kept and len(set(trainings(small.runs))) == len(trainings(small.runs)) == 24
    assert kit(*arguments(small, *options, runs=tmp_path / "undisturbed")).code == 0
    assert truth(small.runs).read_bytes() == truth(tmp_path / "undisturbed").read_bytes()


def test_other_settings_do_not_touch_a_truth(small, kit):
    assert kit(*arguments(small)).code == 0
    before = {path: path.read_bytes() for path in small.runs.rglob("*") if path.is_file() and path.name != ".lock"}
    refused = kit(*arguments(small, "--set", "profile.truth.epochs=2"))
    assert refused.code == 2 and "profile.truth.epochs 1 -> 2" in refused.err and "--fresh" in refused.err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--architectures", "61"), "has 60"),
        (("--architectures", "2", "--codes", "x.txt"), "exclude each other"),
        (("--set", "phases.D.epochs=2"), "a truth has no recipe"),
        (("--data", "digit"), "did you mean digits"),
    ],
)
def test_bad_options_are_refused(small, kit, options, message):
    refused = kit(*arguments(small, *options))
    assert refused.code == 2 and message in refused.err and not small.runs.exists()


@pytest.mark.parametrize(("content", "message"), [("", "holds no codes"), ("1" * 51, "52 digits"), ("9" * 52, "digit")])
def test_bad_codes_are_refused(small, kit, tmp_path, content, message):
    codes = tmp_path / "codes.txt"
    codes.write_text(content)
    refused = kit(*arguments(small, "--codes", str(codes)))
    assert refused.code == 2 and message in refused.err and not small.runs.exists()


def test_the_provenance_says_how_it_was_made(small, kit):
    assert kit(*arguments(small, "--seeds", "1", "--architectures", "1")).code == 0
    document = json.loads(truth(small.runs).read_text())
    assert document["profile"] == "tiny" and document["provenance"]["made_by"] == "kit run truth"
    assert document["provenance"]["training"]["epochs"] == 1
    assert document["made_with"]["search_space"]["base_channels"] == [3, 4, 5, 6]
    assert document["made_with"]["source"] == load_truth(find_truth("nano")).made_with.source, (
        "the same digits, fewer of them"
    )


@pytest.mark.slow
def test_trained_again_two_entries_of_the_shipped_truth_are_as_shipped(kit, tmp_path):
    """Within three standard deviations: bit for bit only on the very processor, whose name a truth does not hold."""
    shipped = load_truth(find_truth("nano"))
    stack = load_profile("nano").truth.stack
    where = ["--runs", str(tmp_path), "--workers", "1", "--architectures", "2", "--seeds", str(stack)]
    assert kit("run", "truth", "--profile", "nano", *where).code == 0
    again = load_truth(tmp_path / "truth-nano" / "truth.json")
    assert again.codes == shipped.codes[:2] and again.made_with == shipped.made_with
    spread = sqrt(mean(variance(row) for row in shipped.accuracies))
    for found, expected in zip(again.accuracies, shipped.accuracies, strict=False):
        assert mean(found) == pytest.approx(mean(expected[:stack]), abs=3 * spread / sqrt(stack))
        assert found == pytest.approx(expected[:stack], abs=6 * spread)
