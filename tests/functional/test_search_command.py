"""`kit search`: one seed one result, also when killed; limits; what a folder may hold."""

import json
import signal

import pytest

from kit.costs import costs
from kit.recipe import load_profile
from kit.run_dir import find_run
from kit.watch.run_summary import describe_run
from kit.watch.search_view import read_search


@pytest.fixture
def search(small, trained):
    def arguments(out, *options):
        where = ["--runs", str(trained.runs), "--out", str(out)]
        return ["search", "small-tiny-s0", *where, "--evaluations", "60", "--population", "20", *options]

    return arguments


def without_clock(document):
    return {name: value for name, value in document.items() if name != "seconds"}


def test_one_seed_one_result_within_limits(search, kit, trained, tmp_path):
    profile = load_profile(str(trained.profile))
    least, most = (
        costs(each, profile.scale).macs for each in (profile.published_space.smallest, profile.published_space.largest)
    )
    limit = (least + most) // 2
    options = ["--max-macs", str(limit), "--json"]
    plan = kit(*search(tmp_path / "plan", *options, "--dry-run"))
    assert plan.code == 0 and plan.json["evaluations"] == 120 and plan.json["seconds"] > 0
    assert not (tmp_path / "plan").exists()

    outcome = kit(*search(tmp_path / "one", *options))
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert (found["evaluated"], found["seed"], found["random"]["evaluated"]) == (60, 0, 60)
    assert 0 < found["distinct"] <= 60 and found["best"]["latency_ms"] is None
    for way in (found, found["random"]):
        assert 0 < way["macs_done"] <= way["macs_one_by_one"]
    for entry in (found["best"], *found["pareto"], found["random"]["best"]):
        assert entry["macs"] <= limit and profile.search_space.parse(entry["code"])
    accuracies = [entry["accuracy"] for entry in found["pareto"]]
    assert accuracies == sorted(accuracies) and accuracies[-1] == found["best"]["accuracy"]

    # The supernet says the same of it when asked again.
    code = tmp_path / "code.json"
    code.write_text(json.dumps({"best": {"arch": found["best"]["code"], "acc": 0.0}}))
    again = kit("evaluate", "small-tiny-s0", "--runs", str(trained.runs), "--pool", str(code), "--json")
    [scored] = json.loads(open_text(again.json["predictions"])).values()
    assert scored["acc"] == found["best"]["accuracy"]

    log = (tmp_path / "one" / "events.jsonl").read_bytes()
    answered = kit(*search(tmp_path / "one", *options))
    assert answered.json == found and (tmp_path / "one" / "events.jsonl").read_bytes() == log
    assert without_clock(kit(*search(tmp_path / "two", *options)).json) == without_clock(found)
    other = kit(*search(tmp_path / "other", *options, "--seed", "1")).json
    assert other["random"]["best"] != found["random"]["best"] or other["best"] != found["best"]
    table = kit(*search(tmp_path / "one", *options[:-1])).out
    assert found["best"]["code"] in table and "best of random search" in table

    refused = kit(*search(tmp_path / "one", "--json"))
    assert refused.code == 2 and "another search (limits differ)" in refused.err


def open_text(path):
    with open(path) as file:
        return file.read()


def test_a_search_among_the_runs_is_listed(search, kit, trained):
    out = trained.runs / "my-search"
    assert kit(*search(out)).code == 0
    [listed] = [
        row for row in kit("runs", "list", "--runs", str(trained.runs), "--json").json["runs"] if row["run"] == "my-search"
    ]
    assert (listed["kind"], listed["state"], listed["passes"], listed["passes_done"]) == ("search", "finished", 120, 120)
    result = json.loads((out / "search.json").read_text())
    frame = kit("dashboard", str(out), "--screen", "run", "--once", "--size", "200x40").out
    assert "120 of 120 evaluations" in frame and "accuracy over sub-networks scored" in frame
    for found in (result["best"], result["random"]["best"]):
        assert found["code"] in frame and f"{found['accuracy']:.4f}" in frame
    view = read_search(find_run(str(out), trained.runs))
    best = max(result["best"], result["random"]["best"], key=lambda each: (each["accuracy"], -each["macs"]))
    assert (view.front[0].accuracy, view.front[0].macs) == (best["accuracy"], best["macs"]) and not view.limits
    accuracies = [entry.accuracy for entry in view.front]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_it_goes_on_to_the_same_result(search, kit, start, trained, tmp_path, number):
    whole = kit(*search(tmp_path / "whole", "--json")).json
    out = tmp_path / "stopped"
    process = start(search(out))
    results = out / "evaluations.jsonl"
    assert process.wait_for(lambda: results.exists() and results.read_bytes().count(b"\n") >= 1)
    process.send(number)
    code = process.end()
    assert code in ((-9,) if number == signal.SIGKILL else (143, 0))
    if code == 143:
        assert describe_run(find_run(str(out), trained.runs)).status == "stopped"
    goes_on = kit(*search(out, "--json"))
    assert goes_on.code == 0 and without_clock(goes_on.json) == without_clock(whole)


def test_bad_wishes_are_named(search, kit, trained, tmp_path):
    nothing = kit(*search(tmp_path / "x", "--max-macs", "10"))
    assert nothing.code == 2 and "no architecture has at most 10 multiply-adds: the smallest has" in nothing.err
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.tex").write_text("")
    held = kit(*search(busy))
    assert held.code == 2 and "thesis.tex" in held.err and len(list(busy.iterdir())) == 1
    assert kit("search", "nothing", "--runs", str(trained.runs), "--out", str(tmp_path / "x")).code == 2
    run = find_run("small-tiny-s0", trained.runs)
    run.predictions.unlink()
    unfinished = kit(*search(tmp_path / "x"))
    assert unfinished.code == 2 and "is not finished" in unfinished.err
    assert not (tmp_path / "x").exists()
