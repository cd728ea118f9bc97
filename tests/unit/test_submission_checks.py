"""What the checks are made of agrees with torch, onnx and XML, and no archive makes the checker itself fail."""

import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from synthetic_archive import ENVIRONMENT, data_members, failed_rules, make_events, synthetic, whole

from kit import __version__
from kit.errors import InputError, StorageError
from kit.events import EvaluationFinished, Note, RunStarted, RunStopped, from_line, to_line
from kit.files import write_json
from kit.rank_report import TRUTH_HASH
from kit.ranking.truth_file import shipped_truths
from kit.recipe import load_profile
from kit.submission import layout
from kit.submission.archive import write_archive, write_tar
from kit.submission.checks import CheckReport, check_archive
from kit.submission.checks.registry import Level, select_rules
from kit.submission.checks.schemas import Manifest
from kit.submission.derived import derived_members
from kit.submission.members import LocalMembers, hashes
from kit.submission.onnx_file import read_numbers, read_onnx
from kit.submission.private_facts import clean_data_spec, clean_environment, clean_events, clean_resolved, find_private
from kit.submission.sbom import make_sbom
from kit.submission.tensors import expected_shapes, folded, supernet_shapes

RULE_IDS = [rule.id for rule in select_rules(None, ())]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = [
    name for name in (*layout.DATA, layout.RANK, layout.SBOM, layout.MANIFEST) if name.endswith((".json", ".jsonl"))
]


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return whole(data_members(synthetic(size=60)))


