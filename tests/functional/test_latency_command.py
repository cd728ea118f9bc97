"""`kit latency`, and its table wherever a command takes one."""

import json
import signal
from html import escape

import pytest
from conftest import succeed

from kit.latency_table import read_latency
from kit.recipe import load_profile


@pytest.fixture(scope="module")
def table(make_small, tmp_path_factory):
    """What `kit latency measure` writes about the small profile."""
    small = make_small(tmp_path_factory.mktemp("latency"))
    path = small.profile.with_name("latency.json")
    succeed("latency", "measure", "--profile", str(small.profile), "--repeats", "2", "--out", str(path))
    return path


def test_a_table_is_measured_shown_and_checked(table, small, kit):
    known = read_latency(table)
    profile = load_profile(str(small.profile))
    assert known.scale == profile.scale and len(known.networks) >= 20
    code = profile.search_space.largest.code
    shown = kit("latency", "show", code, "--table", str(table), "--json").json
    assert shown["latency_ms"] == pytest.approx(known.milliseconds(profile.search_space.largest))
    assert len(shown["blocks"]) == sum(profile.search_space.largest.depths) + 2
    assert "with the table's correction" in kit("latency", "show", code, "--table", str(table)).out
    # What networks this small take depends on what else runs: how the check ends does not, given its figures.
    checked = kit("latency", "check", str(table), "--json")
    close = checked.json["pearson"] >= 0.95 and checked.json["mean_absolute_error_percent"] <= 10
    assert checked.code == (0 if close else 1) and checked.json["ok"] is close and len(checked.json["networks"]) >= 20


def test_onnx_runtime_measures_too(small, kit, tmp_path):
    out = tmp_path / "onnx.json"
    where = ["--profile", str(small.profile), "--backend", "onnxruntime", "--repeats", "2", "--out", str(out)]
    found = kit("latency", "measure", *where, "--json").json
    assert found["backend"] == "onnxruntime" and found["table"] == str(out) and found["networks_checked"] >= 20
    assert {"device", "threads", "batch", "pearson", "mean_absolute_error_percent"} <= found.keys()
    assert found["blocks"] == len(read_latency(out).blocks)


def test_it_is_a_column_and_an_opponent(table, trained, kit, tmp_path):
    small = trained
    known = read_latency(table)
    predictions = json.loads((small.run / "predictions.json").read_text())
    code = predictions["arch1"]["arch"]
    expected = known.milliseconds(known.scale.space.parse(code))

    drawn = kit("architecture", code, "--profile", str(small.profile), "--latency", str(table), "--json").json
    assert drawn["latency_ms"] == pytest.approx(expected)
    truth = str(small.run / "predictions.json")
    where = ["--profile", str(small.profile), "--latency", str(table)]
    ranked = kit("rank", truth, "--truth", truth, *where, "--json").json
    assert -1 <= ranked["opponents"]["latency"]["pearson"]["value"] <= 1 and "latency" in ranked["versus"]
    report = tmp_path / "report"
    assert kit("report", str(small.run), "--latency", str(table), "--out", str(report)).code == 0
    assert (report / "accuracy-latency.svg").exists()
    header, first, *_ = (report / "architectures.csv").read_text().splitlines()
    written = dict(zip(header.split(","), first.split(","), strict=True))["latency"]
    assert float(written) == pytest.approx(expected)
    frame = ["--screen", "architectures", "--once", "--size", "160x80", "--latency", str(table)]
    assert f"{expected:.4g}" in kit("dashboard", str(small.run), *frame).out


def test_a_search_keeps_to_it(table, trained, kit, tmp_path):
    small = trained
    known = read_latency(table)
    most = known.milliseconds(known.scale.space.smallest) * 1.5
    where = [str(small.run), "--latency", str(table), "--evaluations", "10", "--population", "4"]
    found = kit("search", *where, "--max-latency-ms", str(most), "--out", str(tmp_path / "search"), "--json").json
    assert found["limits"]["latency_ms"] == most and known.describe() == found["latency"]
    for each in [found["best"], *found["pareto"], found["random"]["best"]]:
        assert each["latency_ms"] <= most
        assert each["latency_ms"] == pytest.approx(known.milliseconds(known.scale.space.parse(each["code"])))
    assert kit("report", str(tmp_path / "search"), "--out", str(tmp_path / "report")).code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert escape(found["latency"]) in page and page.count(f">{found['best']['latency_ms']:.3f}<") >= 1
    nothing = kit("search", *where, "--max-latency-ms", str(most / 1000), "--out", str(tmp_path / "none"))
    assert nothing.code == 2 and "the smallest has" in nothing.err
    without = kit("search", str(small.run), "--max-latency-ms", "1", "--out", str(tmp_path / "none"))
    assert without.code == 2 and "--latency TABLE.json" in without.err


def test_a_table_of_something_else_is_refused_and_another_device_is_told(table, trained, kit, tmp_path):
    small = trained
    other = ["--latency", str(table), "--out", str(tmp_path / "out")]
    code = load_profile("nano").search_space.largest.code
    refused = kit("architecture", code, "--profile", "nano", "--latency", str(table))
    assert refused.code == 2 and "the latency table is of profile tiny, not of profile nano" in refused.err
    document = json.loads(table.read_text())
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps({**document, "device": "a telephone"}))
    told = kit("architecture", code, "--profile", str(small.profile), "--latency", str(moved))
    assert told.code == 0 and "a telephone" in told.err and "this is another device" in told.err
    moved.write_text(json.dumps({**document, "blocks": {}}))
    incomplete = kit("report", str(small.run), "--latency", str(moved), *other[2:])
    assert incomplete.code == 2 and "has no 'block" in incomplete.err
    assert kit("report", str(small.run), "--latency", str(tmp_path / "absent.json"), *other[2:]).code == 3
    assert kit("latency", "check", str(small.profile)).code in (2, 3)
    clash = kit("rank", "x.json", "--truth", "nano", "--opponent", f"latency={table}")
    assert clash.code in (2, 3)


@pytest.mark.slow
def test_a_stopped_measurement_writes_nothing(start, tmp_path):
    out = tmp_path / "latency.json"
    process = start(["latency", "measure", "--profile", "nano", "--out", str(out)])
    assert process.wait_for(lambda: "blocks" in process.log.read_text())
    process.send(signal.SIGTERM)
    assert process.end() == 143 and not out.exists() and "it measures anew" in process.log.read_text()
