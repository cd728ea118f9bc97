"""Memory that runs out: words and exit code 3, and the same command goes on from what was finished."""

from kit.evaluation import CalibratedTree
from kit.events import RunStopped

ONEDNN = "could not create a primitive"


def test_training_ends_in_words_and_is_recorded(small, kit, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError(ONEDNN)

    monkeypatch.setattr("kit.training.trainer.shared_backward", fail)
    done = kit(*small.arguments())
    assert done.code == 3 and f"error: out of memory ({ONEDNN})" in done.err and "hint: " in done.err
    last = small.events[-1]
    assert isinstance(last, RunStopped) and last.exit_code == 3


def test_a_sweep_keeps_its_finished_units(trained, kit, monkeypatch):
    results = trained.run / "evaluations.jsonl"
    arguments = ["evaluate", str(trained.run), "--runs", str(trained.runs)]
    before = kit(*arguments, "--json").json
    results.unlink()
    classify = CalibratedTree.classify
    calls = 0

    def until_full(tree, images, take, momentum=None):
        nonlocal calls
        calls += 1
        if calls > 6:
            raise RuntimeError(ONEDNN)
        classify(tree, images, take, momentum)

    monkeypatch.setattr(CalibratedTree, "classify", until_full)
    stopped = kit(*arguments, "--json")
    assert stopped.code == 3 and f"out of memory ({ONEDNN}) with 1 " in stopped.err
    assert calls < 30, "halving ends"
    kept = results.read_bytes()
    assert kept
    monkeypatch.undo()
    resumed = kit(*arguments, "--json")
    assert resumed.code == 0 and results.read_bytes().startswith(kept)
    assert resumed.json["subnets"] == before["subnets"] and 0 < resumed.json["scored_now"] < before["subnets"]
