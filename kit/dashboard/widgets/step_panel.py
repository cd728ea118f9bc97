"""What the last step trained: the subspace it drew from, its architectures, and CPT's group of candidates as it changes."""

import re

from textual.content import Content

from kit.dashboard.widgets.parts import Part, cut, muted
from kit.search_space import SLOTS
from kit.watch.event_text import clock
from kit.watch.log_reader import Reading
from kit.watch.run_state import PhaseState, RunState
from kit.watch.text import clean, number

_SUBSPACE = re.compile(r"depths ((?:\d+-\d+ ?)+)\((\d+) combinations\), width digits up to ([\d ]+)$")
REPLACEMENTS = 12


def step_panel(reading: Reading, width: int) -> Content:
    """The panel's text, for `width` columns."""
    state = reading.state
    phase = state.current
    if phase is None:
        return muted("no phase has begun yet")
    parts: list[Part] = [("Subspace ", "bold $text-primary"), (f"of {clean(phase.name)}\n", "$text-muted")]
    parts += subspace_lines(phase.subspace, width)
    parts += shrinking_lines(state, width)
    parts += ["\n", ("Architectures ", "bold $text-primary"), (_step_title(state, phase), "$text-muted")]
    parts += _code_lines(state, width)
    if state.candidates:
        parts += ["\n", ("Candidates ", "bold $text-primary")]
        parts += [(f"{len(state.candidates)} in the group, {state.replaced:,} replaced so far\n", "$text-muted")]
        parts += _replacement_lines(state, width)
    return Content.assemble(*parts)


def parse_subspace(text: str) -> tuple[list[tuple[int, int]], int, list[int]] | None:
    """Depth ranges, number of depth combinations and largest width digits of `SearchSpace.describe()`."""
    match = _SUBSPACE.match(text)
    if match is None:
        return None
    ranges = [(int(low), int(high)) for low, high in (part.split("-") for part in match[1].split())]
    digits = [int(digit) for digit in match[3].split()]
    if len(ranges) != len(SLOTS) or len(digits) != len(SLOTS):
        return None
    return ranges, int(match[2]), digits


def subspace_lines(text: str, width: int) -> list[Part]:
    """Per stage the allowed depths as filled slots, and the allowed width digits."""
    parsed = parse_subspace(text)
    if parsed is None:
        return [clean(text) + "\n"] if text else [("unknown\n", "$text-muted")]
    ranges, combinations, digits = parsed
    parts: list[Part] = []
    for stage, ((low, high), slots, digit) in enumerate(zip(ranges, SLOTS, digits, strict=True), 1):
        always, maybe = "■" * min(low, slots), "□" * max(0, min(high, slots) - low)
        never = "·" * max(0, slots - high)
        depths = f"{low}" if low == high else f"{low}-{high}"
        parts += [(f" stage {stage} ", "$text-muted"), (always, "$text-success"), (maybe, "$text-accent")]
        parts += [(never, "$text-muted"), " " * (9 - slots), f"depth {depths:<4}"]
        parts.append(f" digits 1-{digit}\n" if digit > 1 else " full width\n")
    parts.append((f" {combinations:,} combinations of depths\n", "$text-muted"))
    return parts


def shrinking_lines(state: RunState, width: int) -> list[Part]:
    """How the subspace grows from phase to phase: combinations of depths, and the sum of width digits."""
    known = [(phase, parse_subspace(phase.subspace)) for phase in state.phases]
    sizes = [(phase, parsed[1], max(parsed[2])) for phase, parsed in known if parsed is not None]
    if len(sizes) < 2:
        return []
    parts: list[Part] = []
    line = " "
    for phase, combinations, digit in sizes:
        chip = f"{clean(phase.name)} {combinations}x{digit}"
        if len(line) + len(chip) + 3 > width:
            parts.append((line + "\n", "$text-muted"))
            line = " "
        if phase.name == state.phase:
            parts += [(line, "$text-muted"), (chip, "bold $text-accent")]
            line = "  "
        else:
            line += chip + "  "
    return [*parts, (line.rstrip() + "\n", "$text-muted")]


def _step_title(state: RunState, phase: PhaseState) -> str:
    return f"of step {phase.step:,}, with their losses\n" if state.codes else "none yet\n"


def _code_lines(state: RunState, width: int) -> list[Part]:
    grouped = bool(state.candidates)
    recent = {event.added for event in state.replacements}
    parts: list[Part] = []
    for index, (code, loss) in enumerate(zip(state.codes, state.code_losses, strict=False)):
        mark = ("S" if index == 0 else "C") if grouped else str(index + 1)[-1]
        style = "$text-accent" if grouped and index == 0 else "$text-success" if code in recent else ""
        parts += [(f" {mark} ", "$text-muted"), (cut(clean(code), width - 11), style), (f" {number(loss)}\n", "$text-muted")]
    return parts


def _replacement_lines(state: RunState, width: int) -> list[Part]:
    parts: list[Part] = []
    for event in reversed(state.replacements[-REPLACEMENTS:]):
        when = f" {clock(event.time)} {clean(event.phase)} step {event.step + 1:,}\n"
        room = width - 4
        parts += [(when, "$text-muted"), (f"  - {cut(clean(event.removed), room)}\n", "$text-error")]
        parts.append((f"  + {cut(clean(event.added), room)}\n", "$text-success"))
    return parts
