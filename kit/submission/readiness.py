"""What a run still lacks before an archive can be built from it; needs neither torch nor the data."""

from kit.run_dir import RunDirectory
from kit.watch.run_state import RunState


def missing_step(run: RunDirectory, state: RunState) -> str:
    """The first step that is missing, in words; `state` is what its log adds up to. Empty when none is."""
    done = [phase.status in ("done", "reused") for phase in state.phases]
    if not done or not all(done):
        missing = state.phases[done.index(False)].name if done else "training"
        return f"phase {missing} is missing ({sum(done)} of {len(done)} phases are done)"
    if not run.weights.is_file() or not run.weights_manifest.is_file():
        return "the final weights are missing"
    if not run.predictions.is_file():
        return "scoring is missing, there are no predictions yet"
    return "" if state.outcome == "finished" else "its last step, the comparison with the truth, is missing"
