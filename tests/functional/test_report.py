"""`kit report`: one page that needs nothing else, and says what `kit rank` and `kit run ladder` say."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from dashboard_tools import DATA, FASHION
from report_pages import check_page

from kit.correlation.ladder import rank_rows
from kit.ladder_files import read_ladder, write_ladder
from kit.ladder_report import LadderReport, LadderRow
from kit.rank_report import Correlations, Interval, SingleTraining
from kit.run_dir import RunDirectory


@pytest.fixture
def runs(tmp_path):
    shutil.copytree(DATA, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_run_says_what_kit_rank_says(runs, kit, tmp_path):
    out = tmp_path / "out"
    outcome = kit("report", FASHION, "--runs", str(runs), "--out", str(out))
    assert outcome.code == 0, outcome.err
    page = check_page(out, outcome.out)
    predictions = runs / FASHION / "predictions.json"
    ranked = kit("rank", str(predictions), "--truth", "fashion", "--json").json
    words = " ".join(page.words)
    for figure in (ranked["pearson"], ranked["opponents"]["macs"]["kendall"], ranked["partial"]["pearson"]):
        assert f"{figure['value']:+.3f} [{figure['low']:+.3f}, {figure['high']:+.3f}]" in words
    with (out / "architectures.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = {entry["arch"]: entry["acc"] for entry in json.loads(predictions.read_text()).values()}
    assert {row["code"]: float(row["acc"]) for row in rows} == expected
    assert sum(bool(row["true"]) for row in rows) == ranked["n"]
    again = kit("report", FASHION, "--runs", str(runs), "--out", str(out), "--json")
    assert again.code == 0 and again.json["report"] == str((out / "report.html").resolve())
    assert len(again.json["files"]) == len(list(out.iterdir()))


def test_opponents_of_ones_own_stand_in_it(runs, kit, tmp_path):
    entries = json.loads((runs / FASHION / "predictions.json").read_text())
    mine = {name: {"acc": 1 - entry["acc"], "arch": entry["arch"]} for name, entry in entries.items()}
    (tmp_path / "mine.json").write_text(json.dumps(mine))
    options = ["--opponent", f"upside-down={tmp_path / 'mine.json'}"]
    assert kit("report", FASHION, "--runs", str(runs), "--out", str(tmp_path / "out"), *options).code == 0
    assert "supernet minus upside-down" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("damage", ["no truth", "unfinished", "markup"])
def test_whatever_is_missing_is_said(runs, kit, tmp_path, damage):
    run = RunDirectory(runs / FASHION)
    if damage == "unfinished":
        for path in (run.predictions, run.evaluations, run.rank):
            path.unlink(missing_ok=True)
    else:
        resolved = json.loads(run.resolved.read_text())
        if damage == "no truth":
            resolved["profile"]["network"]["base_channels"] = [8, 16, 32, 60]
        else:
            resolved["recipe"]["name"] = "<script>alert(1)</script>"
        run.resolved.write_text(json.dumps(resolved))
    outcome = kit("report", FASHION, "--runs", str(runs), "--out", str(tmp_path / "out"))
    assert outcome.code == 0, outcome.err
    page = check_page(tmp_path / "out", outcome.out)
    expected = {"no truth": "was made with", "unfinished": "0 scored architectures", "markup": "<script>alert(1)</script>"}
    assert any(expected[damage] in words for words in page.words)


def ladder(runs, rows):
    """A ladder's directory as the ladder leaves it."""
    directory = RunDirectory(runs / "ladder-tiny")
    directory.path.mkdir(parents=True)
    directory.resolved.write_text(json.dumps({"kind": "ladder", "profile": {"name": "tiny"}}))
    figure = Interval(0.5, 0.25, 0.75)
    report = LadderReport(
        profile="tiny", truth="/truth.json", chosen="a list that was given", n=9, reliability=0.9,
        reliability_interval=figure, ceiling=0.95, single_training=SingleTraining(0.6, 0.5),
        opponents={"macs": Correlations(figure, figure, figure)}, rows=rows,
    )  # fmt: skip
    write_ladder(directory.ladder, report)
    assert read_ladder(directory.ladder) == report
    return directory


def measured():
    truth = [0.1 * place for place in range(9)]
    own = {
        name: [[value + (place * shift % 3) * 0.1 for place, value in enumerate(truth)]]
        for name, shift in (("a", 2), ("b", 4))
    }
    ranks = rank_rows(
        own, truth, {"macs": [place % 4 for place in range(9)]}, given={"macs": [place % 4 for place in range(9)]}
    )
    return tuple(
        LadderRow(recipe=name, seeds=1, rank=rank, passes=10, images=80, seconds=1.5, paper=0.8 if name == "a" else None)
        for name, rank in ranks.items()
    )


def test_a_ladder_shows_every_row_and_the_papers_figures(kit, tmp_path):
    rows = (*measured(), LadderRow(recipe="broken", seeds=0, rank=None, error="seed 0: it <diverged>"))
    ladder(tmp_path / "runs", rows)
    outcome = kit("report", "ladder-tiny", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"))
    assert outcome.code == 0, outcome.err
    page = check_page(tmp_path / "out", outcome.out)
    words = " ".join(page.words)
    for text in (
        "one stand-alone training",
        "broken: seed 0: it <diverged>",
        "minus multiply-adds",
        "a, paper",
        "0.800",
        "One supernet of",
    ):
        assert text in words
    with (tmp_path / "out" / "ladder.csv").open() as file:
        flat = list(csv.DictReader(file))
    assert [row["recipe"] for row in flat] == ["a", "b", "broken"] and flat[2]["pearson_value"] == ""
    assert float(flat[0]["pearson_value"]) == rows[0].rank.predictions.pearson.value


def test_a_ladder_of_failures_is_a_page_too(kit, tmp_path):
    ladder(tmp_path / "runs", (LadderRow(recipe="broken", seeds=0, rank=None, error="why"),))
    outcome = kit("report", "ladder-tiny", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"))
    assert outcome.code == 0 and "broken: why" in (tmp_path / "out" / "report.html").read_text()


def test_bad_wishes_are_named(runs, kit, tmp_path):
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.tex").write_text("")
    full = kit("report", FASHION, "--runs", str(runs), "--out", str(busy))
    assert full.code == 2 and "thesis.tex" in full.err and list(busy.iterdir()) == [busy / "thesis.tex"]
    assert kit("report", "nothing", "--runs", str(runs), "--out", str(tmp_path / "x")).code == 2
    directory = ladder(tmp_path / "other", ())
    directory.ladder.write_text(json.dumps({"profile": 3}))
    damaged = kit("report", "ladder-tiny", "--runs", str(tmp_path / "other"), "--out", str(tmp_path / "x"))
    assert damaged.code == 2 and "ladder.json is damaged: profile" in damaged.err
    directory.ladder.unlink()
    missing = kit("report", "ladder-tiny", "--runs", str(tmp_path / "other"), "--out", str(tmp_path / "x"))
    assert missing.code == 2 and "measured nothing yet" in missing.err
    assert not Path(tmp_path / "x").exists()
