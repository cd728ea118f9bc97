"""Archives as screen 5 reads them: all that is in them, whatever is in them, and whose they are."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_archive import data_members, synthetic, whole

from kit.dashboard.screens.submission import check_sample
from kit.dashboard.widgets.job_panel import reproduced_rows
from kit.errors import InputError, KitError, StorageError
from kit.pipeline.scored_run import require_finished
from kit.run_dir import RunDirectory
from kit.submission import layout
from kit.submission.archive import write_archive, write_tar
from kit.submission.archives import (
    MISSING,
    SEAL,
    UNLISTED,
    ArchiveShelf,
    new_archive_path,
    parse_checks,
    read_archive,
    require_archive,
    verdict,
    what_is_missing,
)
from kit.submission.checks import CheckReport, Finding, check_archive
from kit.watch.log_reader import LogReader
from kit.watch.processes import last_lines
from kit.watch.run_state import RunState

RUN = Path(__file__).resolve().parent.parent / "data" / "runs" / "full-fashion-s0"
VERSION = (1, 1)
KEYS = st.sampled_from(["models", "files", "path", "role", "code", "selections", "accuracy", "macs", "run"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)
NOTHING = RunState()


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return whole(data_members(synthetic(size=60)))


@pytest.fixture(scope="module")
def packed(members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "small.tar"
    write_archive(path, members)
    return path


class TestReading:
    def test_all_members_have_the_sizes_and_roles_of_the_manifest(self, members: dict[str, bytes], packed: Path) -> None:
        archive = read_archive(packed, VERSION)
        assert archive.problem == ""
        found = {member.path: (member.size, member.role) for member in archive.members}
        assert found.keys() == members.keys() | set(layout.SEALS)
        assert {path for path, (_, role) in found.items() if role == SEAL} == set(layout.SEALS)
        for path, data in members.items():
            assert found[path] == (len(data), layout.role_of(path))
        assert (archive.run, archive.kit) == _facts(packed)

    def test_exports_are_those_of_the_index(self, members: dict[str, bytes], packed: Path) -> None:
        models = json.loads(members[layout.ONNX_INDEX])["models"]
        exports = read_archive(packed, VERSION).exports
        assert [(e.code, e.accuracy, e.macs, e.size) for e in exports] == [
            (m["code"], m["accuracy"], m["macs"], m["size"]) for m in models
        ]
        assert exports[0].selections.split() == models[0]["selections"]

    @given(data=st.data())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
    def test_damage_anywhere_is_told_and_never_raised(self, packed: Path, tmp_path: Path, data: st.DataObject) -> None:
        content = bytearray(packed.read_bytes())
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        for _ in range(data.draw(st.integers(0, 4))):
            if content:
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path / "damaged.tar"
        path.write_bytes(content)
        archive = read_archive(path, VERSION)
        if len(content) < packed.stat().st_size:
            assert archive.problem

    @given(value=DOCUMENTS)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    def test_documents_may_say_anything(self, tmp_path: Path, value: Any) -> None:
        path = tmp_path / "odd.tar"
        write_tar(path, {layout.MANIFEST: json.dumps(value).encode(), layout.ONNX_INDEX: json.dumps(value).encode()})
        names = {member.path for member in read_archive(path, VERSION).members}
        assert {layout.MANIFEST, layout.ONNX_INDEX} <= names

    def test_what_the_manifest_does_not_list_is_marked_and_so_is_what_it_lists_in_vain(
        self, members: dict[str, bytes], tmp_path: Path
    ) -> None:
        full = tmp_path / "full.tar"
        write_archive(full, members)
        changed = {**members, layout.MANIFEST: _member(full, layout.MANIFEST), "extra.bin": b"x"}
        del changed[layout.POOL]
        write_tar(tmp_path / "changed.tar", changed)
        roles = {member.path: member.role for member in read_archive(tmp_path / "changed.tar", VERSION).members}
        assert (roles["extra.bin"], roles[layout.POOL]) == (UNLISTED, MISSING)

    def test_a_packed_archive_is_named_for_what_it_is(self, packed: Path, tmp_path: Path) -> None:
        path = tmp_path / "small.tar"
        path.write_bytes(gzip.compress(packed.read_bytes()))
        assert "gzip" in read_archive(path, VERSION).problem


class TestShelf:
    def test_archives_of_a_run_are_found_where_they_may_lie_and_others_are_not(self, packed: Path, tmp_path: Path) -> None:
        mine, _ = _facts(packed)
        runs = tmp_path / "runs"
        run = RunDirectory(runs / mine)
        shutil.copytree(RUN, run.path)
        (run.path / "exports").mkdir()
        elsewhere = tmp_path / "far" / "away.tar"
        elsewhere.parent.mkdir()
        expected = [elsewhere, run.path / "a.tar", run.path / "exports" / "b.tar", runs / "c.tar", tmp_path / "d.tar"]
        for path in expected:
            shutil.copyfile(packed, path)
        (runs / f"{mine}-cut.tar").write_bytes(packed.read_bytes()[:2000])
        (tmp_path / "something.tar").write_bytes(packed.read_bytes()[:2000])
        found = ArchiveShelf().look(run, runs, [elsewhere], NOTHING).archives
        assert {archive.path for archive in found} == {*expected, runs / f"{mine}-cut.tar"}
        assert found[0].path == elsewhere
        # Those next to the runs are another run's now; those inside this run's folder are its own.
        other = RunDirectory(runs / "other")
        shutil.copytree(RUN, other.path)
        shutil.copyfile(packed, other.path / "inside.tar")
        assert [archive.path for archive in ArchiveShelf().look(other, runs, [], NOTHING).archives] == [
            other.path / "inside.tar"
        ]

    def test_only_what_changed_is_read_again(self, packed: Path, tmp_path: Path) -> None:
        for name in ("a.tar", "b.tar"):
            shutil.copyfile(packed, tmp_path / name)
        shelf = ArchiveShelf()
        before = shelf.look(None, tmp_path / "runs", [], NOTHING).archives
        (tmp_path / "b.tar").write_bytes(packed.read_bytes()[:5000])
        after = shelf.look(None, tmp_path / "runs", [], NOTHING).archives
        assert after[0] is before[0]
        assert after[1].problem
        assert not before[1].problem
        (tmp_path / "a.tar").unlink()
        assert [a.path.name for a in shelf.look(None, tmp_path / "runs", [], NOTHING).archives] == ["b.tar"]

    def test_only_a_file_can_be_opened(self, packed: Path, tmp_path: Path) -> None:
        assert require_archive(packed) == packed.resolve()
        os.mkfifo(tmp_path / "pipe.tar")
        for path, error in ((tmp_path, InputError), (tmp_path / "pipe.tar", InputError), (tmp_path / "no", StorageError)):
            with pytest.raises(error):
                require_archive(path)

    def test_a_new_archive_never_replaces_one(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "runs" / "r")
        for _ in range(4):
            path = new_archive_path(run, tmp_path / "runs")
            assert path.parent == tmp_path
            assert not path.exists()
            path.write_bytes(b"")


class TestMissing:
    @pytest.mark.parametrize("weights", [False, True])
    def test_the_step_is_the_one_that_building_would_name(self, tmp_path: Path, weights: bool) -> None:
        run = RunDirectory(tmp_path / "run")
        shutil.copytree(RUN, run.path)
        if weights:
            for path in (run.weights, run.weights_manifest):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"{}")
        lines = run.events.read_bytes().splitlines(keepends=True)
        told = set()
        for end in [*range(1, len(lines), max(1, len(lines) // 40)), len(lines)]:
            run.events.write_bytes(b"".join(lines[:end]))
            reader = LogReader(run.events)
            while reader.poll():
                pass
            missing = what_is_missing(run, reader.reading("").state)
            with pytest.raises(KitError) as refused:
                require_finished(run)
            assert str(refused.value).endswith(f"not finished: {missing}") == bool(missing)
            told.add(missing)
        assert len(told) > 5
        assert missing == ("" if weights else "the final weights are missing")

    def test_a_truth_has_nothing_to_submit(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "t")
        run.path.mkdir()
        run.resolved.write_text('{"kind": "truth"}')
        assert "of a truth" in what_is_missing(run, NOTHING)

    def test_a_run_that_vanished_is_told(self, tmp_path: Path) -> None:
        assert "resolved.json" in what_is_missing(RunDirectory(tmp_path / "gone"), NOTHING)


FINDINGS = st.lists(
    st.builds(
        Finding,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["error", "warning"]),
        st.booleans(),
        st.text(max_size=5),
        st.text(max_size=5),
        st.text(max_size=5),
    ),
    min_size=1,
)


class TestReports:
    def test_a_real_report_is_told_whole_with_problems_first(self, packed: Path) -> None:
        report = check_archive(packed)
        checks = parse_checks(json.loads(json.dumps(report.to_json())))
        assert sorted((c.id, c.message) for c in checks) == sorted((f.id, f.message) for f in report.checks)
        assert verdict(checks)[0].startswith(f"passes {len({c.id for c in checks})} of")

    @given(FINDINGS)
    def test_the_verdict_is_the_reports(self, findings: list[Finding]) -> None:
        report = CheckReport(tuple(findings))
        checks = parse_checks(report.to_json())
        text, kind = verdict(checks)
        assert (kind == "fail") == (not report.ok) == text.startswith("breaks")
        order = [("fail", "warning", "pass").index(check.kind) for check in checks]
        assert order == sorted(order)

    @given(FINDINGS, st.text(max_size=3))
    def test_a_filter_keeps_exactly_what_contains_its_words(self, findings: list[Finding], word: str) -> None:
        for check in parse_checks(CheckReport(tuple(findings)).to_json()):
            shown = " ".join((check.id, check.kind, check.file, check.message, check.fix)).lower()
            assert check.has([word.lower()]) == (word.lower() in shown)


class TestJobs:
    @pytest.mark.parametrize("answer", ["1", "20", "5 folder:/data"])
    def test_a_sample_is_a_number(self, answer: str) -> None:
        assert check_sample(answer) == ""

    @pytest.mark.parametrize("answer", ["", "0", "-1", "five", "2.5", "٣", " 5"])
    def test_anything_else_is_refused(self, answer: str) -> None:
        assert check_sample(answer)

    def test_the_largest_difference_comes_first(self) -> None:
        subnets = [{"name": f"arch{n}", "code": "1", "recorded": 50, "found": 50 + d} for n, d in enumerate((0, -4, 2))]
        rows = reproduced_rows({"subnets": subnets})
        assert [row[3] for row in rows] == [("-4", "warn"), ("+2", "warn"), ("+0", "good")]

    def test_a_log_is_read_from_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        assert last_lines(path) == []
        path.write_bytes(b"x" * 10**6 + "\nlast ✓\n".encode() + b"\xff")
        assert last_lines(path)[-2:] == ["last ✓", "\ufffd"]
        assert sum(map(len, last_lines(path))) < 10**5


def _facts(path: Path) -> tuple[str, str]:
    manifest = json.loads(_member(path, layout.MANIFEST))
    return manifest["run"], manifest["kit"]


def _member(path: Path, name: str) -> bytes:
    import tarfile

    with tarfile.open(path) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()
