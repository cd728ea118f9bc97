"""Sub-networks on held-out images after each phase: measured once, in the log, and no part of what is trained."""

import re

from event_logs import read_events

from kit.events import PhaseFinished, PhaseReused, Validated
from kit.recipe import load_profile
from kit.run_dir import RunDirectory
from kit.watch.convergence import phase_checks, warning
from kit.watch.run_curves import phase_curves
from kit.watch.run_summary import read_state


def watched(log):
    return [event for event in read_events(log) if isinstance(event, Validated)]


def test_every_phase_is_checked_and_nothing_else_changes(small, kit, tmp_path):
    unwatched = kit(*small.arguments("--json"))
    assert unwatched.code == 0 and not watched(small.run / "events.jsonl")
    runs = tmp_path / "watched"
    on = ["--set", "profile.runtime.held_out_images=60"]
    assert kit(*small.arguments(*on, runs=runs)).code == 0
    [run] = runs.glob("small-tiny-s0*")
    assert small.results(run) == small.results(small.run), "weights and predictions do not depend on it"

    events = read_events(run / "events.jsonl")
    done = [event.phase for event in events if isinstance(event, PhaseFinished)]
    found = watched(run / "events.jsonl")
    assert [(event.phase, event.what) for event in found] == [
        (phase, what) for phase in done for what in ("largest", "smallest", "sampled 1", "sampled 2", "sampled 3")
    ]
    space = load_profile(str(small.profile)).search_space
    for event in found:
        assert event.code in {space.parse(event.code).code} and 0 <= event.accuracy <= 1 and event.loss > 0
        assert abs(event.accuracy * 60 - round(event.accuracy * 60)) < 1e-9, "of 60 images"
    assert found[0].code == space.largest.code == found[1].code, "the first phase trains one network only"

    # Another run that finds the phases there tells the same of them.
    again = kit(*small.arguments(*on, "--set", "profile.evaluation.batch_size=30", runs=runs))
    assert again.code == 0
    [other] = set(runs.glob("small-tiny-s0*")) - {run}
    assert sum(isinstance(event, PhaseReused) for event in read_events(other / "events.jsonl")) == len(done)
    key = lambda event: (event.phase, event.step, event.what, event.code, event.accuracy, event.loss)  # noqa: E731
    assert list(map(key, watched(other / "events.jsonl"))) == list(map(key, found))

    plan = kit(*small.arguments("--dry-run", "--fresh", "--json", *on, runs=tmp_path / "plan")).json
    assert plan["watching_macs"] > 0 and plan["watching_seconds"] > 0
    off = kit(*small.arguments("--dry-run", "--json", runs=tmp_path / "plan"))
    assert off.json["watching_macs"] == 0

    report = tmp_path / "report"
    assert kit("report", str(run), "--out", str(report)).code == 0
    page = (report / "report.html").read_text()
    assert "Has it converged?" in page and (report / "held-out-loss.svg").exists()
    curves = {curve.name: curve.curve for curve in phase_curves(read_state(RunDirectory(run)), "held-out loss", None)}
    assert set(curves) == {"largest", "smallest", "median"} and len(curves["largest"]) == len(done)
    frame = kit("dashboard", str(run), "--screen", "run", "--once", "--size", "150x40").out
    doubted = bool(warning(phase_checks(found)))
    assert ("does worse than the median" in re.sub(r"\s+", " ", frame)) is doubted


def event(what, loss, phase="W"):
    return Validated(phase=phase, step=1, what=what, code="1", accuracy=0.5, loss=loss)


def test_a_largest_one_that_is_worse_than_the_median_is_told():
    others = [event("smallest", 2.0), event("sampled 1", 0.5), event("sampled 2", 1.0), event("sampled 3", 3.0)]
    good, bad = [event("largest", 0.9), *others], [event("largest", 1.1), *others]
    assert warning(phase_checks(good)) == "" and "largest" in warning(phase_checks(bad))
    later = [event(each.what, each.loss, "CPT") for each in good]
    assert warning(phase_checks(bad + later)) == "", "the newest phase counts"
    assert phase_checks(bad + good)[0].largest.loss == 0.9, "of a phase trained twice the newer one"
    assert phase_checks([event("alone", 1.0)]) == [] == phase_checks([event("largest", 1.0)])
