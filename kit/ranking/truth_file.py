"""Truth files: accuracies of architectures trained alone, read, written and shipped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from kit.errors import InputError, StorageError
from kit.files import sha256_of_file, storage_errors, write_json
from kit.pool import finite_number, parse_entries, read_document
from kit.ranking.made_with import MadeWith
from kit.search_space import InvalidArchitectureError, SearchSpace

Table = tuple[tuple[float, ...], ...]
CHOSEN = "chosen"
"""In the provenance: how the architectures were chosen, in words."""
SUMS = "SHA256SUMS"
NAME_A_TRUTH = "name one: kit rank PREDICTIONS --truth FILE"


@dataclass(frozen=True)
class Truth:
    """Accuracies (and losses) by architecture and seed; codes are parsed where the search space is known.

    `profile` is None for a challenge file, which does not say what it was measured on.
    """

    codes: tuple[str, ...]
    accuracies: Table
    losses: Table | None = None
    profile: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    made_with: MadeWith | None = None
    """None for a challenge file and for truths of older kits: neither says it."""

    @property
    def seeds(self) -> int:
        return len(self.accuracies[0])

    @property
    def chosen(self) -> str:
        """How the architectures were chosen; empty where the file does not say it."""
        return str(self.provenance.get(CHOSEN, ""))

    @cached_property
    def index(self) -> dict[str, int]:
        """Places by code."""
        return {code: place for place, code in enumerate(self.codes)}

    @cached_property
    def means(self) -> dict[str, float]:
        """Accuracies by code, each the mean over seeds."""
        return {code: sum(row) / len(row) for code, row in zip(self.codes, self.accuracies, strict=True)}

    def take(self, codes: Iterable[str]) -> "Truth":
        """The truth of these architectures alone, in this order."""
        places = [self.index[code] for code in codes]
        losses = None if self.losses is None else tuple(self.losses[place] for place in places)
        accuracies = tuple(self.accuracies[place] for place in places)
        return replace(self, codes=tuple(self.codes[place] for place in places), accuracies=accuracies, losses=losses)

    def require_codes_of(self, space: SearchSpace) -> None:
        """Raise `InvalidArchitectureError` for the first code that is no architecture of `space`."""
        for code in self.codes:
            try:
                space.parse(code)
            except InvalidArchitectureError as error:
                raise InvalidArchitectureError(f"truth: {error}", position=error.position, hint=error.hint) from error


def load_truth(path: str | Path) -> Truth:
    """Read a truth file or a challenge file with accuracies, plain or gzip-compressed.

    Raises `InputError` naming what is wrong and where, `StorageError` when the file cannot be read, or is one of the kit's
    own and was changed.
    """
    path = Path(path)
    return _shipped(path, _check_shipped(path)) if path.parent.resolve() == shipped_folder() else _read(path)


@cache
def _shipped(path: Path, digest: str) -> Truth:
    """One of the kit's own, whose hash has been checked: every check of an archive asks for them several times."""
    return _read(path)


def _read(path: Path) -> Truth:
    document = read_document(path)
    if isinstance(document, dict) and not isinstance(document.get("architectures", {}), dict):
        return _parse_truth(document, str(path))
    entries = parse_entries(document, source=str(path))
    without = next((entry.name for entry in entries if entry.accuracy is None), None)
    if without is not None:
        raise InputError(f"{path}: entry {without!r} has no 'acc', which a truth needs")
    codes = tuple(entry.code for entry in entries)
    _check_distinct(codes, str(path))
    return Truth(codes, tuple((entry.accuracy,) for entry in entries if entry.accuracy is not None))


def write_truth(path: str | Path, truth: Truth) -> None:
    """Write the truth file that `load_truth` reads back as an equal value."""
    rows = [{"arch": code, "accuracies": list(row)} for code, row in zip(truth.codes, truth.accuracies, strict=True)]
    for row, losses in zip(rows, truth.losses or (), strict=False):
        row["losses"] = list(losses)
    made_with = {} if truth.made_with is None else {"made_with": truth.made_with.to_json()}
    head = {"profile": truth.profile, **made_with, "provenance": dict(truth.provenance)}
    write_json(Path(path), {**head, "architectures": rows})


def shipped_folder() -> Path:
    """Where the kit's own truths lie, with the hashes they were shipped with."""
    # Not `kit.truth` as a package: importing it would import torch.
    with resources.as_file(resources.files("kit") / "truth") as folder:
        return folder.resolve()


