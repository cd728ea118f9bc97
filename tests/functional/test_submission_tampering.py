"""Every way of tampering with an archive that we could think of, tried twice: plainly, and by a forger who seals it again.

The forger recomputes `MANIFEST.json` and `SHA256SUMS`; the stronger one also the hashes in `onnx/index.json` and
`results/evaluations.jsonl`. Each case must be found by the rule that is about it, not just by some rule.
"""

import copy
import io
import json
import pickle
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load, save
from synthetic_archive import canonical, data_members, failed_rules, synthetic, whole

from kit import __version__
from kit.submission import layout
from kit.submission.archive import BLOCK, tar_header, write_archive, write_tar
from kit.submission.checks import check_archive
from kit.submission.members import LocalMembers, hashes

pytestmark = pytest.mark.slow

Members = dict[str, bytes]
Change = Callable[[Members], None]
Report = dict[str, list[str]]
TALLY: dict[str, int] = {"tried": 0, "found": 0}


@dataclass(frozen=True)
class Case:
    """A change of members, and the rule that must find it."""

    name: str
    rule: str
    change: Change


@pytest.fixture(scope="module")
def base() -> Members:
    """All members but the seals."""
    return whole(data_members(synthetic()))


@pytest.fixture(scope="module")
def code(base: Members) -> str:
    """The first exported architecture."""
    return json.loads(base[layout.ONNX_INDEX])["models"][0]["code"]


@pytest.fixture(scope="module", autouse=True)
def tally() -> Iterator[None]:
    """Say at the end how many were found."""
    yield
    sys.stderr.write(f"\ntamperings found / tried: {TALLY['found']} / {TALLY['tried']}\n")


def seal(members: Members) -> Members:
    """What a forger does after changing members: manifest and sums that fit again."""
    local = LocalMembers({name: data for name, data in members.items() if name not in layout.SEALS})
    try:
        facts = local.facts()
    except Exception:  # the forger broke what the manifest is made from
        facts = {"kit": __version__, "run": "small-nano-s0", "recipe": "small", "profile": "nano"}
    manifest = layout.dump_json(layout.MANIFEST, layout.make_manifest(facts, hashes(local, local.names())))
    sealed = LocalMembers({**members, layout.MANIFEST: manifest})
    sums = layout.dump_sums({name: sealed.sha256(name) for name in sealed.names() if name != layout.SUMS})
    return {**members, layout.MANIFEST: manifest, layout.SUMS: sums}


def failed(path: Path) -> list[str]:
    report = check_archive(path)
    assert report.to_json()["ok"] == report.ok
    return [] if report.ok else failed_rules(report)


def tried(found: bool) -> bool:
    TALLY["tried"] += 1
    TALLY["found"] += found
    return found


# Helpers that edit one kind of member in place.


def edit(path: str, change: Callable[[Any], Any]) -> Change:
    """Change a JSON document; a returned value replaces it."""

    def apply(members: Members) -> None:
        value = json.loads(members[path])
        result = change(value)
        members[path] = layout.dump_json(path, value if result is None else result)

    return apply


def edit_lines(path: str, change: Callable[[list[Any]], Any]) -> Change:
    """Change the documents of a `.jsonl` member."""

    def apply(members: Members) -> None:
        rows = [json.loads(line) for line in members[path].splitlines()]
        result = change(rows)
        members[path] = b"".join(layout.dump_line(row) for row in (rows if result is None else result))

    return apply


def edit_bytes(path: str, old: bytes, new: bytes) -> Change:
    def apply(members: Members) -> None:
        assert old in members[path], (path, old)
        members[path] = members[path].replace(old, new, 1)

    return apply


def edit_tensors(path: str, change: Callable[[dict[str, Any]], None], *, strong: bool = False) -> Change:
    """Change arrays of a weights file (by its path, or `calibrated`); `strong` forgers correct the hashes elsewhere."""

    def apply(members: Members) -> None:
        name = first(members, "weights") if path == "calibrated" else path
        length = int.from_bytes(members[name][:8], "little")
        notes = json.loads(members[name][8 : 8 + length])["__metadata__"]
        arrays = {key: value.copy() for key, value in load(members[name]).items()}
        change(arrays)
        members[name] = save(arrays, notes)
        if strong:
            correct_hashes(members)

    return apply


def edit_onnx(change: Callable[[Any], None], *, strong: bool = True) -> Change:
    def apply(members: Members) -> None:
        name = first(members, "file")
        model = onnx.load_from_string(members[name])
        change(model)
        members[name] = model.SerializeToString(deterministic=True)
        if strong:
            correct_hashes(members)

    return apply


def edit_model(**values: Any) -> Change:
    return edit(layout.ONNX_INDEX, lambda index: index["models"][0].update(values))


