"""How a run stands, as every report says it."""

from datetime import UTC, datetime

from kit.run_dir import RunDirectory
from kit.watch.log_reader import LogReader
from kit.watch.run_state import RunState
from kit.watch.text import percent


def read_whole(run: RunDirectory) -> RunState:
    """What a run's whole log adds up to, with its curves."""
    reader = LogReader(run.events)
    reader.catch_up()
    return reader.fold.state()


def standing(run: RunDirectory, state: RunState) -> dict[str, str]:
    """Facts by name: which run, how it stands, and since when."""
    moment = "-" if state.updated is None else datetime.fromtimestamp(state.updated, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"run": run.id, "state": state.outcome, "last news": moment}


def how_far(state: RunState) -> list[str]:
    """What is to be said of a run that is not finished."""
    if state.outcome == "finished":
        return []
    if not state.passes:
        return ["It has not begun."]
    done = f"{state.passes_done:,} of {state.passes:,} {state.unit} are done ({percent(state.fraction)})"
    return [f"It is not finished: {done}. What follows is as of now."]
