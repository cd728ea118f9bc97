"""`kit run ladder`: rows are found, continued, compared; one that fails stops no other, and no truth changes a row."""

import json
import signal
from pathlib import Path

import pytest
from conftest import succeed

from kit.ladder_files import read_inputs
from kit.ladder_report import LadderRow
from kit.run_dir import find_run
from kit.watch.run_summary import describe_run, read_state


@pytest.fixture(scope="module")
def truth(make_small, tmp_path_factory):
    """A truth of the small profile, of nine architectures."""
    small = make_small(tmp_path_factory.mktemp("truth"))
    where = ["--profile", str(small.profile), "--runs", str(small.runs), "--workers", "1"]
    succeed("run", "truth", *where, "--architectures", "9", "--seeds", "2")
    return str(small.runs / "truth-tiny" / "truth.json")


@pytest.fixture
def ladder(small, truth):
    """Arguments of a ladder: two recipes that share a phase."""

    def arguments(*options, recipes=None):
        names = ",".join([str(small.recipe), str(second(small))]) if recipes is None else recipes
        where = ["--profile", str(small.profile), "--runs", str(small.runs), "--truth", truth]
        return ["run", "ladder", "--recipes", names, "--seeds", "2", *where, *options]

    return arguments


def second(small):
    """A recipe that begins as the small one does, and ends sooner."""
    path = small.recipe.with_name("shorter.toml")
    head = small.recipe.read_text().split('[[phases]]\nname = "W"')[0]
    without_cells = "\n".join(
        line for line in head.splitlines() if line not in ("[partition]", "stages = [4]", 'cells = [["2"]]', "rest = true")
    )
    path.write_text(without_cells.replace('name = "small"', 'name = "shorter"', 1))
    return path


