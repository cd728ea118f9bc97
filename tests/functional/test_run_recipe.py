"""`kit run recipe` from start to end, and everything that may stand in its way."""

import fcntl
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kit_process import CODE
from safetensors import safe_open

from kit.events import CandidateReplaced, PhaseStarted, RunFinished, RunStopped, StepDone, SubnetEvaluated
from kit.pool import load_pool
from kit.run_dir import RunDirectory


def steps(events):
    return [(event.phase, event.step) for event in events if isinstance(event, StepDone)]


def test_a_run_trains_scores_and_is_done(small, kit):
    first = kit(*small.arguments("--json"))
    assert first.code == 0
    assert first.json["state"] == "finished" and first.json["passes_done"] == first.json["passes"] > 0
    assert first.json["predictions"] == str(small.run / "predictions.json")
    events = small.events
    for phase in {event.phase for event in events if isinstance(event, StepDone)}:
        own = [step for name, step in steps(events) if name == phase]
        assert own == list(range(len(own)))
    codes = {event.phase: len(event.codes) for event in events if isinstance(event, StepDone)}
    assert codes == {"pretrain": 1, "D": 2, "W": 2, "CPT": 4, "SSE-0": 3}
    assert any(isinstance(event, CandidateReplaced) for event in events)
    assert sum(isinstance(event, SubnetEvaluated) for event in events) == 60
    assert isinstance(events[-1], RunFinished)
    pool, predictions = load_pool(small.run / "pool.json"), load_pool(small.run / "predictions.json")
    assert (predictions.names, predictions.codes) == (pool.names, pool.codes)
    assert len(set(predictions.accuracies)) > 3
    with safe_open(small.run / "weights" / "supernet.safetensors", "np") as file:
        assert len(file.metadata()) == 1
        members = [file.get_tensor(f"members.{member}.layer4.1.conv1.weight") for member in (0, 1)]
    assert (members[0] != members[1]).any(), "cell 0 was trained on, the rest was not"

    before = {path: path.read_bytes() for path in small.run.rglob("*") if path.is_file() and path.name != "events.jsonl"}
    assert kit(*small.arguments()).code == 0
    assert small.events == events, "the log of a finished run is closed"
    assert {path: path.read_bytes() for path in before} == before


def test_one_seed_gives_one_result_and_another_seed_another(small, kit, tmp_path):
    results = {}
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        runs = tmp_path / name
        assert kit(*small.arguments("--seed", str(seed), runs=runs)).code == 0
        results[name] = small.results(runs / f"small-tiny-s{seed}")
    assert results["first"] == results["second"]
    assert results["first"][0] != results["third"][0] and results["first"][1] != results["third"][1]


def test_the_shared_step_trains_the_same_paths_to_almost_the_same_losses(small, kit, tmp_path):
    losses = {}
    for step in ("separate", "shared"):
        assert kit(*small.arguments("--set", f"profile.training.step={step}", "--json", runs=tmp_path / step)).code == 0
        [run] = [path for path in (tmp_path / step).iterdir() if path.name != "phases"]
        events = [event for event in RunDirectory(run).events.read_text().splitlines() if '"StepDone"' in event]
        losses[step] = {(e["phase"], e["step"]): (e["codes"], e["losses"]) for e in map(json.loads, events)}
    assert losses["separate"].keys() == losses["shared"].keys()
    for key, (codes, values) in losses["separate"].items():
        assert losses["shared"][key][0] == codes
        assert losses["shared"][key][1] == pytest.approx(values, rel=1e-2)


def test_recipes_share_their_phases(trained, kit):
    ladder = trained.recipe.with_name("longer.toml")
    text = trained.recipe.read_text().replace('name = "small"', 'name = "longer"')
    ladder.write_text(text.replace("distillation = 0.4", "distillation = 0.3"))
    assert kit("run", "recipe", str(ladder), "--profile", str(trained.profile), "--runs", str(trained.runs)).code == 0
    events = list(map(json.loads, (trained.runs / "longer-tiny-s0" / "events.jsonl").read_text().splitlines()))
    assert [e["phase"] for e in events if e["kind"] == "PhaseReused"] == ["pretrain", "D", "W", "CPT"]
    assert {e["phase"] for e in events if e["kind"] == "StepDone"} == {"SSE-0"}


