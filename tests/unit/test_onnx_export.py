"""Exported graphs compute what the networks compute, hold nothing else, and come out the same bytes each time."""

import hashlib
import random
import re
import subprocess
import sys

import onnx
import pytest
import torch
from torch import nn

from kit.errors import StorageError
from kit.search_space import RESNET48, Scale, SearchSpace, Stem
from kit.submission.onnx_export import check_graph, check_parity, export_onnx, fold_batch_norms, open_session
from kit.supernet import ElasticResNet, extract_subnet
from kit.supernet.calibration import calibrate

SPACE = SearchSpace((8, 8, 12, 16), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, False))
CLASSES, RESOLUTION = 5, 16


def noise(count, seed, size=RESOLUTION):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def calibrated(architecture, space=SPACE, classes=CLASSES, size=RESOLUTION):
    supernet = ElasticResNet(space, classes, generator=torch.Generator().manual_seed(0), zero_init_last=False)
    network = extract_subnet(supernet, architecture)
    calibrate(network, [noise(16, 1, size) * 3 + 1, noise(16, 2, size)])
    with torch.no_grad():  # scale and shift that matter
        for number, module in enumerate(network.modules()):
            if isinstance(module, nn.BatchNorm2d):
                generator = torch.Generator().manual_seed(number)
                module.weight.copy_(0.2 + torch.rand(module.num_features, generator=generator) / 2)
                module.bias.copy_(torch.randn(module.num_features, generator=generator) / 3)
    return network


@pytest.fixture(scope="module")
def architecture():
    return SPACE.sample(random.Random(5))


@pytest.fixture(scope="module")
def exported(architecture):
    return export_onnx(calibrated(architecture), resolution=RESOLUTION, metadata={"code": architecture.code, "a": "b"})


def check(data, architecture, space=SPACE, resolution=RESOLUTION, classes=CLASSES):
    check_graph(data, architecture, Scale(space, resolution, classes))


@pytest.mark.parametrize("choice", ["smallest", "largest"])
def test_onnx_runtime_computes_what_torch_computes_at_any_batch_size(choice):
    architecture = getattr(SPACE, choice)
    network = calibrated(architecture)
    data = export_onnx(network, resolution=RESOLUTION, metadata={})
    session = open_session(data)
    for count in (1, 2, 7, 33):
        pixels = noise(count, count)
        (logits,) = session.run(["logits"], {"images": pixels.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(logits), network(pixels), atol=1e-4, rtol=0)
    assert check_parity(data, network, noise(21, 3)) <= 1e-4


def test_folding_keeps_the_function_and_leaves_no_batch_norm(architecture):
    network = calibrated(architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(noise(4, 1)), network(noise(4, 1)), atol=1e-5, rtol=1e-5)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"folding changed {name} of the network itself"


def test_the_file_holds_the_network_and_nothing_else(exported, architecture, checkout):
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"code": architecture.code, "a": "b"}
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["logits"]
    batch, *rest = model.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param and [dim.dim_value for dim in rest] == [3, RESOLUTION, RESOLUTION]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert not model.functions and not model.doc_string and not model.graph.doc_string
    assert not model.graph.metadata_props
    for node in model.graph.node:
        assert not node.doc_string and not node.metadata_props
    for tensor in model.graph.initializer:
        assert not tensor.metadata_props and not tensor.external_data and tensor.data_location == onnx.TensorProto.DEFAULT
    for word in (str(checkout).encode(), b"site-packages", b".py", b"torch", b"/home/", b"aten", b"Traceback"):
        assert word not in exported
    assert not re.search(rb"/[a-z]+/[a-z]+/", exported)


def test_weights_keep_timms_names(exported, architecture):
    floats = {
        tensor.name
        for tensor in onnx.load_from_string(exported).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    network = calibrated(architecture)
    layers = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert floats == {f"{name}.{part}" for name in layers for part in ("weight", "bias")}


def test_the_same_network_gives_the_same_bytes(exported, architecture):
    metadata = {"a": "b", "code": architecture.code}
    assert export_onnx(calibrated(architecture), resolution=RESOLUTION, metadata=metadata) == exported


@pytest.mark.slow
def test_another_process_gives_the_same_bytes_and_keeps_no_records(exported, architecture, checkout, tmp_path):
    script = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:3]\n"
        "import test_onnx_export as t\n"
        "t.torch.set_num_threads(int(sys.argv[4]))\n"
        "a = t.SPACE.parse(sys.argv[3])\n"
        "network = t.calibrated(a)\n"
        "data = t.export_onnx(network, resolution=t.RESOLUTION, metadata={'code': a.code, 'a': 'b'})\n"
        "t.check_parity(data, network, t.noise(7, 1))\n"
        "print(hashlib.sha256(data).hexdigest())\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    arguments = [str(checkout), str(checkout / "tests" / "unit"), architecture.code, str(torch.get_num_threads())]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.split()[-1] == hashlib.sha256(exported).hexdigest()
    assert not list(home.rglob("*")), "something keeps records about the user"


def test_a_graph_is_compared_with_its_architecture(exported, architecture):
    check(exported, architecture)
    other = next(a for a in (SPACE.sample(random.Random(seed)) for seed in range(6, 99)) if a.depths != architecture.depths)
    with pytest.raises(StorageError, match="convolutions"):
        check(exported, other)
    same_depths = SPACE.build(architecture.depths, (7,) * 4, [(7,) * depth for depth in architecture.depths])
    with pytest.raises(StorageError, match="multiply-adds"):
        check(exported, same_depths)
    with pytest.raises(StorageError, match="parameters"):
        check(exported, architecture, classes=CLASSES + 1)
    with pytest.raises(StorageError, match="multiply-adds"):
        check(exported, architecture, resolution=2 * RESOLUTION)


@pytest.mark.parametrize("change", [1e-2, float("nan")])
def test_a_graph_that_computes_something_else_is_refused(exported, architecture, change):
    network = calibrated(architecture)
    with torch.no_grad():
        network.fc.bias[0] += change
    with pytest.raises(StorageError, match="disagree at batch 1"):
        check_parity(exported, network, noise(14, 4))


def test_equal_logits_of_another_class_are_refused(exported, architecture):
    network = calibrated(architecture)
    pixels = noise(7, 4)
    with torch.no_grad():
        logits = network(pixels)
        first, second = logits[0].topk(2).indices
        # Within the tolerance of every logit, and yet another class wins for the first image.
        network.fc.bias[second] += logits[0, first] - logits[0, second]
        shifted = export_onnx(network, resolution=RESOLUTION, metadata={})
        network.fc.bias[second] += 3e-5
        network.fc.bias[first] -= 3e-5
        assert network(pixels)[0].argmax() == second
    session = open_session(shifted)
    if session.run(["logits"], {"images": pixels[:1].numpy()})[0].argmax() == int(second):
        pytest.skip("the tie fell on the same side")
    with pytest.raises(StorageError, match="classes NOT equal"):
        check_parity(shifted, network, pixels)


@pytest.mark.slow
def test_the_challenges_networks_export_with_their_stem():
    architecture = RESNET48.smallest
    network = calibrated(architecture, RESNET48, classes=20, size=64)
    data = export_onnx(network, resolution=64, metadata={})
    check(data, architecture, RESNET48, resolution=64, classes=20)
    assert check_parity(data, network, noise(7, 1, 64)) <= 1e-4
    assert "MaxPool" in {node.op_type for node in onnx.load_from_string(data).graph.node}
