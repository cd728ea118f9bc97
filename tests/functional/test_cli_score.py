"""`kit score`: a challenge file from untrained networks, stopped and continued, and as an opponent of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.errors import StorageError
from kit.pool import load_pool
from kit.zero_cost import MEASURED, NAMES


def arguments(small: Any, name: str, out: Path, *options: str) -> list[str]:
    return ["score", name, "--profile", str(small.profile), "--out", str(out), *options]


@pytest.fixture
def pool(small: Any, kit: Any, tmp_path: Path) -> Path:
    """The first five of the profile's own draw."""
    everything = tmp_path / "all.json"
    assert kit(*arguments(small, "depth", everything)).code == 0
    few = tmp_path / "few.json"
    few.write_text(json.dumps(dict(list(json.loads(everything.read_text()).items())[:5])))
    return few


@pytest.fixture(autouse=True)
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.zero_cost.scores.ZEN_REPEATS", 2)


@pytest.mark.parametrize("name", NAMES)
def test_each_scores_a_pool_in_its_order(small: Any, kit: Any, pool: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "scores.json"
    done = kit(*arguments(small, name, out, "--pool", str(pool), "--json"))
    assert done.code == 0
    assert (done.json["name"], done.json["subnets"], done.json["scored_now"]) == (name, 5, 5)
    assert Path(done.json["scores"]) == out and done.json["seconds_per_architecture"] > 0
    assert load_pool(out).codes == load_pool(pool).codes and len(set(load_pool(out).scores.values())) > 1
    assert sorted(path.name for path in tmp_path.iterdir() if "score" in path.name) in (
        ["scores.json"],
        [".scores.json.lock", "scores.json"],
    )


@pytest.mark.parametrize("name", MEASURED)
def test_it_continues_where_it_was_stopped(
    small: Any, kit: Any, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from kit.zero_cost import scores

    undisturbed, out = tmp_path / "undisturbed.json", tmp_path / "out.json"
    assert kit(*arguments(small, name, undisturbed, "--pool", str(pool))).code == 0
    count = 0
    real = scores.score

    def failing(*given: Any) -> float:
        nonlocal count
        count += 1
        if count == 4:
            raise StorageError("the power is gone")
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(scores, "score", failing)
        assert kit(*arguments(small, name, out, "--pool", str(pool))).code == 3
    assert not out.exists()
    done = kit(*arguments(small, name, out, "--pool", str(pool), "--json"))
    assert done.code == 0 and done.json["scored_now"] == 2
    assert out.read_bytes() == undisturbed.read_bytes()


def test_a_compressed_file_is_written_too(small: Any, kit: Any, tmp_path: Path) -> None:
    out = tmp_path / "macs.json.gz"
    assert kit(*arguments(small, "macs", out)).code == 0
    assert len(load_pool(out)) == 60


def test_scores_of_another_seed_are_not_taken_up(small: Any, kit: Any, pool: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out.json"
    kept = tmp_path / ".out.json.scores"
    with monkeypatch.context() as patch:
        patch.setattr("kit.pipeline.score_run.write_scores", lambda *_: (_ for _ in ()).throw(StorageError("full")))
        assert kit(*arguments(small, "synflow", out, "--pool", str(pool))).code == 3
    assert kept.exists()
    done = kit(*arguments(small, "synflow", out, "--pool", str(pool), "--seed", "1", "--json"))
    assert done.code == 0 and done.json["scored_now"] == 5 and not kept.exists()


def test_it_is_an_opponent_of_a_run(small: Any, trained: Any, kit: Any, tmp_path: Path) -> None:
    out = tmp_path / "flow.json"
    assert kit(*arguments(small, "synflow", out)).code == 0
    ranked = kit(
        "rank", str(trained.run / "predictions.json"), "--truth", str(trained.run / "predictions.json"),
        "--profile", str(small.profile), "--opponent", f"flow={out}", "--json",
    )  # fmt: skip
    assert ranked.code == 0 and "flow" in ranked.json["versus"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("zen", "--out", "scores.csv"), "does not end in .json"),
        (("zenn", "--out", "scores.json"), "zenn"),
        (("zen", "--out", "scores.json", "--profile", "nanoo"), "nano"),
        (("zen", "--out", "scores.json", "--pool", "missing.json"), "missing.json"),
    ],
)
def test_what_is_wrong_is_told(kit: Any, options: tuple[str, ...], expected: str) -> None:
    refused = kit("score", *options)
    assert refused.code in (2, 3) and expected in refused.err and "Traceback" not in refused.err
