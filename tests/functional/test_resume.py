"""Killed at any moment, a run ends as if nothing had happened: bit for bit."""

import random
import signal

import pytest

from kit.events import CheckpointSaved, PhaseFinished, RunFinished, RunStopped, StepDone, SubnetEvaluated


def lines(small):
    path = small.run / "events.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_sigkill_at_ten_moments_changes_nothing(small, kit, start, trained_once):
    expected, total = trained_once.results(), lines(trained_once)
    # Moments by progress, spread over the whole run: a share of the events that an undisturbed run writes.
    rng = random.Random(7)
    shares = [(index + rng.random()) / 11 for index in range(10)]
    killed, seen = 0, set()
    for share in shares:
        process = start(small.arguments())
        before = lines(small)
        goal = max(before + 2, int(share * total))
        if process.wait_for(lambda goal=goal: lines(small) >= goal):
            process.send(signal.SIGKILL)
            killed += process.end() == -signal.SIGKILL
            seen.add(type(small.events[-1]).__name__ + getattr(small.events[-1], "phase", ""))
    assert killed == 10, "the run ended before it could be killed ten times"
    assert len(seen) >= 4, f"the kills hit too few different moments: {seen}"
    assert kit(*small.arguments()).code == 0
    assert small.results() == expected
    done = [(event.phase, event.step) for event in small.events if isinstance(event, StepDone)]
    assert len(set(done)) == 22, "every step of every phase was trained"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", [StepDone, SubnetEvaluated])
def test_a_signal_saves_and_the_same_command_continues(small, kit, start, number, code, moment):
    process = start(small.arguments())
    assert process.wait_for(lambda: sum(isinstance(event, moment) for event in small.events) >= 3)
    process.send(number)
    assert process.end() == code
    assert "run the same command again" in process.log.read_text()
    stopped = small.events
    assert isinstance(stopped[-1], RunStopped) and stopped[-1].exit_code == code
    if moment is StepDone:
        steps = [event for event in stopped if isinstance(event, StepDone)]
        saved = [(event.phase, event.step) for event in stopped if isinstance(event, CheckpointSaved)]
        saved += [(event.phase, event.steps) for event in stopped if isinstance(event, PhaseFinished)]
        assert (steps[-1].phase, steps[-1].step + 1) in saved, "the last step was lost"
    assert kit(*small.arguments()).code == 0
    final = small.events
    assert isinstance(final[-1], RunFinished)
    steps = [(event.phase, event.step) for event in final if isinstance(event, StepDone)]
    assert len(steps) == len(set(steps)) == 22, "no step was done twice"