def test_fresh_trains_again_beside_the_old_run(trained, kit):
    old = trained.results()
    assert kit(*trained.arguments("--fresh")).code == 0
    assert trained.results() == old == trained.results(trained.runs / "small-tiny-s0-r2")
    events = list(map(json.loads, (trained.runs / "small-tiny-s0-r2" / "events.jsonl").read_text().splitlines()))
    assert sum(e["kind"] == "StepDone" for e in events) == 22


def test_given_weights_replace_pretraining_and_teach(trained, kit):
    key = next(e.key for e in trained.events if isinstance(e, PhaseStarted) and e.phase == "pretrain")
    pretrained = trained.runs / "phases" / key / "weights.safetensors"
    outcome = kit(*trained.arguments("--weights", str(pretrained), "--json"))
    assert outcome.code == 0
    events = list(map(json.loads, (RunDirectory(trained.runs / outcome.json["run"]).events).read_text().splitlines()))
    assert next(e for e in events if e["kind"] == "RunStarted")["phases"] == ["D", "W", "CPT", "SSE-0"]


def test_a_dry_run_writes_nothing_and_counts_what_the_run_does(small, kit):
    plan = kit(*small.arguments("--dry-run", "--json"))
    assert plan.code == 0 and not small.runs.exists()
    assert kit(*small.arguments()).code == 0
    counted = {}
    for event in small.events:
        if isinstance(event, StepDone):
            counted[event.phase] = counted.get(event.phase, 0) + len(event.codes)
    assert {phase["name"]: phase["passes"] for phase in plan.json["phases"]} == counted
    assert plan.json["totals"]["passes"] == sum(counted.values())
    assert plan.json["seconds"] > 0 and plan.json["subnets"] == 60
    again = kit(*small.arguments("--dry-run", "--json"))
    keys = {event.phase: event.key for event in small.events if isinstance(event, PhaseStarted)}
    assert {phase["name"]: phase["key"] for phase in again.json["phases"] if phase["reused"]} == keys
    assert [phase["key"] is not None for phase in plan.json["phases"]] == [True, False, False, False, False]


@pytest.mark.slow
def test_the_plan_of_the_paper_counts_as_the_paper_does(kit, tmp_path):
    from PIL import Image

    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (40 + index, 30), (index * 40, 90, 200)).save(folder / f"{index}.png")
    data = f"folder:{tmp_path / 'images'}"
    options = ("--set", "profile.pool.size=500", "--set", "profile.runtime.workers=0", "--dry-run", "--json")
    plan = kit("run", "recipe", "full", "--profile", "imagenet", "--data", data, *options)
    assert plan.code == 0
    epochs = {phase["name"]: phase["subnet_epochs"] for phase in plan.json["phases"]}
    assert sum(epochs[name] for name in ("D1", "D2", "D3", "W1", "W2", "W3")) == 280
    assert epochs["CPT"] == 330
    assert sum(count for name, count in epochs.items() if name.startswith("SSE")) == 240


def test_a_changed_recipe_does_not_touch_the_run_it_would_continue(trained, kit):
    before = {path: path.read_bytes() for path in trained.runs.rglob("*") if path.is_file()}
    trained.recipe.write_text(trained.recipe.read_text().replace("epochs = 3", "epochs = 4"))
    refused = kit(*trained.arguments())
    assert refused.code == 2 and "recipe.phases.CPT.epochs 3 -> 4" in refused.err and "--fresh" in refused.err
    assert {path: path.read_bytes() for path in trained.runs.rglob("*") if path.is_file()} == before