def shipped_truths() -> dict[str, Path]:
    """The truth files in the package, by profile name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.json"))}


def _check_shipped(path: Path) -> str:
    """The hash of one of the kit's own files. Raises `StorageError` where it is not the one it was shipped with."""
    sums = path.with_name(SUMS)
    with storage_errors("read", sums):
        lines = sums.read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    digest = sha256_of_file(path)
    if known.get(path.name) != digest:
        raise StorageError(
            f"{path} is not the file that kit was shipped with",
            hint="install kit anew; a truth of your own belongs elsewhere, and is named with --truth FILE",
        )
    return digest


def find_truth(path_or_profile: str) -> Path:
    """A path as it is; otherwise, where no such file exists, the shipped truth of the profile with that name."""
    if Path(path_or_profile).exists():
        return Path(path_or_profile)
    shipped = shipped_truths()
    if path_or_profile not in shipped and Path(path_or_profile).name == path_or_profile and not Path(path_or_profile).suffix:
        names = ", ".join(shipped) or "none"
        raise InputError(f"no truth file {path_or_profile!r}", hint=f"give a path, or the name of a shipped truth: {names}")
    return shipped.get(path_or_profile, Path(path_or_profile))


@dataclass(frozen=True)
class KnownTruth:
    """A truth and its file."""

    path: Path
    truth: Truth

    @property
    def name(self) -> str:
        return self.path.name


def misfit(truth: Truth, here: MadeWith) -> str:
    """Why a truth says nothing about a run, in words that follow its name; empty where it fits."""
    made = truth.made_with
    if made is None:
        return "does not say with which search space and data it was made"
    known = here.named_by(truth.provenance.get("data_fingerprint"), made.source, made.classes)
    differences = " and ".join(made.differences(known))
    return differences and f"was made with {differences}"


def truth_for(profile: str, here: MadeWith) -> KnownTruth:
    """The shipped truth that may judge a run without anybody naming it: the one that was made with what the run has.

    Raises `InputError` saying why there is none: what is other about the truth of `profile`, if one of that name is shipped.
    """
    shipped = {name: KnownTruth(path, load_truth(path)) for name, path in shipped_truths().items()}
    reasons = {}
    for name, each in shipped.items():
        reason = misfit(each.truth, here)
        if not reason:
            return each
        reasons[name] = f"the truth {each.name} {reason}"
    raise InputError(reasons.get(profile, f"no truth is shipped for profile {profile}"), hint=NAME_A_TRUTH)


def _parse_truth(document: dict[str, Any], source: str) -> Truth:
    rows = document["architectures"]
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{source}: 'architectures' must be a list with at least one architecture")
    profile, provenance = document.get("profile"), document.get("provenance", {})
    if not isinstance(profile, str | None) or not isinstance(provenance, dict):
        raise InputError(f"{source}: 'profile' must be a name and 'provenance' an object")
    codes, accuracies, losses = [], [], []
    for position, row in enumerate(rows, 1):
        where = f"{source}: architectures[{position}]"
        if not isinstance(row, dict) or not isinstance(row.get("arch"), str):
            raise InputError(f"{where} must be an object with the code as text under 'arch'")
        codes.append(row["arch"])
        accuracies.append(_parse_numbers(row, "accuracies", where))
        if "losses" in row:
            losses.append(_parse_numbers(row, "losses", where))
    _check_distinct(codes, source)
    if len({len(row) for row in accuracies}) > 1:
        raise InputError(f"{source}: every architecture needs the same number of seeds under 'accuracies'")
    if losses and [len(row) for row in losses] != [len(row) for row in accuracies]:
        raise InputError(f"{source}: 'losses' need one value per seed for every architecture, or must be absent from all")
    made_with = MadeWith.from_json(document["made_with"], source) if "made_with" in document else None
    return Truth(tuple(codes), tuple(accuracies), tuple(losses) or None, profile, provenance, made_with)


def _parse_numbers(row: dict[str, Any], key: str, where: str) -> tuple[float, ...]:
    values = row.get(key)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} needs a list with one number per seed under {key!r}")
    return tuple(finite_number(value, f"{where}: {key!r}") for value in values)


def _check_distinct(codes: list[str] | tuple[str, ...], source: str) -> None:
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            raise InputError(f"{source}: the architecture {code} occurs twice")
        seen.add(code)
