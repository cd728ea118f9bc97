"""The state dict inside what people save: wrapped in a checkpoint, its names prefixed by whatever held the network."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kit.errors import InputError, StorageError

Note = Callable[[str], None]
IsTensor = Callable[[object], bool]

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "student.")
"""What DataParallel, torch.compile, Lightning and habit put before every name."""
SHOWN = 6


def silent(message: str) -> None:
    """Take no note."""


def find_state(
    content: object, is_tensor: IsTensor, *, source: str, key: str | None, note: Note, ignored: str | None = None
) -> dict[str, Any]:
    """The tensors by name that `content` holds, without what stands beside them and before their names.

    `key` is the dotted way to them; without it there must be one candidate. An entry `ignored` may stand
    anywhere. `note` hears what was unwrapped. Raises
    `InputError` when the key is wrong or one has to be named, `StorageError` when there are no tensors by name.
    """
    candidates = dict(_candidates(content, is_tensor, source, ignored))
    if key is not None:
        if key not in candidates:
            raise InputError(f"{source} has no tensors under {key!r}", hint=f"there are: {_listed(candidates)}")
        chosen = key
    elif "" in candidates:
        chosen = ""
    elif len(candidates) == 1:
        [chosen] = candidates
    elif candidates:
        raise InputError(
            f"{source} holds several state dicts: {_listed(candidates)}",
            hint=f"name the one to read: kit weights import FILE --key {next(iter(candidates))} --out FILE.safetensors",
        )
    else:
        raise StorageError(f"{source} holds no tensors by name (a state dict)")
    state = candidates[chosen]
    if chosen:
        note(f"{source}: read the state dict under {chosen!r}, and nothing beside it")
    prefix = _common_prefix(state)
    if prefix:
        note(f"{source}: left out {prefix!r}, with which every name begins")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _candidates(
    content: object, is_tensor: IsTensor, source: str, ignored: str | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of text names to tensors, by its dotted way. A mapping is looked at once: it may hold itself."""
    pending: list[tuple[str, object]] = [("", content)]
    seen = set[int]()
    while pending:
        way, part = pending.pop(0)
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        entries = {name: value for name, value in part.items() if name != ignored}
        foreign = [name for name, value in entries.items() if not (isinstance(name, str) and is_tensor(value))]
        if entries and not foreign:
            yield way, entries
        elif len(foreign) == len(entries):
            pending += [
                (f"{way}.{name}" if way else name, value) for name, value in entries.items() if isinstance(name, str)
            ]
        elif not way:
            kind = type(entries[foreign[0]]).__name__
            raise StorageError(f"{source}: the entry {str(foreign[0])[:80]!r} is of type {kind}, expected an array")


def _common_prefix(names: Mapping[str, Any]) -> str:
    """The known prefixes, one after another, that every name begins with."""
    found = ""
    while names and (prefix := next((each for each in PREFIXES if all(n.startswith(found + each) for n in names)), "")):
        found += prefix
    return found


def _listed(candidates: Mapping[str, Any]) -> str:
    shown = [name or "(the file itself)" for name in candidates]
    return ", ".join(shown[:SHOWN]) + (", ..." if shown[SHOWN:] else "") if shown else "none"
