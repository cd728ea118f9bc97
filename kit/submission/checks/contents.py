"""A submission as the rules see it: typed, read when first asked for, each member parsed once."""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel

from kit import __version__
from kit.errors import InputError, StorageError
from kit.events import Event, UnknownEvent, from_line, to_line
from kit.files import parse_json
from kit.pool import Entry, parse_entries
from kit.rank_report import RankReport
from kit.recipe import Profile, Recipe
from kit.search_space import Architecture, SearchSpace
from kit.submission import layout
from kit.submission.archive import Archive
from kit.submission.checks.schemas import Environment, Evaluation, Manifest, OnnxIndex, Resolved, parsed, typed
from kit.submission.derived import parse_profile
from kit.submission.history import History
from kit.submission.onnx_file import OnnxFile, read_onnx
from kit.submission.private_facts import clean_events, find_private
from kit.submission.tensors import TensorFile

MAX_LOG_PROBLEMS = 20
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
UNCLEAN = (b"/", b"\\", b"~", b'"pid"', b'"predictions"')


@dataclass
class Log:
    """`events.jsonl` in one pass: what it tells, and what is wrong with its lines, by rule."""

    history: History = field(default_factory=History)
    strict: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)


def _document(kind: type[M], name: str) -> cached_property[M]:
    """A property: a JSON member as its model."""
    return cached_property(lambda submission: typed(kind, submission.document(name), name))


class Submission:
    """Members of an archive as values. Every property raises `KitError` when its member is absent or not what it must be."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._failed: dict[str, StorageError] = {}

    manifest = _document(Manifest, layout.MANIFEST)
    resolved = _document(Resolved, layout.RESOLVED)
    index = _document(OnnxIndex, layout.ONNX_INDEX)
    environment = _document(Environment, layout.ENVIRONMENT)

    @property
    def is_of_this_version(self) -> bool:
        """Whether this very kit built it: only then must it be what this kit would write today."""
        return self.manifest.kit == __version__

    @cached_property
    def recipe(self) -> Recipe:
        return self._once(layout.RECIPE, lambda: typed(Recipe, self.resolved.recipe, layout.RESOLVED))

    @cached_property
    def profile(self) -> Profile:
        return self._once(layout.PROFILE, lambda: parse_profile(self.archive))

    @cached_property
    def space(self) -> SearchSpace:
        return self.profile.search_space

    @cached_property
    def pool(self) -> list[Entry]:
        return parse_entries(self.document(layout.POOL), source=layout.POOL)

    @cached_property
    def predictions(self) -> list[Entry]:
        return parse_entries(self.document(layout.SUBMISSION), source=layout.SUBMISSION)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The lines of `results/evaluations.jsonl`."""

        def read() -> list[Evaluation]:
            lines = enumerate(self.archive.lines(layout.EVALUATIONS), 1)
            return [parsed(Evaluation, line, f"{layout.EVALUATIONS}: line {number}") for number, line in lines]

        return self._once(layout.EVALUATIONS, read)

    @cached_property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Correct predictions and images by code."""
        return {row.code: (row.correct, row.images) for row in self.evaluations}

    @cached_property
    def rank(self) -> RankReport:
        try:
            return RankReport.from_json(self.document(layout.RANK))
        except InputError as error:
            raise StorageError(f"{layout.RANK}: {error}") from error

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """Every valid code of pool and submission; the rule `codes` reports the others."""
        found = {}
        for entry in (*self.pool, *self.predictions):
            if entry.code not in found:
                with suppress(InputError):
                    found[entry.code] = self.space.parse(entry.code)
        return found

    @cached_property
    def log(self) -> Log:
        def read() -> Log:
            log = Log()
            for number, line in enumerate(self.archive.lines(layout.EVENTS), 1):
                _read_event(line, f"line {number}", log)
            return log

        return self._once(layout.EVENTS, read)

    @cached_property
    def supernet_sha256(self) -> str:
        self._require(layout.SUPERNET)
        return self.archive.sha256(layout.SUPERNET)

    @contextmanager
    def tensors(self, name: str) -> Iterator[TensorFile]:
        """A weights file, open."""
        self._require(name)
        with self.archive.open(name) as file:
            yield TensorFile(file, self.archive.size(name), name)

    def onnx(self, name: str) -> OnnxFile:
        """An ONNX file without its weights."""
        self._require(name)
        with self.archive.open(name) as file:
            return read_onnx(file, self.archive.size(name), name)

    def document(self, name: str) -> Any:
        """A JSON member, parsed strictly. Raises `StorageError`."""
        return self._once(name, lambda: self.archive.json(name))

    def toml(self, name: str) -> dict[str, Any]:
        """A TOML member. Raises `StorageError`."""
        try:
            return tomllib.loads(self.archive.read(name).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StorageError(f"{name} is not valid TOML: {error}") from error

    def require_data(self) -> None:
        """Raise `KitError` unless everything that documents and figures are made from has the types it must have."""
        for name in ("recipe", "profile", "index", "environment", "evaluations", "predictions", "pool"):
            getattr(self, name)
        if layout.RANK in self.archive:
            self.rank  # noqa: B018

    def _require(self, name: str) -> None:
        if name not in self.archive:
            raise StorageError(f"{name} is missing")

    def _once(self, name: str, read: Callable[[], T]) -> T:
        """A value that many rules ask for: a failure is remembered, not computed again."""
        if name in self._failed:
            raise self._failed[name]
        try:
            return read()
        except StorageError as error:
            self._failed[name] = error
            raise


def _read_event(line: bytes, where: str, log: Log) -> None:
    event = from_line(line)
    is_canonical = event is not None and _is_canonical(event, line)
    if not is_canonical:
        _note_strictness(line, where, log)
    if event is None or isinstance(event, UnknownEvent) or not (is_canonical or _has_only_its_fields(event, line)):
        return _note(log.foreign, f"{where} is no event that this kit knows, or holds values that its kind does not have")
    log.history.add(event)
    # Steps and scores, nearly all of a log, have no texts besides names and codes.
    if any(sign in line for sign in UNCLEAN) and next(clean_events([line]), b"") != line:
        _note(log.private, f"{where} holds a process id or a place on a disk, or is not written as the kit writes it")
    for what, words in find_private(line.decode("utf-8", "replace")):
        _note(log.private, f"{where} holds {what}: {words[:60]!r}")
    return None


def _is_canonical(event: Event, line: bytes) -> bool:
    """Written again from its types, an event can only be the same line if that was standard JSON with each key once."""
    try:
        return to_line(event).encode() + b"\n" == line
    except ValueError:
        return False


def _has_only_its_fields(event: Event, line: bytes) -> bool:
    """An older kit may have written fewer."""
    names: set[str] = json.loads(line.decode("utf-8", "replace")).keys() - {"kind"}
    return names <= event.__dataclass_fields__.keys()


def _note_strictness(line: bytes, where: str, log: Log) -> None:
    """What is wrong with a line as JSON, if anything is."""
    try:
        if layout.dump_line(parse_json(line, source=where)) != line:
            _note(log.strict, f"{where} is not written as the kit writes it")
    except (StorageError, ValueError) as error:
        _note(log.strict, f"{where} is not valid JSON: {error}"[:200])


def _note(notes: list[str], message: str) -> None:
    if len(notes) < MAX_LOG_PROBLEMS:
        notes.append(message)