@pytest.fixture(scope="module")
def packed(members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "small.tar"
    write_archive(path, members)
    return path


@pytest.fixture(scope="module")
def report(packed: Path) -> CheckReport:
    return check_archive(packed)


# The report


def test_every_rule_is_reported_once_when_it_holds(report: CheckReport) -> None:
    document = json.loads(json.dumps(report.to_json()))
    assert document["ok"] is True
    assert [check["id"] for check in document["checks"]] == RULE_IDS
    for check in document["checks"]:
        assert list(check) == ["id", "level", "ok", "file", "message", "fix"]
        assert check["level"] in get_args(Level)
        assert check["message"] and check["fix"] and check["id"] == check["id"].lower()


def test_a_skipped_rule_is_not_reported(packed: Path) -> None:
    found = check_archive(packed, skip=("documents", "figures"))
    assert {"documents", "figures"} == set(RULE_IDS) - {check.id for check in found.checks}


def test_unknown_rules_and_versions_are_usage_errors(packed: Path) -> None:
    with pytest.raises(InputError, match="documets") as unknown:
        check_archive(packed, skip=("documets",))
    assert "documents" in str(unknown.value.hint)
    with pytest.raises(InputError, match="no rules '0'"):
        check_archive(packed, rules="0")
    assert check_archive(packed, rules="1").ok


def test_an_archive_of_another_version_passes_with_a_warning(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other version wrote from templates is not compared, everything else is."""
    for module in ("origin", "contents"):
        monkeypatch.setattr(f"kit.submission.checks.{module}.__version__", "99.0")
    found = check_archive(packed)
    assert found.ok
    assert failed_rules(found) == ["kit-version"]


@pytest.fixture
def old_archive(tmp_path: Path) -> Path:
    """As kit 0.1.0 wrote it: other documents and pictures, fewer fields in events, no hash of the truth in the rank."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("kit", "synthetic_archive"):
            patch.setattr(f"{module}.__version__", "0.1.0")
        data = data_members(synthetic(size=60))
        rows = [json.loads(line) for line in data[layout.EVENTS].splitlines()]
        rank = json.loads(data[layout.RANK])
        for row in (*rows, *(row["report"] for row in rows if "report" in row), rank):
            row.pop("run_kind", None)
            row.pop(TRUTH_HASH, None)
        data[layout.EVENTS] = b"".join(map(layout.dump_line, rows))
        data[layout.RANK] = layout.dump_json(layout.RANK, rank)
        data[f"{layout.FIGURES}rank.svg"] = (
            b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>as then</title></svg>\n'
        )
        documents = {name: b"as kit 0.1.0 wrote it\n" for name in layout.DERIVED}
        bill = make_sbom(ENVIRONMENT, {"a": "0" * 64}, kit="0.1.0") | {"version": 0}
        write_archive(tmp_path / "old.tar", {**data, **documents, layout.SBOM: layout.dump_json(layout.SBOM, bill)})
    return tmp_path / "old.tar"


def test_an_archive_of_the_first_version_passes_with_a_warning(old_archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check_archive(old_archive)
    assert found.ok and failed_rules(found) == ["kit-version"]
    # Not even another truth changes that: its rank does not say which one it was measured against.
    other = old_archive.with_name("nano.json")
    truth = json.loads(shipped_truths()["nano"].read_bytes())
    write_json(other, {**truth, "architectures": truth["architectures"][::-1][:20]})
    monkeypatch.setattr("kit.ranking.truth_file.shipped_truths", lambda: {"nano": other})
    assert failed_rules(check_archive(old_archive)) == ["kit-version"]


def test_an_archive_built_now_of_a_run_and_exports_of_the_first_version_passes(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthetic_archive.__version__", "0.1.0")
        data = data_members(synthetic(size=60))
    write_archive(tmp_path / "a.tar", whole(data))
    assert failed_rules(check_archive(tmp_path / "a.tar")) == []


def test_a_rank_is_measured_again_against_the_truth_that_it_names_only(
    members: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An archive of another version with the hash of our truth, and a changed figure in rank and log alike."""
    rank = json.loads(members[layout.RANK])
    rank["kendall"]["value"] += 1e-3
    rows = [json.loads(line) for line in members[layout.EVENTS].splitlines()]
    changed = [row | ({"report": rank} if "report" in row else {}) for row in rows]
    data = {
        **members,
        layout.RANK: layout.dump_json(layout.RANK, rank),
        layout.EVENTS: b"".join(map(layout.dump_line, changed)),
    }
    write_archive(tmp_path / "a.tar", data)
    for module in ("origin", "contents"):
        monkeypatch.setattr(f"kit.submission.checks.{module}.__version__", "99.0")
    assert failed_rules(check_archive(tmp_path / "a.tar")) == ["rank", "kit-version"]
    monkeypatch.setattr("kit.submission.checks.origin.sha256_of_file", lambda path: "0" * 64)
    assert failed_rules(check_archive(tmp_path / "a.tar")) == ["kit-version"]


def test_a_rank_against_a_truth_of_other_data_is_found(tmp_path: Path) -> None:
    """An error where this version measured it, which it would not do; a warning where an older one did."""
    other = {"data_source": "0" * 64}
    for version, expected in ((__version__, ["rank"]), ("0.1.0", ["rank-truth"])):
        data = whole(data_members(synthetic(size=60), kit=version, **other))
        assert b"Do not trust these figures: the truth nano.json was made with other data" in data[layout.README]
        write_archive(tmp_path / "a.tar", data)
        assert failed_rules(check_archive(tmp_path / "a.tar")) == expected


def test_an_archive_without_a_rank_says_why(tmp_path: Path) -> None:
    data = data_members(synthetic(size=60), data_source="0" * 64)
    rows = [json.loads(line) for line in data[layout.EVENTS].splitlines()]
    data[layout.EVENTS] = b"".join(layout.dump_line(row) for row in rows if row["kind"] != "RankMeasured")
    del data[layout.RANK]
    members = whole(data)
    assert b"It was not ranked: the truth nano.json was made with other data" in members[layout.README]
    write_archive(tmp_path / "a.tar", members)
    assert failed_rules(check_archive(tmp_path / "a.tar")) == []


def test_figures_are_drawn_again_by_the_version_that_drew_them_only(
    members: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = f"{layout.FIGURES}rank.svg"
    other = {
        **members,
        path: re.sub(rb"<desc>matplotlib [^<]*", b"<desc>matplotlib 3.0.1", members[path]).replace(b"h0", b"h1"),
    }
    write_archive(
        tmp_path / "a.tar", {**other, **derived_members({k: v for k, v in other.items() if k not in layout.DERIVED})}
    )
    found = check_archive(tmp_path / "a.tar")
    assert found.ok and failed_rules(found) == ["figures-version"]
    monkeypatch.setattr("kit.submission.checks.origin.drawing_version", lambda: "3.0.1")
    assert failed_rules(check_archive(tmp_path / "a.tar")) == ["figures", "figures-version"]


def test_the_layout_in_prose_lists_every_rule_and_member(checkout: Path) -> None:
    text = (checkout / "submission" / "LAYOUT.md").read_text()
    for rule in select_rules(None, ()):
        assert f"| `{rule.id}`" in text and rule.holds in text
    for name in (*layout.REQUIRED, *layout.OPTIONAL):
        assert f"`{name}`" in text, name


def test_the_manifest_schema_says_what_the_checker_demands(checkout: Path) -> None:
    schema = json.loads((checkout / "submission" / "manifest.schema.json").read_text())
    row = schema["properties"]["files"]["items"]
    assert list(schema["properties"]) == schema["required"] == list(Manifest.model_fields)
    assert set(row["properties"]["role"]["enum"]) == {*layout.ROLES.values(), *layout.PATTERNS}
    assert row["required"] == list(layout.make_manifest({}, {"LICENSE": (1, "")})["files"][0])
    assert schema["properties"]["rules"]["const"] == layout.RULES_VERSION
    assert schema["properties"]["format"]["const"] == layout.FORMAT


def test_checking_imports_neither_torch_nor_a_runtime(packed: Path) -> None:
    script = (
        f"import sys; from pathlib import Path; from kit.submission.checks import check_archive\n"
        f"assert check_archive(Path({str(packed)!r}), skip=['figures']).ok\n"
        "print(*sorted({'torch', 'matplotlib', 'timm', 'onnxruntime', 'onnxscript', 'pickle5'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_json_says_the_checker_finds_it_and_never_fails(
    members: dict[str, bytes], data: st.DataObject, tmp_path: Path
) -> None:
    """A sealed archive with one value of one document replaced by anything."""
    name = data.draw(st.sampled_from(DOCUMENTS))
    sealed = seal(members)
    lines = sealed[name].splitlines() if name.endswith(".jsonl") else [sealed[name]]
    at = data.draw(st.integers(0, len(lines) - 1))
    value = replace_somewhere(json.loads(lines[at]), data)
    if name.endswith(".jsonl"):
        lines[at] = layout.dump_line(value).rstrip(b"\n")
        changed = b"\n".join(lines) + b"\n"
    else:
        changed = layout.dump_json(name, value)
    if changed == sealed[name]:
        return
    write_tar(tmp_path / "a.tar", seal({**members, name: changed}) if name != layout.MANIFEST else {**sealed, name: changed})
    found = check_archive(tmp_path / "a.tar")
    assert not found.ok
    json.dumps(found.to_json(), allow_nan=False)


def seal(members: dict[str, bytes]) -> dict[str, bytes]:
    local = LocalMembers({name: data for name, data in members.items() if name not in layout.SEALS})
    facts = {"kit": __version__, "run": "small-nano-s0", "recipe": "small", "profile": "nano"}
    manifest = layout.dump_json(layout.MANIFEST, layout.make_manifest(facts, hashes(local, local.names())))
    sealed = LocalMembers({**members, layout.MANIFEST: manifest})
    sums = {name: sealed.sha256(name) for name in sealed.names() if name != layout.SUMS}
    return {**members, layout.MANIFEST: manifest, layout.SUMS: layout.dump_sums(sums)}


def replace_somewhere(value: Any, data: st.DataObject) -> Any:
    """The value with one value inside it, at any depth, replaced, removed or added."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: replace_somewhere(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], replace_somewhere(value[at], data), *value[at + 1 :]]
    return data.draw(JSON_VALUES)


# Agreement with torch, timm and onnx


@pytest.mark.parametrize("profile", ["nano", "imagenet"])
def test_expected_shapes_are_those_of_the_networks(profile: str) -> None:
    from kit.supernet import ElasticResNet, FewShotSupernet
    from kit.supernet.subnet import build_subnet
    from kit.supernet.weights import sse34_cells

    chosen = load_profile(profile)
    space, classes = chosen.search_space, chosen.num_classes
    net = ElasticResNet(space, classes)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == supernet_shapes(space, classes, 0)
    if profile == "nano":
        several = FewShotSupernet.from_supernet(net, sse34_cells(space))
        assert {name: tuple(value.shape) for name, value in several.state_dict().items()} == supernet_shapes(
            space, classes, 5
        )
    for seed in range(3):
        architecture = chosen.published_space.sample(random.Random(seed))
        found = build_subnet(architecture, space, classes).state_dict()
        assert {name: tuple(value.shape) for name, value in found.items()} == expected_shapes(architecture, space, classes)


def test_folding_keeps_what_a_network_computes() -> None:
    """Every folded convolution in torch gives what convolution and batch norm give."""
    import torch
    from torch.nn import functional as F

    from kit.supernet.subnet import build_subnet

    profile = load_profile("nano")
    architecture = profile.published_space.sample(random.Random(5))
    net = build_subnet(architecture, profile.search_space, profile.num_classes).eval()
    rng = torch.Generator().manual_seed(0)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=rng) + 0.1)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    modules = dict(net.named_modules())
    pairs = 0
    for name, weight, bias in folded(weights.__getitem__, architecture, profile.search_space, profile.num_classes):
        if name == "fc":
            assert np.array_equal(weight, weights["fc.weight"]) and np.array_equal(bias, weights["fc.bias"])
            continue
        norm = modules[name.replace("downsample.0", "downsample.1") if "downsample" in name else name.replace("conv", "bn")]
        x = torch.rand(2, weight.shape[1], 5, 5, generator=rng)
        expected = norm(modules[name](x))
        conv = modules[name]
        found = F.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), conv.stride, conv.padding)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        pairs += 1
    assert pairs == sum(2 * depth for depth in architecture.depths) + 4


def test_onnx_files_are_read_as_onnx_reads_them(members: dict[str, bytes], tmp_path: Path) -> None:
    for name in (name for name in members if name.endswith(".onnx")):
        (tmp_path / "a.onnx").write_bytes(members[name])
        model = onnx.load_from_string(members[name])
        with (tmp_path / "a.onnx").open("rb") as file:
            found = read_onnx(file, len(members[name]), name)
            for ours, theirs in ((found.model, model), (found.graph, model.graph)):
                for descriptor, value in ours.ListFields():
                    assert value == getattr(theirs, descriptor.name)
            assert found.metadata == [(each.key, each.value) for each in model.metadata_props]
            assert (found.inputs, found.outputs) == ({"images": ["batch", 3, 8, 8]}, {"logits": ["batch", 10]})
            assert set(found.texts) >= {each.name for each in (*model.graph.node, *model.graph.initializer)}
            for ours, theirs in zip(found.initializers, model.graph.initializer, strict=True):
                assert ours.name == theirs.name
                assert np.array_equal(read_numbers(file, ours), onnx.numpy_helper.to_array(theirs))


@given(data=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_no_onnx_file_are_an_error_for_users(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(data)
    with (tmp_path / "a.onnx").open("rb") as file, pytest.raises(StorageError):
        read_onnx(file, len(data), "a.onnx")


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_onnx_file_is_read_or_an_error_for_users(members: dict[str, bytes], data: st.DataObject) -> None:
    model = bytearray(next(value for name, value in members.items() if name.endswith(".onnx")))
    # The graph's nodes come first, then the weights, then metadata: most numbers are weights, where nothing can go wrong.
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 4000) | st.integers(len(model) - 400, len(model) - 1))
        model[at] = data.draw(st.integers(0, 255))
    try:
        found = read_onnx(io.BytesIO(model), len(model), "a.onnx")
        for tensor in found.initializers:
            read_numbers(io.BytesIO(model), tensor)
    except StorageError as error:
        assert str(error).startswith("a.onnx is no valid ONNX file: ")


def with_field(number: int) -> Callable[[onnx.ModelProto], bytes]:
    return lambda model: model.SerializeToString() + bytes([number << 3 & 127 | 2 | 128, number >> 4]) + b"\x01x"


REFUSED: dict[str, tuple[str, Callable[[onnx.ModelProto], bytes | None]]] = {
    "a field that ONNX does not have": ("fields that ONNX does not have", with_field(90)),
    "two graphs": ("no graph with weights", lambda m: m.SerializeToString() * 2),
    "no weights": ("no graph with weights", lambda m: m.graph.ClearField("initializer")),
    "sparse weights": ("sparse_initializer", lambda m: m.graph.sparse_initializer.add() and None),
    "a graph in a node": ("AttributeProto has g", lambda m: m.graph.node[0].attribute.add(name="x").g.SetInParent()),
    "a tensor in a node": ("AttributeProto has t", lambda m: m.graph.node[0].attribute.add(name="x").t.SetInParent()),
    "numbers that are no bytes": ("float_data", lambda m: m.graph.initializer[0].float_data.append(1.0)),
    "a comment of 2 MB": ("bytes besides its weights", lambda m: setattr(m, "doc_string", "x" * 2_000_000)),
    "a comment of 2 MB at a tensor": (
        "bytes besides",
        lambda m: setattr(m.graph.initializer[0], "doc_string", "x" * 2_000_000),
    ),
    "a thousand weights": ("more than 1000 tensors", lambda m: [m.graph.initializer.add() for _ in range(1000)] and None),
    "a name that is no text": (
        "is no UTF-8",
        lambda m: m.SerializeToString().replace(b"conv1.weight", b"conv1.weigh\xff"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_onnx_file_with_more_than_a_network_is_refused(members: dict[str, bytes], name: str) -> None:
    message, change = REFUSED[name]
    model = onnx.load_from_string(next(value for name, value in members.items() if name.endswith(".onnx")))
    data = change(model) or model.SerializeToString()
    with pytest.raises(StorageError, match=message):
        read_onnx(io.BytesIO(data), len(data), "a.onnx")


# Provenance


def test_cleaned_events_are_events_without_places_and_cleaning_again_changes_nothing() -> None:
    source = synthetic(size=40)
    lines = [to_line(event) for event in make_events(source, None)]
    lines += [to_line(Note(message="reading /home/bob/data/x.npy again")), '{"kind": "Torn', '{"kind": "Newer", "time": 1}']
    lines += [to_line(RunStopped(run="x", reason="cannot write /mnt/disk 1/a: No space left", exit_code=3))]
    cleaned = list(clean_events(lines))
    assert list(clean_events(cleaned)) == cleaned
    events = [from_line(line.decode()) for line in cleaned]
    assert len(events) == len(lines) - 2
    assert [event.pid for event in events if isinstance(event, RunStarted)] == [0]
    assert [event.predictions for event in events if isinstance(event, EvaluationFinished)] == ["predictions.json"]
    text = b"".join(cleaned).decode()
    assert "bob" not in text and "/mnt" not in text and not list(find_private(text))


def test_cleaned_documents_keep_versions_and_names_only() -> None:
    found = clean_environment({**ENVIRONMENT, "user": "bob", "host": "node1", "cwd": "/home/bob"})
    assert found == ENVIRONMENT
    inputs = {"data": "torch/fashion_mnist:/usr/share/x", "pool": "/home/bob/pool.json.gz", "weights": None, "more": 1}
    resolved = clean_resolved({"kind": "recipe", "seed": 3, "inputs": inputs, "host": "node1"})
    assert resolved == {
        "kind": "recipe",
        "seed": 3,
        "inputs": {"data": "torch/fashion_mnist", "pool": "pool.json.gz", "weights": None},
    }
    assert [clean_data_spec(spec) for spec in ("digits", "folder:/x", "hfds/a/b:/y")] == ["digits", "folder", "hfds/a/b"]


@pytest.mark.parametrize(
    "text",
    [
        "see /home/bob/x",
        '"folder:/data/imagenet"',
        "C:\\Users\\bob",
        "~/runs",
        "~bob/runs",
        'x="/root"',
        "/tmp",
        "\\\\server\\share",
        "bob@host1",
        "mail bob.b@example.org now",
        "ssh 192.168.0.7",
        "10.1.2.3:22",
        "node7.cluster.local",
        '"hostname": "x"',
        '"user": "x"',
        "USER=bob",
        "password = hunter22",
        'api_key: "abcdef"',
        "ghp_" + "a" * 36,
        "AKIA" + "A" * 16,
        "-----BEGIN RSA PRIVATE KEY-----",
        "hf_" + "b" * 34,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.x",
    ],
)
def test_private_words_are_found(text: str) -> None:
    assert list(find_private(f"before\n{text}\nafter"))


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env python",
        "2>/dev/null",
        "http://www.apache.org/licenses/LICENSE-2.0",
        "a/b/c and/or",
        "torch/fashion_mnist",
        "1448423212321200113121310011514131415151217313237300",
        "0.8727272727272727",
        "2.14.1+cpu",
        "pkg:pypi/torch@2.14.1",
        "10 / 20",
        "the key of a token is no secret",
        "weights/calibrated/x.safetensors",
        '"localhosts": 1',
        "1 / 2 users",
    ],
)
def test_other_words_are_not_private(text: str) -> None:
    assert not list(find_private(f"before\n{text}\nafter"))


def test_the_bill_of_materials_is_a_function_of_its_arguments() -> None:
    files = {"b.onnx": "1" * 64, "a.json": "0" * 64}
    bill = make_sbom(ENVIRONMENT, files, kit="0.1.0")
    assert bill == make_sbom(dict(reversed(ENVIRONMENT.items())), dict(reversed(files.items())), kit="0.1.0")
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(set(references)) == len(references) == len(files) + len(ENVIRONMENT["packages"])
    assert set(bill["dependencies"][0]["dependsOn"]) <= set(references)
    assert "pkg:pypi/torch@2.14.1%2Bcpu" in references
    assert "time" not in json.dumps(bill) and "serial" not in json.dumps(bill)
