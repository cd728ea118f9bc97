"""What a run still lacks before an archive can be built from it; needs neither torch nor the data."""

from collections.abc import Collection, Sequence

from kit.run_dir import RunDirectory


def missing_step(run: RunDirectory, *, phases: Sequence[str], done: Collection[str], finished: bool) -> str | None:
    """The first step that is missing, in words; what its log says is given: all phases, those done, whether it ended."""
    trained = [phase for phase in phases if phase in done]
    if len(trained) < len(phases) or not phases:
        missing = next((phase for phase in phases if phase not in done), "training")
        return f"phase {missing} is missing ({len(trained)} of {len(phases)} phases are done)"
    if not run.weights.is_file() or not run.weights_manifest.is_file():
        return "the final weights are missing"
    if not run.predictions.is_file():
        return "scoring is missing, there are no predictions yet"
    return None if finished else "its last step, the comparison with the truth, is missing"