def test_a_run_in_use_is_left_alone(trained, kit):
    with (trained.run / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = kit(*trained.arguments())
        removal = kit("runs", "remove", "small-tiny-s0", "--runs", str(trained.runs))
    assert refused.code == 3 and "in use by another process" in refused.err
    assert removal.code == 3 and trained.run.exists()


def test_a_loss_that_is_not_finite_stops_before_the_step(small, kit):
    outcome = kit(*small.arguments("--set", "profile.training.learning_rate_factor=1e30"))
    assert outcome.code == 4
    assert "nothing was updated" in outcome.err or "was not saved" in outcome.err
    [run] = [path for path in small.runs.iterdir() if path.name != "phases"]
    events = RunDirectory(run).events.read_text().splitlines()
    assert json.loads(events[-1])["kind"] == RunStopped.__name__ and json.loads(events[-1])["exit_code"] == 4
    assert not any('"RunFinished"' in line for line in events)
    kept = [path for path in (small.runs / "phases").glob("*/weights.safetensors")]
    assert len(kept) == 1, "pretraining, which went well, is kept"


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def test_a_flipped_bit_in_a_phase_is_noticed(trained, kit):
    key = next(e.key for e in trained.events if isinstance(e, PhaseStarted) and e.phase == "CPT")
    flip_bit(trained.runs / "phases" / key / "weights.safetensors")
    outcome = kit(*trained.arguments())
    assert outcome.code == 3 and key in outcome.err and "SHA-256" in outcome.err
    assert kit(*trained.arguments("--fresh")).code == 0


def test_a_full_disk_loses_nothing(trained, tmp_path):
    """A limit on file size stands in for the disk: writes fail half-way in the same place."""
    limited = tmp_path / "limited"
    command = [sys.executable, "-c", CODE, *trained.arguments(runs=limited)]

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    failed = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert failed.returncode == 3, failed.stderr
    assert "cannot write" in failed.stderr and "Traceback" not in failed.stderr
    assert not list(limited.rglob("*.tmp")), "half a file was left behind"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert trained.results(limited / "small-tiny-s0") == trained.results()


def test_runs_are_listed_shown_and_removed(trained, kit):
    where = ("--runs", str(trained.runs))
    [listed] = kit("runs", "list", "--json", *where).json["runs"]
    assert (listed["run"], listed["state"], listed["recipe"], listed["profile"]) == (
        "small-tiny-s0",
        "finished",
        "small",
        "tiny",
    )
    assert kit("runs", "show", *where, "small-tiny-s0", "--json").json["path"] == str(trained.run)
    assert "small-tiny-s0" in kit("runs", "list", *where).out
    assert kit("runs", "remove", "small-tiny-s0", *where).code == 0
    assert not trained.run.exists() and (trained.runs / "phases").exists()
    missing = kit("runs", "show", "small-tiny-s0", *where)
    assert missing.code == 2 and "there is no run" in missing.err


def test_evaluate_scores_a_runs_pool_again_and_both_methods_agree(trained, kit):
    expected = trained.results()[1]
    where = ("--runs", str(trained.runs), "--json")
    done = kit("evaluate", "small-tiny-s0", *where).json
    assert (done["subnets"], done["scored_now"], done["images"], done["calibration_images"]) == (60, 0, 60, 32)
    for method in ("one-by-one", "tree"):
        outcome = kit("evaluate", "small-tiny-s0", "--method", method, "--fresh", *where).json
        assert outcome["scored_now"] == 60 and outcome["macs_done"] <= outcome["macs_one_by_one"]
        assert (trained.run / "predictions.json").read_bytes() == expected
    weights = str(trained.run / "weights" / "supernet.safetensors")
    alone = kit("evaluate", weights, "--profile", str(trained.profile), "--pool", str(trained.run / "pool.json"), *where)
    assert alone.code == 0 and json.loads(Path(alone.json["predictions"]).read_text()) == json.loads(expected)
    limited = kit("evaluate", "small-tiny-s0", "--limit", "5", *where).json
    assert limited["subnets"] == 5 and limited["predictions"] != str(trained.run / "predictions.json")


def test_a_pool_of_ones_own_is_scored(trained, kit, tmp_path):
    entries = json.loads((trained.run / "pool.json").read_text())
    own = tmp_path / "own.json"
    own.write_text(json.dumps({f"net-{i}": entry for i, entry in enumerate(list(entries.values())[::-1])}))
    outcome = kit(*trained.arguments("--pool", str(own), "--json"))
    assert outcome.code == 0
    assert list(json.loads(Path(outcome.json["predictions"]).read_text())) == [f"net-{i}" for i in range(60)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p | {"again": p["arch1"]}, "same architecture"),
        (lambda p: p | {"arch1": {"acc": "high", "arch": p["arch1"]["arch"]}}, "acc"),
        (lambda p: p | {"arch1": {"acc": 0.0, "arch": p["arch1"]["arch"][1:]}}, "52 digits"),
        (lambda p: p | {"arch1": {"acc": 0.0}}, "arch"),
        (lambda p: {}, "empty"),
        (lambda p: [1, 2], "object"),
    ],
)
def test_a_bad_pool_is_refused_before_anything_is_written(small, kit, tmp_path, damage, message):
    from kit.pool import draw_pool, write_predictions
    from kit.search_space import PUBLISHED

    path = tmp_path / "pool.json"
    write_predictions(path, draw_pool(PUBLISHED, 3, 0), [0.0] * 3)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    refused = kit(*small.arguments("--pool", str(path)))
    assert refused.code == 2 and message in refused.err
    assert not small.runs.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--data", "digit"), 2, "did you mean digits"),
        (("--data", "folder:/nowhere"), 2, "/nowhere"),
        (("--weights", "/nowhere.safetensors"), 3, "/nowhere.safetensors"),
        (("--set", "phases.CPT.epoch=3"), 2, "did you mean 'epochs'"),
        (("--set", "profile.training.batch=3"), 2, "training.batch"),
        (("--set", "nonsense"), 2, "key=value"),
        (("--runs", "/proc/nowhere"), 3, "/proc/nowhere"),
    ],
)
def test_bad_options_say_what_was_wrong(small, kit, options, code, message):
    outcome = kit(*small.arguments(*options))
    assert outcome.code == code and message in outcome.err and outcome.err.startswith("error: ")


