"""`kit report` of a search and of a training alone: what it says, how far they are, and what it refuses."""

import csv
import json
import shlex
import signal
from statistics import fmean

import pytest
from report_pages import check_page

from kit.errors import StopRequestedError
from kit.events import BatchScored, Event, Validated
from kit.pipeline.alone_run import AloneRequest, AloneRun
from kit.pipeline.search_run import SearchRequest, SearchRun
from kit.pipeline.signals import StopFlag
from kit.watch.run_summary import describe_run


@pytest.fixture
def searched(kit, trained):
    """A finished search among the runs, and its document."""
    options = ["--runs", str(trained.runs), "--evaluations", "50", "--population", "20", "--max-macs", "40000"]
    outcome = kit("search", "small-tiny-s0", "--out", str(trained.runs / "search"), *options, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json


@pytest.fixture
def report(kit, trained, tmp_path):
    """Make the report of one of the runs: its words, and the rows of its CSV files."""

    def make(name):
        out = tmp_path / f"report-{name}"
        outcome = kit("report", name, "--runs", str(trained.runs), "--out", str(out))
        assert outcome.code == 0, outcome.err
        assert (out / "report.html").stat().st_size < 2e6
        tables = {}
        for path in out.glob("*.csv"):
            with path.open() as file:
                tables[path.stem] = list(csv.DictReader(file))
        return check_page(out, outcome.out).words, tables

    return make


def stop_after(make, wanted: type[Event], count: int) -> None:
    """Run until so many events of a kind have come, then stop as a signal does."""
    stop = StopFlag()
    with pytest.raises(StopRequestedError):
        for event in make(stop):
            count -= isinstance(event, wanted)
            if not count:
                stop.signal = signal.SIGTERM


def test_a_search_says_whether_evolution_earned_its_place(searched, report):
    words, tables = report("search")
    text = " ".join(words)
    one, other = searched["best"], searched["random"]["best"]
    place = (
        "above" if one["accuracy"] > other["accuracy"] else "below" if one["accuracy"] < other["accuracy"] else "not above"
    )
    assert f"Evolution's best is {place} random search's: {one['accuracy']:.4f} against {other['accuracy']:.4f}" in text
    assert "not finished" not in text and "a predicted accuracy is not a stand-alone one" in text
    for told in (one["code"], other["code"], f"{one['macs']:,}", f"{one['params']:,}", "at most 40,000 multiply-adds"):
        assert told in words
    for way in (searched, searched["random"]):
        assert {f"{way['evaluated']}", f"{way['distinct']}", f"{way['macs_one_by_one'] / way['macs_done']:.2f}"} <= {*words}
    rows = [(float(row["acc"]), int(row["macs"]), row["front"] == "1") for row in tables["architectures"]]
    assert len(rows) <= searched["distinct"] + searched["random"]["distinct"]
    for accuracy, macs, on_front in rows:
        beaten = any(a >= accuracy and m <= macs and (a, m) != (accuracy, macs) for a, m, _ in rows)
        assert not (on_front and beaten)
    assert max(accuracy for accuracy, _, on_front in rows if on_front) == max(one["accuracy"], other["accuracy"])
    ends = {row["by"]: (float(row["evaluations"]), float(row["accuracy"])) for row in tables["best-so-far"]}
    assert ends == {"evolution": (50, one["accuracy"]), "random search": (50, other["accuracy"])}


def test_it_knows_what_its_best_are_worth_alone(searched, kit, report, tmp_path):
    words, _ = report("search")
    [advice] = [line for line in words if line.startswith("The best of evolution was not trained alone")]
    command = shlex.split(advice[advice.index("kit run alone") :])
    assert command[3] == searched["best"]["code"]
    alone = kit(*command[1:], "--json").json
    words, _ = report("search")
    for rows in (alone["seeds"], alone["from_scratch"]):
        assert len(rows) == 4 and f"{fmean(row['accuracy'] for row in rows):.4f}" in words
    assert not any("best of evolution was not trained" in line for line in words)

    name = command[command.index("--out") + 1].rpartition("/")[2]
    words, tables = report(name)
    text = " ".join(words)
    assert alone["code"] in words and "What inheriting saves" in words and "not finished" not in text
    for rows, begun in ((alone["seeds"], "from small-tiny-s0"), (alone["from_scratch"], "from scratch")):
        assert f"Trained {begun}: accuracy {fmean(row['accuracy'] for row in rows):.4f} (4 trainings" in text
    curves = {}
    for row in tables["epochs"]:
        key = row["weights"], int(row["seed"])
        curves.setdefault(key, []).append([float(row["epoch"]), float(row["accuracy"])])
    for rows, start in ((alone["seeds"], "inherited"), (alone["from_scratch"], "scratch")):
        assert all(curves[start, row["seed"]] == row["curve"] for row in rows)
    losses = {(row["weights"], int(row["seed"])): row["loss"] for row in tables["epochs"]}
    assert all(float(losses["scratch", row["seed"]]) == row["loss"] for row in alone["from_scratch"])


def test_other_images_and_networks_are_no_comparison(searched, kit, trained, report):
    """What was trained on other images than those of the search is not held against it."""
    other = ["--profile", str(trained.profile), "--set", "profile.images.validation=40"]
    options = ["--runs", str(trained.runs), "--out", str(trained.runs / "elsewhere")]
    assert kit("run", "alone", searched["best"]["code"], *options, *other).code == 0
    words, _ = report("search")
    assert any("best of evolution was not trained alone" in line for line in words) and "elsewhere" not in words


def test_how_far_they_are(trained, report):
    out = trained.runs / "search"
    request = SearchRequest(run="small-tiny-s0", runs=trained.runs, out=out, evaluations=50, population=20)
    search = SearchRun(request)
    stop_after(search.execute, BatchScored, 3)
    assert describe_run(search.directory).status == "stopped"
    words, tables = report("search")
    text = " ".join(words)
    assert "It is not finished: 75 of 100 evaluations are done (75 %)" in text and "Evolution's best is" not in text
    assert [row["by"] for row in tables["best-so-far"]] == ["evolution", "evolution", "random search"]

    code = json.loads((trained.run / "predictions.json").read_text())["arch1"]["arch"]
    request = AloneRequest(
        code=code, out=trained.runs / "alone", runs=trained.runs, inherit="small-tiny-s0", epochs=3, seeds=1
    )
    stop_after(lambda stop: AloneRun(request, stop).execute(), Validated, 3)
    words, tables = report("alone")
    text = " ".join(words)
    assert "It is not finished: 8 of 24 steps are done (33 %)" in text and "No training is finished" in text
    assert [float(row["epoch"]) for row in tables["epochs"]] == [0, 1, 2] and "What inheriting saves" not in words


def test_bad_wishes_are_named(searched, kit, trained, tmp_path):
    def refuse(*options):
        outcome = kit("report", "search", "--runs", str(trained.runs), "--out", str(tmp_path / "x"), *options)
        assert not (tmp_path / "x").exists()
        return outcome.code, outcome.err

    code, said = refuse("--opponent", "mine=mine.json")
    assert code == 2 and "--opponent is for the report of a run, and search is of kind search" in said
    result = trained.runs / "search" / "search.json"
    document = json.loads(result.read_text())
    del document["random"]["best"]
    result.write_text(json.dumps(document))
    code, said = refuse()
    assert code == 3 and "search.json is damaged: random.best" in said and "hint: remove it" in said
    resolved = trained.runs / "search" / "resolved.json"
    resolved.write_text(json.dumps(json.loads(resolved.read_text()) | {"kind": "truth"}))
    code, said = refuse()
    assert code == 2 and "search is of kind truth" in said and "searches" in said