def first(members: Members, key: str) -> str:
    return json.loads(members[layout.ONNX_INDEX])["models"][0][key]


def correct_hashes(members: Members) -> None:
    """The stronger forger: every hash of weights and ONNX files outside of the seals fits again."""
    local = LocalMembers(members)
    index = json.loads(members[layout.ONNX_INDEX])
    index["supernet_sha256"] = local.sha256(layout.SUPERNET)
    for model in index["models"]:
        if model["file"] in members:
            model["sha256"], model["size"] = local.sha256(model["file"]), local.size(model["file"])
        if model["weights"] in members:
            model["weights_sha256"] = local.sha256(model["weights"])
    members[layout.ONNX_INDEX] = layout.dump_json(layout.ONNX_INDEX, index)
    rows = [
        json.loads(line) | {"weights_sha256": index["supernet_sha256"]} for line in members[layout.EVALUATIONS].splitlines()
    ]
    members[layout.EVALUATIONS] = b"".join(map(layout.dump_line, rows))


def all_of(*changes: Change) -> Change:
    def apply(members: Members) -> None:
        for change in changes:
            change(members)

    return apply


def entry(number: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda pool: pool[list(pool)[number]].update(values)


def swap(pool: dict[str, Any], key: str) -> None:
    a, b = list(pool.values())[:2]
    a[key], b[key] = b[key], a[key]


def fill(members: Members, share: float) -> None:
    """One accuracy for a share of the pool, in submission and evaluations alike."""
    rows = [json.loads(line) for line in members[layout.EVALUATIONS].splitlines()]
    pool = json.loads(members[layout.SUBMISSION])
    for row in rows[: int(share * len(rows))]:
        row["correct"] = 180
        pool[row["name"]]["acc"] = 0.5
    members[layout.EVALUATIONS] = b"".join(map(layout.dump_line, rows))
    members[layout.SUBMISSION] = layout.dump_json(layout.SUBMISSION, pool)


def replace_code(members: Members) -> None:
    """Another valid architecture everywhere but in the run's fingerprint."""
    old = json.loads(members[layout.POOL])["arch5"]["arch"].encode()
    digit = b"1" if old[6:7] != b"1" else b"2"
    for path in (layout.POOL, layout.SUBMISSION, layout.EVALUATIONS, layout.EVENTS):
        members[path] = members[path].replace(old, old[:6] + digit + old[7:])


def raise_score(members: Members) -> None:
    """One more correct image for the first entry, in submission and evaluations alike."""
    rows = [json.loads(line) for line in members[layout.EVALUATIONS].splitlines()]
    rows[3]["correct"] += 1
    members[layout.EVALUATIONS] = b"".join(map(layout.dump_line, rows))
    edit(layout.SUBMISSION, entry(3, acc=rows[3]["correct"] / rows[3]["images"]))(members)


def nudge(array: Any) -> None:
    """Flip the lowest bit of one number."""
    array.view(np.uint32).reshape(-1)[0] ^= 1


def more_epochs(members: Members) -> None:
    edit(layout.RESOLVED, lambda value: value["recipe"]["phases"][1].update(epochs=3))(members)
    members[layout.RECIPE] = members[layout.RECIPE].replace(
        b"epochs = 2\nlearning_rate = 0.01", b"epochs = 3\nlearning_rate = 0.01"
    )


def other_rank(members: Members) -> None:
    """A better Pearson r in rank.json and in the log."""
    for change in (
        edit(layout.RANK, lambda rank: rank["pearson"].update(value=rank["pearson"]["high"])),
        edit_lines(
            layout.EVENTS,
            lambda rows: (
                [r["report"]["pearson"].update(value=r["report"]["pearson"]["high"]) for r in rows if "report" in r] and None
            ),
        ),
    ):
        change(members)


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def flip_onnx_weight(model: Any) -> None:
    tensor = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[0] += 0.25
    tensor.raw_data = values.tobytes()


def swap_onnx(members: Members) -> None:
    a, b = [model["file"] for model in json.loads(members[layout.ONNX_INDEX])["models"]][:2]
    members[a], members[b] = members[b], members[a]
    correct_hashes(members)


def drop(path: str) -> Change:
    def apply(members: Members) -> None:
        del members[first(members, path) if path in ("file", "weights") else path]

    return apply


def rename(old: str, new: str) -> Change:
    def apply(members: Members) -> None:
        members[new] = members.pop(old)

    return apply


def add(path: str, data: bytes) -> Change:
    return lambda members: members.update({path: data})


def put(key: str, data: bytes) -> Change:
    """Replace the first export's file or weights."""
    return lambda members: members.update({first(members, key): data})


def to_nan(arrays: dict[str, Any]) -> None:
    arrays["layer4.0.conv1.weight"].reshape(-1)[5] = np.nan


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("run by a pickle",)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1_000_000))
    return buffer.getvalue()