def test_a_folder_where_nothing_can_be_written_is_an_error(small, kit, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    outcome = kit(*small.arguments())
    assert outcome.code == 3 and "Permission denied" in outcome.err


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sha256": 3, "step": "x"}'])
def test_damaged_bookkeeping_is_an_error_that_fresh_mends(trained, kit, content):
    expected = trained.results()
    key = next(e.key for e in trained.events if isinstance(e, PhaseStarted) and e.phase == "CPT")
    phase, resolved = trained.runs / "phases" / key / "phase.json", trained.run / "resolved.json"
    whole = phase.read_bytes(), resolved.read_bytes()
    phase.write_text(content)
    refused = kit(*trained.arguments())
    assert refused.code == 3 and str(phase) in refused.err and "--fresh" in refused.err
    phase.unlink()
    (phase.parent / "checkpoint.json").write_text(content)
    refused = kit(*trained.arguments())
    assert refused.code == 3 and "checkpoint.json" in refused.err and "--fresh" in refused.err
    (phase.parent / "checkpoint.json").unlink()
    phase.write_bytes(whole[0])
    resolved.write_text(content)
    assert kit("evaluate", "small-tiny-s0", "--runs", str(trained.runs)).code == 3
    [listed] = kit("runs", "list", "--runs", str(trained.runs), "--json").json["runs"]
    assert listed["state"] == "damaged"
    resolved.write_bytes(whole[1])
    assert kit(*trained.arguments()).code == 0 and trained.results() == expected


def test_a_folder_that_is_no_run_is_left_alone(small, kit):
    small.run.mkdir(parents=True)
    (small.run / "thesis.tex").write_text("years of work")
    answer = kit(*small.arguments())
    assert answer.code == 2 and "thesis.tex" in answer.err and "hint:" in answer.err
    assert (small.run / "thesis.tex").read_text() == "years of work" and len(list(small.run.iterdir())) == 1


def test_what_a_killed_start_left_is_no_obstacle(small, kit):
    small.run.mkdir(parents=True)
    for name in ("recipe.toml", "pool.json", ".profile.toml.x1.tmp"):
        (small.run / name).write_text("half")
    answer = kit(*small.arguments())
    assert answer.code == 0, answer.err
