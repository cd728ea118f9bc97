"""`kit runs export --tensorboard`: read back with TensorBoard's own reader, appended to, refused where it would mix."""

import json
import shutil
import sys

import pytest
from dashboard_tools import DATA, FASHION
from event_logs import read_events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kit.events import RankMeasured, StepDone, SubnetEvaluated


@pytest.fixture
def runs(tmp_path):
    shutil.copytree(DATA, tmp_path / "runs")
    return tmp_path / "runs"


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def export(kit, runs, out, run=FASHION):
    return kit("runs", "export", run, "--runs", str(runs), "--tensorboard", str(out), "--json")


def test_every_step_is_a_point_at_its_time(kit, runs, tmp_path):
    outcome = export(kit, runs, tmp_path / "out")
    assert outcome.code == 0, outcome.err
    found, log = read(tmp_path / "out"), read_events(runs / FASHION / "events.jsonl")
    scalars = found.Tags()["scalars"]
    steps = [event for event in log if isinstance(event, StepDone) and event.phase == "CPT"]
    for kind, losses in (("sampled", [e.losses[0] for e in steps]), ("candidates", [sum(e.losses[1:]) / 10 for e in steps])):
        points = found.Scalars(f"loss/CPT/{kind}")
        assert [point.value for point in points] == pytest.approx(losses, rel=1e-6)
        assert [point.wall_time for point in points] == pytest.approx([event.time for event in steps])
    first, last = found.Scalars("loss/pretrain/sampled")[-1].step, found.Scalars("loss/CPT/sampled")[0].step
    assert first < last, "steps count on from phase to phase"
    [rank] = [event for event in log if isinstance(event, RankMeasured)]
    assert found.Scalars("rank/kendall")[0].value == pytest.approx(rank.report["kendall"]["value"], rel=1e-6)
    scored = [event for event in log if isinstance(event, SubnetEvaluated)]
    assert len(found.Scalars("scoring/accuracy")) == len(scored)
    assert {"rate/CPT", "speed/passes per second"} <= set(scalars)
    assert sum(len(found.Scalars(tag)) for tag in scalars) == outcome.json["points"]
    text = found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```"))["recipe"]["name"] == "full"
    assert found.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name == "hparams"


def test_exporting_again_appends_what_is_new(kit, runs, tmp_path):
    log = runs / FASHION / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    half = len(lines) // 2
    log.write_bytes(b"".join(lines[:half]) + lines[half][:10])  # a line that is being written
    first = export(kit, runs, tmp_path / "out").json["points"]
    assert export(kit, runs, tmp_path / "out").json["points"] == 0
    log.write_bytes(b"".join(lines))
    second = export(kit, runs, tmp_path / "out").json["points"]
    whole = export(kit, runs, tmp_path / "whole").json["points"]
    assert first > 0 and second > 0 and first + second == whole
    parts, once = read(tmp_path / "out"), read(tmp_path / "whole")
    for tag in once.Tags()["scalars"]:
        ours, theirs = ([(p.step, p.value, p.wall_time) for p in each.Scalars(tag)] for each in (parts, once))
        assert ours == theirs
    assert len(parts.Tensors("settings/text_summary")) == 1


def test_bad_wishes_are_named(kit, runs, tmp_path, monkeypatch):
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.tex").write_text("")
    assert "holds thesis.tex, and no export of this run" in export(kit, runs, busy).err
    out = tmp_path / "out"
    assert export(kit, runs, out).code == 0
    log = runs / FASHION / "events.jsonl"
    log.write_text(log.read_text().replace('"pid":', '"pid":1', 1))
    other = export(kit, runs, out)
    assert other.code == 2 and "the export of another run" in other.err
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    missing = export(kit, runs, tmp_path / "third")
    assert missing.code == 2 and "TensorBoard is not installed" in missing.err and "kit[tensorboard]" in missing.err