def drop_event(kind: str) -> Change:
    return edit_lines(layout.EVENTS, lambda rows: [row for row in rows if row["kind"] != kind])


def event(kind: str, /, **values: Any) -> Change:
    def change(rows: list[Any]) -> None:
        next(row for row in rows if row["kind"] == kind).update(values)

    return edit_lines(layout.EVENTS, change)


SCRIPT = b'<script>fetch("x")</script></svg>'
FIGURE = f"{layout.FIGURES}accuracy-macs.svg"
OTHER_CODE = "1" + "2222" + "1" + "1111000000" * 2 + "1111000000000000" + "1111000000"

CASES = [
    Case(
        "an accuracy changed in its last digit",
        "accuracies-match",
        edit(layout.SUBMISSION, lambda p: entry(2, acc=np.nextafter(p["arch3"]["acc"], 1))(p)),
    ),
    Case(
        "an accuracy changed by one image",
        "accuracies-match",
        edit(layout.SUBMISSION, lambda p: entry(2, acc=p["arch3"]["acc"] + 1 / 360)(p)),
    ),
    Case("two accuracies swapped", "accuracies-match", edit(layout.SUBMISSION, lambda p: swap(p, "acc"))),
    Case("two codes swapped", "submission-pool", edit(layout.SUBMISSION, lambda p: swap(p, "arch"))),
    Case("names reordered", "submission-pool", edit(layout.SUBMISSION, lambda p: dict(reversed(p.items())))),
    Case("an entry renamed", "submission-pool", edit_bytes(layout.SUBMISSION, b'"arch7"', b'"best7"')),
    Case("an entry left out", "submission-pool", edit(layout.SUBMISSION, lambda p: p.pop("arch9") and None)),
    Case(
        "an entry added",
        "submission-pool",
        edit(layout.SUBMISSION, lambda p: p.update(more={"acc": 0.9, "arch": OTHER_CODE})),
    ),
    Case(
        "NaN as an accuracy",
        "strict-json",
        lambda m: m.update({layout.SUBMISSION: m[layout.SUBMISSION].replace(b'"acc": 0.', b'"acc": NaN, "x": 0.', 1)}),
    ),
    Case(
        "infinity as an accuracy",
        "strict-json",
        lambda m: m.update({layout.SUBMISSION: m[layout.SUBMISSION].replace(b'"acc": 0.', b'"acc": 1e999, "x": 0.', 1)}),
    ),
    Case(
        "a name twice in submission.json",
        "strict-json",
        edit_bytes(layout.SUBMISSION, b'{"arch1":', b'{"arch1": {"acc": 0.5, "arch": "1"}, "arch1":'),
    ),
    Case(
        "a key twice in resolved.json", "strict-json", edit_bytes(layout.RESOLVED, b'"seed": 0', b'"seed": 1,\n "seed": 0')
    ),
    Case("JSON with a byte order mark", "strict-json", lambda m: m.update({layout.POOL: b"\xef\xbb\xbf" + m[layout.POOL]})),
    Case("JSON nested without end", "strict-json", lambda m: m.update({layout.RANK: b"[" * 200_000})),
    Case("other spaces in JSON", "strict-json", edit_bytes(layout.ENVIRONMENT, b'\n "machine"', b'\n  "machine"')),
    Case("an accuracy between two counts", "accuracies", edit(layout.SUBMISSION, entry(4, acc=0.5001))),
    Case("an accuracy above 1", "accuracies", edit(layout.SUBMISSION, entry(4, acc=1.25))),
    Case("an accuracy below 0", "accuracies", edit(layout.SUBMISSION, entry(4, acc=-0.25))),
    Case("an accuracy as text", "accuracies", edit(layout.SUBMISSION, entry(4, acc="0.5"))),
    Case("all accuracies the same", "constant-accuracies", lambda m: fill(m, 1.0)),
    Case("half of the accuracies filled in", "events", lambda m: fill(m, 0.4)),
    Case(
        "a count changed",
        "accuracies-match",
        edit_lines(layout.EVALUATIONS, lambda rows: rows[0].update(correct=rows[0]["correct"] + 1)),
    ),
    Case("a count and its accuracy changed", "events", raise_score),
    Case(
        "more correct than images", "evaluations", edit_lines(layout.EVALUATIONS, lambda rows: rows[0].update(correct=361))
    ),
    Case(
        "fewer images for one entry",
        "evaluations",
        edit_lines(layout.EVALUATIONS, lambda rows: rows[0].update(correct=rows[0]["correct"] // 2, images=180)),
    ),
    Case("a count as a fraction", "evaluations", edit_lines(layout.EVALUATIONS, lambda rows: rows[0].update(correct=180.5))),
    Case("an evaluation left out", "evaluations", edit_lines(layout.EVALUATIONS, lambda rows: rows[1:])),
    Case("evaluations reordered", "evaluations", edit_lines(layout.EVALUATIONS, lambda rows: rows[::-1])),
    Case(
        "scores of other weights",
        "weights-hash",
        edit_lines(layout.EVALUATIONS, lambda rows: rows[0].update(weights_sha256="0" * 64)),
    ),
    Case(
        "a code that is none",
        "codes",
        lambda m: (
            [edit(path, entry(1, arch="18" + OTHER_CODE[2:]))(m) for path in (layout.POOL, layout.SUBMISSION)] and None
        ),
    ),
    Case(
        "a code of 51 digits",
        "codes",
        lambda m: [edit(path, entry(1, arch=OTHER_CODE[1:]))(m) for path in (layout.POOL, layout.SUBMISSION)] and None,
    ),
    Case("another architecture scored", "pool", replace_code),
    Case("accuracies in the pool", "no-truth", edit(layout.POOL, entry(0, acc=0.75))),
    Case(
        "a truth among the inputs", "no-truth", edit(layout.RESOLVED, lambda r: r["inputs"].update(pool="nano-truth.json"))
    ),
    Case(
        "the truth opened before the scores",
        "no-truth",
        edit_lines(layout.EVENTS, lambda rows: sorted(rows, key=lambda row: row["kind"] != "RankMeasured")),
    ),
    Case("one bit of the supernet", "weights-hash", edit_tensors(layout.SUPERNET, lambda a: nudge(a["conv1.weight"]))),
    Case(
        "one bit of the supernet, hashes corrected",
        "calibrated-weights",
        edit_tensors(layout.SUPERNET, lambda a: nudge(a["conv1.weight"]), strong=True),
    ),
    Case("NaN in the supernet", "finite-weights", edit_tensors(layout.SUPERNET, to_nan, strong=True)),
    Case(
        "a negative variance",
        "finite-weights",
        edit_tensors(layout.SUPERNET, lambda a: a["bn1.running_var"].__setitem__(0, -1), strong=True),
    ),
    Case(
        "a tensor missing",
        "supernet-weights",
        edit_tensors(layout.SUPERNET, lambda a: a.__delitem__("layer3.7.conv2.weight"), strong=True),
    ),
    Case(
        "a tensor too many",
        "supernet-weights",
        edit_tensors(layout.SUPERNET, lambda a: a.update(extra=np.zeros(3, np.float32)), strong=True),
    ),
    Case(
        "another shape",
        "supernet-weights",
        edit_tensors(layout.SUPERNET, lambda a: a.update({"fc.bias": np.zeros(11, np.float32)}), strong=True),
    ),
    Case(
        "half precision",
        "supernet-weights",
        edit_tensors(layout.SUPERNET, lambda a: a.update({"fc.bias": a["fc.bias"].astype(np.float16)}), strong=True),
    ),
    Case(
        "data behind the tensors",
        "supernet-weights",
        all_of(lambda m: m.update({layout.SUPERNET: m[layout.SUPERNET] + b"more"}), correct_hashes),
    ),
    Case(
        "another space noted",
        "supernet-weights",
        all_of(edit_bytes(layout.SUPERNET, b'\\"divisor\\":1', b'\\"divisor\\":4'), correct_hashes),
    ),
    Case("a calibrated weight", "weights-hash", edit_tensors("calibrated", lambda a: nudge(a["conv1.weight"]))),
    Case(
        "a calibrated weight, hashes corrected",
        "calibrated-weights",
        edit_tensors("calibrated", lambda a: nudge(a["conv1.weight"]), strong=True),
    ),
    Case(
        "a calibrated scale",
        "calibrated-weights",
        edit_tensors("calibrated", lambda a: nudge(a["layer1.0.bn2.weight"]), strong=True),
    ),
    Case(
        "calibrated statistics, hashes corrected",
        "onnx-files",
        edit_tensors("calibrated", lambda a: a["bn1.running_mean"].__iadd__(1), strong=True),
    ),
    Case(
        "a calibrated tensor too many",
        "calibrated-weights",
        edit_tensors("calibrated", lambda a: a.update(extra=np.zeros(3, np.float32)), strong=True),
    ),
    Case("calibrated weights left out", "complete", drop("weights")),
    Case("one ONNX weight", "weights-hash", edit_onnx(flip_onnx_weight, strong=False)),
    Case("one ONNX weight, hashes corrected", "onnx-files", edit_onnx(flip_onnx_weight)),
    Case("ONNX weights in another file", "onnx-files", edit_onnx(external)),
    Case(
        "another code in the ONNX file",
        "onnx-files",
        edit_onnx(lambda model: setattr(model.metadata_props[1], "value", OTHER_CODE)),
    ),
    Case(
        "an operator of one's own",
        "onnx-files",
        edit_onnx(
            lambda model: model.graph.node.add(op_type="RunThis", domain="evil", input=["logits"], output=["x"]) and None
        ),
    ),
    Case(
        "a stack trace in the ONNX file",
        "private-data",
        edit_onnx(lambda model: setattr(model.graph.node[0], "doc_string", "File /home/bob/net.py, line 3")),
    ),
    Case("an ONNX file of noise", "onnx-files", all_of(put("file", b"\x08\x0a" + bytes(range(200))), correct_hashes)),
    Case("two ONNX files swapped", "onnx-files", swap_onnx),
    Case("an ONNX file left out", "complete", drop("file")),
    Case("an export that the index does not list", "unexpected-files", add(layout.onnx_path(OTHER_CODE), b"\x08\x0a")),
    Case("multiply-adds in the index", "onnx-index", edit_model(macs=1)),
    Case("parameters in the index", "onnx-index", edit_model(params=1)),
    Case("a score in the index", "onnx-index", edit_model(correct=359, accuracy=359 / 360)),
    Case("a path in the index", "onnx-index", edit_model(file="../onnx.onnx")),
    Case("a difference beyond the bound", "onnx-index", edit_model(max_abs_difference=0.5)),
    Case(
        "another best one",
        "onnx-index",
        edit(
            layout.ONNX_INDEX,
            lambda i: [m.update(selections=["best"]) for m in i["models"] if "smallest" in m["selections"]] and None,
        ),
    ),
    Case("another input size", "onnx-index", edit(layout.ONNX_INDEX, lambda i: i["input"].update(shape=["batch", 3, 9, 9]))),
    Case(
        "a figure of rank.json", "rank", edit(layout.RANK, lambda r: r["kendall"].update(value=r["kendall"]["value"] + 1e-3))
    ),
    Case("a rank outside of its interval", "rank", edit(layout.RANK, lambda r: r["kendall"].update(low=0.999))),
    Case("a rank changed in the log, too", "rank", other_rank),
    Case("a rank by another truth", "rank", edit(layout.RANK, lambda r: r.update(truth_sha256="0" * 64))),
    Case("a rank outside of -1..1", "rank", edit(layout.RANK, lambda r: r["pearson"].update(high=1.5))),
    Case("the rank left out", "rank", drop(layout.RANK)),
    Case("the rank of more architectures", "rank", edit(layout.RANK, lambda r: r.update(n=20))),
    Case("a setting of recipe.toml", "recipe", edit_bytes(layout.RECIPE, b"paths = 2", b"paths = 4")),
    Case("a comment in recipe.toml", "recipe", lambda m: m.update({layout.RECIPE: b"# mine\n" + m[layout.RECIPE]})),
    Case("a setting of profile.toml", "recipe", edit_bytes(layout.PROFILE, b"divisor = 1", b"divisor = 8")),
    Case("TOML that is none", "recipe", edit_bytes(layout.PROFILE, b"[network]", b"[network")),
    Case("another seed", "events", edit(layout.RESOLVED, lambda r: r.update(seed=1))),
    Case("more epochs in recipe and resolved.json", "events", more_epochs),
    Case("a phase without an end", "events", drop_event("PhaseFinished")),
    Case("a log without scores", "events", drop_event("EvaluationFinished")),
    Case("a run that did not finish", "events", drop_event("RunFinished")),
    Case("a score in the log", "events", event("SubnetEvaluated", correct=1)),
    Case("another number of steps", "events", event("PhaseStarted", steps=1000)),
    Case("an event of another kind", "events", event("RunFinished", kind="RunBlessed")),
    Case("an event with a host", "events", event("RunStarted", host="node17")),
    Case("a process id in the log", "private-data", event("RunStarted", pid=4711)),
    Case("a home folder in the log", "private-data", event("EvaluationFinished", predictions="/home/bob/runs/p.json")),
    Case("a torn line in the log", "strict-json", lambda m: m.update({layout.EVENTS: m[layout.EVENTS][:-9]})),
    Case("a version in the environment", "sbom", edit_bytes(layout.ENVIRONMENT, b"2.14.1", b"2.14.0")),
    Case("a user in the environment", "environment", edit(layout.ENVIRONMENT, lambda e: e.update(user="bob"))),
    Case("a user in the environment, as a secret", "private-data", edit(layout.ENVIRONMENT, lambda e: e.update(user="bob"))),
    Case("no version of torch", "environment", edit(layout.ENVIRONMENT, lambda e: e["packages"].pop("torch") and None)),
    Case("a package left out of the bill", "sbom", edit(layout.SBOM, lambda b: b["components"].pop(0) and None)),
    Case(
        "a hash in the bill", "sbom", edit(layout.SBOM, lambda b: b["components"][-1]["hashes"][0].update(content="0" * 64))
    ),
    Case("a bill that is none", "sbom", add(layout.SBOM, b"{}\n")),
    Case("a sentence in the README", "documents", edit_bytes(layout.README, b"## Check it", b"Best ever.\n\n## Check it")),
    Case("a command in reproduce.sh", "documents", edit_bytes(layout.REPRODUCE, b"set -eu\n", b"set -eu\nrm -rf ~\n")),
    Case("another license", "documents", edit_bytes(layout.LICENSE, b"Version 2.0", b"Version 3.0")),
    Case("a script in a figure", "figures", edit_bytes(FIGURE, b"</svg>", SCRIPT)),
    Case("a figure that loads a picture", "figures", edit_bytes(FIGURE, b"</svg>", b'<image href="http://x/y.png"/></svg>')),
    Case("another dot in a figure", "figures", edit_bytes(FIGURE, b"h0", b"h1")),
    Case("a figure left out", "figures", drop(FIGURE)),
    Case("a figure too many", "figures", add(f"{layout.FIGURES}mine.svg", b"<svg/>")),
    Case(
        "a token in the README",
        "private-data",
        lambda m: m.update({layout.README: m[layout.README] + b"\ntoken ghp_" + b"a" * 36}),
    ),
    Case(
        "an address in the README",
        "private-data",
        lambda m: m.update({layout.README: m[layout.README] + b"\nwrite to bob@example.org"}),
    ),
    Case(
        "a place among the inputs",
        "private-data",
        edit(layout.RESOLVED, lambda r: r["inputs"].update(weights="/data/bob/w.pth")),
    ),
    Case("a pickle as weights", "no-pickles", put("weights", pickle.dumps(Payload()))),
    Case("an old pickle as a figure", "no-pickles", lambda m: m.update({FIGURE: pickle.dumps(Payload(), protocol=0)})),
    Case("a pickle of its own", "no-pickles", add("weights/optimizer.pkl", pickle.dumps(Payload()))),
    Case("a zip as an ONNX file", "no-pickles", put("file", zipped())),
    Case("a zip bomb of its own", "no-pickles", add("results/extra.zip", zipped())),
    Case("a program", "no-pickles", put("file", b"\x7fELF" + bytes(60))),
    Case("a file too many", "unexpected-files", add("notes.txt", b"hello\n")),
    Case("a file renamed", "complete", rename(layout.POOL, "results/pool2.json")),
    Case("a file renamed, seen from the other side", "unexpected-files", rename(layout.POOL, "results/pool2.json")),
    Case("the scores left out", "complete", drop(layout.EVALUATIONS)),
    Case("an empty submission", "submission-pool", add(layout.SUBMISSION, b"{}")),
]


@pytest.mark.parametrize("forged", [False, True], ids=["plain", "forged"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_tampering_is_found_by_the_rule_that_is_about_it(base: Members, case: Case, forged: bool, tmp_path: Path) -> None:
    members = dict(base)
    case.change(members)
    assert members != base
    seals = {name: data for name, data in seal(members if forged else base).items() if name in layout.SEALS}
    write_tar(tmp_path / "a.tar", {**members, **seals})
    found = failed(tmp_path / "a.tar")
    assert tried(case.rule in found), found
    # The plain tampering is seen in the seals, too, and the forged one is not: that is what makes it a forgery.
    assert ("manifest-hashes" in found) == ("sha256sums" in found) == (not forged)


def test_untouched_archives_pass_with_every_rule_reported(base: Members, tmp_path: Path) -> None:
    for number, members in enumerate((base, whole(data_members(synthetic(few_shot=True))))):
        write_archive(tmp_path / "a.tar", members)
        report = check_archive(tmp_path / "a.tar")
        assert report.ok, [finding for finding in report.checks if not finding.ok]
        assert failed_rules(report) == (["several-supernets"] if number else [])


@pytest.mark.parametrize(("share", "passes"), [(1e-15, True), (1e-10, True), (1e-7, False)])
def test_a_rank_that_another_processor_summed_is_the_same_rank(share: float, passes: bool, tmp_path: Path) -> None:
    """Figures may differ in their last bits; what differs more was changed by somebody."""

    def nudge(value: Any) -> None:
        for key, each in value.items():
            if isinstance(each, dict):
                nudge(each)
            elif isinstance(each, float) and key != "value":
                value[key] = each - abs(each) * share if key == "low" else each + (1 - each) * share

    members = data_members(synthetic())
    edit(layout.RANK, nudge)(members)
    edit_lines(layout.EVENTS, lambda rows: [nudge(row["report"]) for row in rows if "report" in row] and None)(members)
    write_archive(tmp_path / "a.tar", whole(members))
    assert failed(tmp_path / "a.tar") == ([] if passes else ["rank"])


SEALS = {
    "a role": ("manifest", layout.MANIFEST, b'"role": "pool"', b'"role": "loop"'),
    "the run's name": ("manifest", layout.MANIFEST, b'"run": "small-nano-s0"', b'"run": "large-nano-s0"'),
    "the recipe's name": ("manifest", layout.MANIFEST, b'"recipe": "small"', b'"recipe": "large"'),
    "the rules": ("manifest", layout.MANIFEST, b'"rules": "1"', b'"rules": "0"'),
    "a key too many": ("manifest", layout.MANIFEST, b'"format": 1,', b'"format": 1,\n "note": 1,'),
    "spaces": ("manifest", layout.MANIFEST, b'"format": 1,', b'"format":  1,'),
    "the same key twice": ("strict-json", layout.MANIFEST, b'"format": 1,', b'"format": 1,\n "format": 1,'),
    "a size": ("manifest-hashes", layout.MANIFEST, b'"size": ', b'"size": 1'),
    "a path": ("manifest-hashes", layout.MANIFEST, b'"path": "README.md"', b'"path": "README.mx"'),
    "another version of kit": ("kit-version", layout.MANIFEST, f'"kit": "{__version__}"'.encode(), b'"kit": "9.1.0"'),
    "an upper-case hash": ("sha256sums", layout.SUMS, b"a", b"A"),
    "an empty line": ("sha256sums", layout.SUMS, b"\n", b"\n\n"),
}


@pytest.mark.parametrize("forged", [False, True], ids=["plain", "forged"])
@pytest.mark.parametrize("name", SEALS)
def test_edited_seals_are_found(base: Members, name: str, forged: bool, tmp_path: Path) -> None:
    rule, path, old, new = SEALS[name]
    members = seal(base)
    edit_bytes(path, old, new)(members)
    if forged and path == layout.MANIFEST:
        sums = LocalMembers(members)
        members[layout.SUMS] = layout.dump_sums({each: sums.sha256(each) for each in sums.names() if each != layout.SUMS})
    write_tar(tmp_path / "a.tar", members)
    report = check_archive(tmp_path / "a.tar")
    assert tried(rule in failed_rules(report) and not report.ok), failed_rules(report)


@dataclass(frozen=True)
class Raw:
    """A tar made by hand: headers and contents in order."""

    items: list[tuple[bytes, bytes]]

    def pack(self) -> bytes:
        body = b"".join(header + data + bytes(-len(data) % BLOCK) for header, data in self.items)
        return body + bytes(-(-(len(body) + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE - len(body))

    def with_item(self, header: bytes, data: bytes = b"", *, at: int | None = None) -> "Raw":
        items = list(self.items)
        items.insert(len(items) if at is None else at, (header, data))
        return Raw(items)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **values: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, size, 0o644
    for key, value in values.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)[-BLOCK:]


def rewritten(raw: Raw, name: str, **values: Any) -> bytes:
    """The archive with other fields in one member's header."""
    index = next(i for i, (head, _) in enumerate(raw.items) if head.startswith(name.encode() + b"\0"))
    data = raw.items[index][1]
    items = [*raw.items]
    items[index] = (header(name, size=len(data), **values), data)
    return Raw(items).pack()


def pax(raw: Raw) -> bytes:
    info = tarfile.TarInfo("README.md")
    info.pax_headers = {"comment": "hello"}
    extension = info.tobuf(tarfile.PAX_FORMAT)[:-BLOCK]
    return raw.with_item(extension[:BLOCK], extension[BLOCK:].rstrip(b"\0"), at=3).pack()


STRUCTURE: dict[str, tuple[str, Callable[[Raw], bytes]]] = {
    "a symbolic link": (
        "archive-safety",
        lambda r: r.with_item(header("zlink", tarfile.SYMTYPE, linkname="/etc/passwd")).pack(),
    ),
    "a hard link": ("archive-safety", lambda r: r.with_item(header("zlink", tarfile.LNKTYPE, linkname="README.md")).pack()),
    "a link in place of a file": (
        "archive-safety",
        lambda r: rewritten(
            Raw([(h, b"" if h.startswith(b"README") else d) for h, d in r.items]),
            "README.md",
            type=tarfile.SYMTYPE,
            linkname="LICENSE",
        ),
    ),
    "a parent folder": ("archive-safety", lambda r: r.with_item(header("results/../../evil", size=1), b"x").pack()),
    "an absolute path": ("archive-safety", lambda r: r.with_item(header("/etc/cron.d/evil", size=1), b"x").pack()),
    "a hidden file": ("archive-safety", lambda r: r.with_item(header(".bashrc", size=1), b"x").pack()),
    "a name with a line break": ("archive-safety", lambda r: r.with_item(header("z\nx", size=1), b"x").pack()),
    "a name with a backslash": ("archive-safety", lambda r: r.with_item(header("z\\x", size=1), b"x").pack()),
    "a member twice": ("archive-safety", lambda r: Raw([*r.items[:5], *r.items[4:]]).pack()),
    "a member twice, once in capitals": ("archive-safety", lambda r: r.with_item(header("readme.md", size=1), b"x").pack()),
    "a folder": ("archive-safety", lambda r: r.with_item(header("weights", tarfile.DIRTYPE)).pack()),
    "a pipe": ("archive-safety", lambda r: r.with_item(header("zpipe", tarfile.FIFOTYPE)).pack()),
    "a device": ("archive-safety", lambda r: r.with_item(header("zdisk", tarfile.BLKTYPE)).pack()),
    "a sparse file": ("archive-safety", lambda r: r.with_item(header("zsparse", tarfile.GNUTYPE_SPARSE, size=0)).pack()),
    "an extension header": ("archive-safety", pax),
    "a member of 60 GB": ("archive-safety", lambda r: r.with_item(header("zbomb", size=60 * 10**9)).pack()),
    "another owner": ("archive-format", lambda r: rewritten(r, "README.md", uid=1000, uname="bob")),
    "an executable": ("archive-format", lambda r: rewritten(r, "reproduce.sh", mode=0o755)),
    "another time": ("archive-format", lambda r: rewritten(r, "README.md", mtime=1_700_000_000)),
    "another time in the kit's form": (
        "archive-format",
        lambda r: Raw(
            [(tar_header("LICENSE", len(d), 9) if h.startswith(b"LICENSE\0") else h, d) for h, d in r.items]
        ).pack(),
    ),
    "another order": ("archive-format", lambda r: Raw([r.items[1], r.items[0], *r.items[2:]]).pack()),
    "data at the end": ("archive-format", lambda r: r.pack() + b"more"),
    "a record at the end": ("archive-format", lambda r: r.pack() + bytes(tarfile.RECORDSIZE)),
    "data after the end mark": ("archive-format", lambda r: r.pack()[:-100] + b"x" * 100),
    "cut in the middle": ("archive-format", lambda r: r.pack()[: len(r.pack()) // 2]),
    "cut before the end mark": (
        "archive-format",
        lambda r: r.pack()[: sum(BLOCK + len(d) + -len(d) % BLOCK for _, d in r.items)],
    ),
    "a filling that is not zero": (
        "archive-format",
        lambda r: (lambda b, at: b[:at] + b"\x01" + b[at + 1 :])(r.pack(), BLOCK + len(r.items[0][1])),
    ),
    "a checksum": ("archive-format", lambda r: r.pack()[:150] + b"7" + r.pack()[151:]),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_archives_that_are_put_together_otherwise_are_found(base: Members, name: str, tmp_path: Path) -> None:
    rule, change = STRUCTURE[name]
    members = seal(base)
    raw = Raw([(tar_header(each, len(members[each]), 0), members[each]) for each in sorted(members)])
    write_tar(tmp_path / "same.tar", members)
    assert (tmp_path / "same.tar").read_bytes() == raw.pack()
    (tmp_path / "a.tar").write_bytes(change(copy.deepcopy(raw)))
    found = failed(tmp_path / "a.tar")
    assert tried(rule in found), found


@pytest.mark.parametrize("forged", [False, True], ids=["plain", "forged"])
def test_a_flipped_bit_in_any_member_is_found(base: Members, forged: bool, tmp_path: Path) -> None:
    rng = random.Random(0)
    for name in sorted(base):
        data = bytearray(base[name])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        members = {**base, name: bytes(data)}
        seals = {each: value for each, value in seal(members if forged else base).items() if each in layout.SEALS}
        write_tar(tmp_path / "a.tar", {**members, **seals})
        found = failed(tmp_path / "a.tar")
        assert tried(bool(found)), name
        assert "manifest-hashes" in found or forged


def test_the_note_in_a_weights_file_is_as_the_kit_writes_it(base: Members) -> None:
    length = int.from_bytes(base[layout.SUPERNET][:8], "little")
    note = json.loads(base[layout.SUPERNET][8 : 8 + length])["__metadata__"]["kit"]
    assert note == canonical(json.loads(note))


def infinite(arrays: dict[str, Any]) -> None:
    arrays["layer1.0.bn1.running_var"][:] = -np.inf


@pytest.mark.filterwarnings("error")
def test_wild_numbers_are_found_without_warnings(base: Members, tmp_path: Path) -> None:
    members = dict(base)
    edit_tensors("calibrated", infinite, strong=True)(members)
    write_tar(tmp_path / "a.tar", seal(members))
    assert {"finite-weights", "onnx-files"} <= set(failed(tmp_path / "a.tar"))
