"""`kit submission build`: a finished run as one archive, the same bytes wherever and however often it is built."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.errors import InputError, StorageError
from kit.figures.kept import draw_once
from kit.files import read_json, sha256_of_file, storage_errors, write_bytes
from kit.pipeline.export import IN_ARCHIVE, Exported, export_subnets
from kit.pipeline.scored_run import open_scored_run, require_finished, require_predictions
from kit.pool import Pool, load_pool
from kit.recipe import load_profile, load_recipe, to_toml
from kit.results import dump_pool_scores, parse_pool_scores
from kit.run_dir import RunDirectory, require_directory
from kit.submission import layout
from kit.submission.archive import write_archive
from kit.submission.derived import derived_members, plots_of_run
from kit.submission.members import LocalMembers
from kit.submission.private_facts import clean_environment, clean_events, clean_profile, clean_resolved
from kit.submission.selection import Scored, by_code, default_selections, scored_entries


class SubmissionBuild:
    """A build from one run: `export` what the run directory does not hold yet, then `write` the archive.

    Made only from a finished run. Raises `InputError` naming the step that is missing.
    """

    def __init__(self, run: RunDirectory, data: str | None = None) -> None:
        require_finished(run)
        self.run = run
        self.profile = load_profile(str(run.profile))
        self.exports = run.path / "exports"
        self.scored = None if self._kept() else open_scored_run(run, data)

    @property
    def chosen(self) -> dict[str, list[str]]:
        """Codes to export, with the selections they are in; empty when the run directory holds all of them."""
        return {} if self.scored is None else by_code(default_selections(self.scored.entries))

    def export(self) -> Iterator[Exported]:
        """Calibrate and export the default selection into the run directory, unless it is there already."""
        if self.scored is None:
            return
        require_directory(self.exports)
        with self.run.locked():
            with storage_errors("remove", self.exports):
                for part in ("onnx", "weights"):
                    shutil.rmtree(self.exports / part, ignore_errors=True)
            rows = ((entry.name, entry.code, entry.correct, entry.images) for entry in self.scored.entries)
            scores = dump_pool_scores(rows, self.scored.evaluator.weights_sha256)
            write_bytes(self.exports / layout.EVALUATIONS, scores)
            yield from export_subnets(self.scored, self.chosen, self.exports, IN_ARCHIVE)

    @cached_property
    def index(self) -> dict[str, Any]:
        """What is exported."""
        return read_json(self.exports / layout.ONNX_INDEX, models=list)

    def write(self, out: Path) -> dict[str, Any]:
        """Write the archive from what the run directory holds; returns the document of `kit submission build --json`."""
        require_directory(out.absolute().parent)
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".kit-build-") as name:
            events = Path(name) / "events.jsonl"
            self._write_events(events)
            data = self._members(events)
            data |= draw_once(plots_of_run(LocalMembers(data)), self.exports)
            members = {**data, **derived_members(data)}
            sha256 = write_archive(out, members)
        told = ("code", "selections", "accuracy", "macs")
        return {
            "archive": str(out.resolve()),
            "sha256": sha256,
            "size": out.stat().st_size,
            "members": len(members) + len(layout.SEALS),
            "exported": [{key: model[key] for key in told} for model in self.index["models"]],
        }

    def _members(self, events: Path) -> dict[str, bytes | Path]:
        run, index = self.run, self.index
        resolved = clean_resolved(read_json(run.resolved, profile=dict, inputs=dict))
        # The data may be others than the profile's own, and a folder may have other classes: the archive says what was used.
        used = {"data": str(resolved["inputs"]["data"]), "num_classes": index["output"]["shape"][1]}
        resolved["profile"]["num_classes"] = used["num_classes"]
        members: dict[str, bytes | Path] = {
            layout.SUBMISSION: run.predictions,
            layout.SUPERNET: run.weights,
            layout.POOL: run.pool,
            layout.EVALUATIONS: self.exports / layout.EVALUATIONS,
            # As this version writes it, which may know more settings than the run's did.
            layout.RECIPE: to_toml(load_recipe(str(run.recipe))).encode(),
            layout.PROFILE: clean_profile(self.profile.model_copy(update=used)),
            layout.RESOLVED: layout.dump_json(layout.RESOLVED, resolved),
            layout.ENVIRONMENT: layout.dump_json(layout.ENVIRONMENT, clean_environment(read_json(run.environment))),
            layout.EVENTS: events,
            layout.ONNX_INDEX: self.exports / layout.ONNX_INDEX,
        }
        if run.rank.is_file():
            members[layout.RANK] = run.rank
        for model in index["models"]:
            members[model["file"]] = self.exports / model["file"]
            members[model["weights"]] = self.exports / model["weights"]
        return members

    def _write_events(self, path: Path) -> None:
        with storage_errors("read", self.run.events), self.run.events.open("rb") as lines, path.open("wb") as file:
            file.writelines(clean_events(lines))

    def _kept(self) -> bool:
        """Whether the run directory holds the exports of these very weights and scores, undamaged."""
        try:
            index = read_json(self.exports / layout.ONNX_INDEX, models=list, supernet_sha256=str)
            pool = load_pool(self.run.pool, self.profile.search_space)
            scores = self._kept_scores(pool, classes=index["output"]["shape"][1])
            require_predictions(self.run, pool, (entry.accuracy for entry in scores))
            found = {model["code"]: model["selections"] for model in index["models"]}
            files = {model["file"]: model["sha256"] for model in index["models"]}
            files |= {model["weights"]: model["weights_sha256"] for model in index["models"]}
            whole = all(sha256_of_file(self.exports / file) == sha256 for file, sha256 in files.items())
        except (StorageError, InputError, LookupError, TypeError):
            return False  # absent, damaged, or of other weights or scores: made anew
        return whole and index["supernet_sha256"] == self.run.weights_sha256 and found == by_code(default_selections(scores))

    def _kept_scores(self, pool: Pool, *, classes: int) -> list[Scored]:
        """The scores of an earlier export. Raises `StorageError` unless they are of these weights and pool."""
        path = self.exports / layout.EVALUATIONS
        with storage_errors("read", path):
            data = path.read_bytes()
        rows = parse_pool_scores(data, self.run.weights_sha256, source=str(path))
        if [row[:2] for row in rows] != list(zip(pool.names, pool.codes, strict=True)):
            raise StorageError(f"{path} holds the scores of another pool")
        return scored_entries(pool, (row[2:] for row in rows), replace(self.profile.scale, num_classes=classes))