def test_rows_are_compared_kept_and_found_again(ladder, kit, small, tmp_path, monkeypatch):
    plan = kit(*ladder("--dry-run", "--json"))
    assert plan.code == 0, plan.err
    planned = {(row["recipe"], row["seed"]): row["passes"] for row in plan.json["rows"]}
    assert planned["shorter", 0] == 0, "its phases are those of the row above"
    assert plan.json["passes"] == sum(planned.values()) > 0
    assert not small.runs.exists(), "a plan writes nothing"

    rows = tmp_path / "kept"
    outcome = kit(*ladder("--rows", str(rows), "--json"))
    assert outcome.code == 0, outcome.err
    document = outcome.json
    one, other = document["rows"]
    assert (one["recipe"], other["recipe"], one["seeds"], one["error"]) == ("small", "shorter", 2, None)
    for row in document["rows"]:
        for figure in (row["pearson"], row["kendall"], row["versus_macs"]["pearson_difference"], row["partial"]["pearson"]):
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert "versus_previous" not in one and "versus_previous" in other
    assert document["n"] == 9 and document["reliability"] is not None and "the first 9" in document["chosen"]
    assert one["passes"] > other["passes"] > 0 and one["images"] == one["passes"] * 8
    assert sorted(path.name for path in rows.iterdir()) == [
        "shorter-s0.json", "shorter-s1.json", "small-s0.json", "small-s1.json",
    ]  # fmt: skip

    listed = {row["run"]: row for row in kit("runs", "list", "--runs", str(small.runs), "--json").json["runs"]}
    own = listed["ladder-tiny"]
    assert (own["kind"], own["state"], own["passes_done"]) == ("ladder", "finished", own["passes"])
    assert {row["kind"] for row in listed.values()} == {"ladder", "recipe"} and len(listed) == 5

    asked = read_inputs(small.runs / "ladder-tiny" / "ladder-inputs.json")
    assert [(row.recipe, row.seed, row.passes) for row in asked.rows][1:3] == [
        ("small", 1, one["passes"]),
        ("shorter", 0, other["passes"]),
    ]
    assert (asked.folder, asked.truth) == (str(rows), document["truth"])

    # Nothing is measured twice.
    monkeypatch.setattr("kit.pipeline.ladder_run.measure", None)
    assert kit(*ladder("--rows", str(rows), "--json")).json == document
    monkeypatch.undo()

    # Elsewhere, the kept rows are enough.
    again = kit(*ladder("--rows", str(rows), "--runs", str(tmp_path / "elsewhere"), "--json"))
    assert again.code == 0 and again.json["rows"] == document["rows"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["ladder-tiny"]
    scores = small.runs / "small-tiny-s1" / "predictions.json"
    opponent = ["--opponent", f"other={scores}"]
    against = kit(*ladder("--rows", str(rows), *opponent, "--json")).json
    assert against["rows"][0]["pearson"] == one["pearson"] and "other" in against["opponents"]
    assert against["rows"][0]["versus"]["other"]["pearson_difference"]["value"] == pytest.approx(
        one["pearson"]["value"] - against["opponents"]["other"]["pearson"]["value"]
    )
    assert "other" in against["rows"][0]["partial_all"]["given"]
    alone = kit(*small.arguments(*opponent, "--json"))
    assert alone.code == 0 and alone.json["rank"] is None
    halves = [kit(*ladder("--rows", str(rows), "--half", half, "--json")).json for half in ("even", "odd")]
    assert [half["n"] for half in halves] == [5, 4] and halves[0]["rows"][0]["pearson"] != halves[1]["rows"][0]["pearson"]
    table = kit(*ladder("--rows", str(rows))).out
    assert "minus the row above" in table and "one stand-alone training" in table and "multiply-adds" in table

    # A row that was made with other settings, or is damaged, is none.
    file = rows / "small-s0.json"
    changed = json.loads(file.read_text())
    changed["predictions"].popitem()
    file.write_text(json.dumps({**changed, "predictions": "none"}))
    damaged = kit(*ladder("--rows", str(rows), "--json"))
    assert damaged.code == 1 and "small-s0.json is no row of a ladder: predictions" in damaged.json["rows"][0]["error"]
    assert damaged.json["rows"][1] | {"versus_previous": 0} == other | {"versus_previous": 0}


def test_a_recipe_that_fails_says_why_and_the_others_go_on(ladder, kit, small, tmp_path):
    wild = tmp_path / "wild.toml"
    wild.write_text(
        second(small)
        .read_text()
        .replace('name = "shorter"', 'name = "wild"')
        .replace("learning_rate = 0.1", "learning_rate = 1e30")
    )
    outcome = kit(*ladder("--json", recipes=f"{wild},{second(small)}"))
    assert outcome.code == 1
    failed, done = outcome.json["rows"]
    assert failed["pearson"] is None and failed["seeds"] == 0 and "seed 1" in failed["error"]
    assert done["error"] is None and done["seeds"] == 2
    assert "wild s0 failed, the others go on" in outcome.err
    phases = {phase.name: phase for phase in read_state(find_run("ladder-tiny", small.runs)).phases}
    assert phases["wild s1"].status == "failed" and f"seed 1: {phases['wild s1'].reason}" == failed["error"]
    assert find_run(phases["shorter s0"].run, small.runs).path == small.runs / "shorter-tiny-s0"
    table = kit(*ladder(recipes=f"{wild},{second(small)}"))
    assert table.code == 1 and "wild:" in table.out


def test_no_truth_reaches_training(ladder, kit, small, truth, tmp_path):
    """Another truth gives the same keys, weights and predictions; only the ranks differ."""
    rows = [tmp_path / "one", tmp_path / "other"]
    first = kit(*ladder("--rows", str(rows[0]), "--json"))
    document = json.loads(Path(truth).read_text())
    for place, row in enumerate(document["architectures"]):
        row["accuracies"] = [0.1 + 0.05 * place, 0.12 + 0.04 * place]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    second_runs = ["--runs", str(tmp_path / "runs2"), "--truth", str(other), "--rows", str(rows[1])]
    again = kit(*ladder(*second_runs, "--json"))
    assert first.code == again.code == 0
    assert first.json["rows"][0]["pearson"] != again.json["rows"][0]["pearson"]
    for name in ("small-s0.json", "small-s1.json"):
        ours, theirs = (json.loads((folder / name).read_text()) for folder in rows)
        assert ours["predictions"] == theirs["predictions"] and ours["key"] == theirs["key"]
    for run in ("small-tiny-s0", "small-tiny-s1"):
        weights = [find_run(run, runs).weights_sha256 for runs in (small.runs, tmp_path / "runs2")]
        assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--recipes", ","], 2, "names none"),
        (["--recipes", "spos,spos"], 2, "more than once"),
        (["--recipes", "nonsense"], 2, "nonsense"),
        (["--set", "phases.D1.epochs=1"], 2, "takes its recipes as they are"),
        (["--truth", "missing.json"], 3, "missing.json"),
        (["--seeds", "0"], 2, "--seeds"),
        (["--half", "third"], 2, "no half"),
    ],
)
def test_bad_wishes_are_named(ladder, kit, options, code, message):
    outcome = kit(*ladder(*options))
    assert outcome.code == code and message in outcome.err


def test_a_ladder_without_a_truth_that_fits_trains_nothing(small, kit):
    outcome = kit("run", "ladder", "--recipes", "spos", "--profile", str(small.profile), "--runs", str(small.runs))
    assert outcome.code == 2 and "no truth is shipped for profile tiny" in outcome.err
    assert not (small.runs / "phases").exists()


@pytest.mark.slow
def test_it_continues_after_a_kill_and_a_stop(ladder, kit, start, small):
    whole = kit(*ladder("--json"))
    assert whole.code == 0
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        runs = small.runs.with_name(f"runs-{number.name}")
        process = start(ladder("--runs", str(runs)))
        assert process.wait_for((runs / "ladder-tiny" / "rows" / "small-s0.json").exists)
        process.send(number)
        assert process.end() == code
        if number == signal.SIGTERM:
            assert describe_run(find_run("ladder-tiny", runs)).status == "stopped"
        outcome = kit(*ladder("--runs", str(runs), "--json"))
        assert outcome.code == 0
        for row, expected in zip(outcome.json["rows"], whole.json["rows"], strict=True):
            assert {**row, "seconds": 0} == {**expected, "seconds": 0}


def test_a_row_that_was_not_run_says_so():
    assert LadderRow(recipe="x", seeds=0, rank=None).to_json()["pearson"] is None
