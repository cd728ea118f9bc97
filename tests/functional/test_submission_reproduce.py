"""`kit submission reproduce`: a sample of an archive scored again, from its own weights and nothing else."""

import json
import tarfile
from pathlib import Path

import pytest

from kit.files import sha256_of_file
from kit.submission.archive import unpack_archive, write_archive

ALL = 60


@pytest.fixture
def forge(built_archive, tmp_path):
    """Write the archive again with some members changed, manifest and sums made anew."""

    def make(**changes):
        folder = tmp_path / "forged"
        unpack_archive(built_archive, folder)
        for name, change in changes.items():
            path = next(path for path in folder.rglob("*") if path.name.split(".")[0] == name)
            path.write_bytes(change(path.read_bytes()))
        seals = {"MANIFEST.json", "SHA256SUMS"}
        members = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        out = tmp_path / "forged.tar"
        write_archive(out, {name: path for name, path in members.items() if name not in seals})
        return out

    return make


def test_a_sample_scores_exactly_what_is_recorded(built_archive, kit):
    outcome = kit("submission", "reproduce", str(built_archive), "--sample", "8", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.json
    assert document["ok"] and document["exact"] == document["sampled"] == 8
    assert document["max_difference"] == document["allowed_difference"] == 0
    assert document["environment_differences"] == [] and document["environment"]["threads"] == 1
    with tarfile.open(built_archive) as archive:
        lines = archive.extractfile("results/evaluations.jsonl").read().splitlines()
    recorded = {row["code"]: row["correct"] for row in map(json.loads, lines)}
    assert all(row["found"] == row["recorded"] == recorded[row["code"]] for row in document["subnets"])


def test_the_seed_chooses_the_sample(built_archive, kit):
    def names(*options):
        document = kit("submission", "reproduce", str(built_archive), "--sample", "3", "--json", *options).json
        return [row["name"] for row in document["subnets"]]

    first = names()
    assert first == names("--seed", "0") != names("--seed", "1")
    assert [int(name.removeprefix("arch")) for name in first] == sorted(int(name.removeprefix("arch")) for name in first)


@pytest.mark.slow
def test_a_sample_larger_than_the_pool_is_the_pool(built_archive, kit):
    document = kit("submission", "reproduce", str(built_archive), "--sample", "1000", "--json").json
    assert document["sampled"] == document["pool"] == document["exact"] == ALL


def test_it_says_what_it_did_to_people(built_archive, kit):
    outcome = kit("submission", "reproduce", str(built_archive), "--sample", "2")
    assert "2 of 2 sub-networks get exactly the recorded number of 60 images right" in outcome.out
    assert "scoring 2 sub-networks" in outcome.err


def test_nothing_of_an_archive_that_fails_its_check_is_run(forge, kit):
    archive = forge(submission=lambda data: data.replace(b'"acc": 0.', b'"acc": 0.0', 1))
    outcome = kit("submission", "reproduce", str(archive), "--json")
    assert outcome.code == 1 and not outcome.json["ok"]
    assert any(not check["ok"] for check in outcome.json["checks"])
    assert "nothing of it was run" in outcome.err and "scoring" not in outcome.err


def raise_a_count(data: bytes) -> bytes:
    rows = [json.loads(line) for line in data.splitlines()]
    rows[0]["correct"] += 1
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


@pytest.mark.slow
def test_a_forged_count_is_found_even_where_the_check_is_passed_over(forge, kit, monkeypatch):
    """What only scoring again can show: the count is one too high, everything else agrees with it."""
    archive = forge(evaluations=raise_a_count)
    passing = type("Passing", (), {"ok": True})
    monkeypatch.setattr("kit.submission.checks.check_archive", lambda *a, **b: passing())
    outcome = kit("submission", "reproduce", str(archive), "--sample", "1000", "--json")
    assert outcome.code == 1 and outcome.json["max_difference"] == 1 and outcome.json["exact"] == ALL - 1


@pytest.mark.slow
def test_another_environment_is_named_and_has_a_bound(forge, kit, monkeypatch):
    def older(data: bytes) -> bytes:
        environment = json.loads(data)
        environment["packages"]["torch"] = "2.6.0"
        return (json.dumps(environment, indent=1) + "\n").encode()

    archive = forge(environment=older, evaluations=raise_a_count)
    passing = type("Passing", (), {"ok": True})
    monkeypatch.setattr("kit.submission.checks.check_archive", lambda *a, **b: passing())
    document = kit("submission", "reproduce", str(archive), "--sample", "1000", "--json").json
    assert [text.split()[:2] for text in document["environment_differences"]] == [["torch", "2.6.0"]]
    assert document["ok"] and document["max_difference"] == 1 <= document["allowed_difference"]


def test_other_data_are_refused(built_archive, kit, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    assert torchvision
    for split, count in (("train", 4), ("val", 2)):
        for label in ("a", "b"):
            folder = tmp_path / "images" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                _picture(folder / f"{index}.png", index)
    outcome = kit("submission", "reproduce", str(built_archive), "--data", f"folder:{tmp_path / 'images'}")
    assert outcome.code == 2 and "hint:" in outcome.err


def test_the_archive_is_only_read(built_archive, kit):
    before = sha256_of_file(built_archive)
    neighbours = set(built_archive.parent.iterdir())
    assert kit("submission", "reproduce", str(built_archive), "--sample", "1").code == 0
    assert sha256_of_file(built_archive) == before and set(built_archive.parent.iterdir()) == neighbours


def test_what_is_no_archive_is_a_storage_error(kit, tmp_path):
    (tmp_path / "x.tar").write_text("nothing")
    assert kit("submission", "reproduce", str(tmp_path / "x.tar")).code == 3
    assert kit("submission", "reproduce", str(tmp_path / "missing.tar")).code == 3


def _picture(path: Path, shade: int) -> None:
    from PIL import Image

    Image.new("RGB", (12, 12), (40 * shade, 20, 90)).save(path)
