"""The elastic network, weight import and a training step against values computed by the released code."""

import importlib.util
import pickle
from pathlib import Path as FilePath

import numpy as np
import pytest
import torch

from kit.costs import costs
from kit.search_space import RESNET48, Scale
from kit.supernet import ElasticResNet
from kit.supernet.pdparams import to_paddle
from kit.supernet.weights import export_weights, load_weights
from kit.training import Path, separate_backward

REFERENCE = FilePath(__file__).resolve().parents[2].parent / "shared" / "data" / "reference"

pytestmark = [
    pytest.mark.skipif(not (REFERENCE / "logits.npz").is_file(), reason="the reference values are not here"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def deterministic():
    spec = importlib.util.spec_from_file_location("deterministic_weights", REFERENCE / "deterministic_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=[2, 4])
def pdparams(request, deterministic, tmp_path_factory):
    """The reference weights as Paddle writes them, at both protocols it has used."""
    arrays = deterministic.state_dict("supernet")
    path = tmp_path_factory.mktemp("reference") / "supernet.pdparams"
    bookkeeping = {"StructuredToParameterName@@": {name: f"parameter_{index}" for index, name in enumerate(arrays)}}
    path.write_bytes(pickle.dumps({**arrays, **bookkeeping}, request.param))
    yield path
    path.unlink()


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_logits_of_six_architectures(mode, pdparams, deterministic):
    reference = np.load(REFERENCE / "logits.npz")
    images = torch.from_numpy(deterministic.images())
    net = ElasticResNet(RESNET48)
    load_weights(net, pdparams)
    net.train(mode == "train")
    assert len(reference["codes"]) == 6
    for code, expected in zip(reference["codes"], reference[f"logits_{mode}"], strict=True):
        with torch.no_grad():
            logits = net(images, RESNET48.parse(str(code))).numpy()
        assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max(), code


def test_costs_of_the_same_architectures():
    reference = np.load(REFERENCE / "logits.npz")
    for code, expected_params, expected_macs in zip(*(reference[k] for k in ("codes", "params", "macs_224")), strict=True):
        architecture = RESNET48.parse(str(code))
        found = costs(architecture, Scale(RESNET48, 224, 1000))
        assert (found.params, found.macs) == (expected_params, expected_macs)


def test_export_gives_the_imported_arrays_back(deterministic, tmp_path):
    arrays = deterministic.state_dict("supernet")
    (tmp_path / "in.pdparams").write_bytes(pickle.dumps(arrays, 2))
    net = ElasticResNet(RESNET48)
    load_weights(net, tmp_path / "in.pdparams")
    export_weights(net, tmp_path / "out.pdparams", "pdparams")
    exported = pickle.loads((tmp_path / "out.pdparams").read_bytes(), encoding="latin1")
    assert exported.keys() == arrays.keys()
    for name, array in arrays.items():
        assert exported[name].dtype == array.dtype and np.array_equal(exported[name], array), name


@pytest.fixture(scope="module")
def aps_step(deterministic, tmp_path_factory):
    """One APS step in float64: losses, and per Paddle name the gradient, the change and the statistics afterwards."""
    path = tmp_path_factory.mktemp("aps") / "supernet.pdparams"
    path.write_bytes(pickle.dumps(deterministic.state_dict("supernet"), 4))
    net = ElasticResNet(RESNET48).double()
    load_weights(net, path)
    path.unlink()
    net.train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1 - float(np.float32(0.9))  # Paddle keeps the momentum in float32 even here
    generator = np.random.Generator(np.random.PCG64(3000))
    images = torch.from_numpy(generator.standard_normal((8, 3, 64, 64)).astype(np.float32)).double()
    labels = torch.from_numpy(generator.integers(0, 1000, 8))
    codes = np.load(REFERENCE / "aps_step.npz")["aps_archs_0"]
    paths = [Path(RESNET48.parse(f"1{code}")) for code in codes]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    losses = separate_backward(net, images, labels, paths)
    # The four paths together use every parameter, so none is None.
    gradients = {name: value.grad for name, value in net.named_parameters()}
    torch.optim.SGD(net.parameters(), lr=0.008, momentum=0.9, weight_decay=3e-5).step()
    after = net.state_dict()
    return {
        "losses": losses.tolist(),
        "gradients": to_paddle({k: g.numpy() for k, g in gradients.items()}),
        "changes": to_paddle({k: (after[k] - before[k]).numpy() for k in gradients}),
        "statistics": to_paddle({k: v.numpy() for k, v in after.items() if "running" in k}),
        "statistics_before": to_paddle({k: v.numpy() for k, v in before.items() if "running" in k}),
    }


@pytest.fixture(scope="module")
def reference():
    return np.load(REFERENCE / "aps_step.npz")


def test_losses_of_an_aps_step(aps_step, reference):
    assert aps_step["losses"] == pytest.approx(reference["aps_ce_0"].tolist(), rel=1e-9)


def test_gradients_of_an_aps_step(aps_step, reference):
    names = [str(name) for name in reference["param_names"]]
    assert set(names) == set(aps_step["gradients"])
    for name, norm, total in zip(names, reference["aps_grad_norm_0"], reference["aps_grad_sum_0"], strict=True):
        gradient = aps_step["gradients"][name]
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-7), name
        assert gradient.sum() == pytest.approx(total, abs=1e-7 * norm * gradient.size**0.5), name


def test_changes_of_an_aps_step(aps_step, reference):
    for name, expected in zip(reference["param_names"], reference["aps_delta_0"], strict=True):
        change = np.linalg.norm(aps_step["changes"][str(name)])
        assert change == pytest.approx(expected, rel=1e-5), name


def test_statistics_after_an_aps_step(aps_step, reference):
    moved = 0
    for name, expected in zip(map(str, reference["stat_names"]), reference["aps_stat_norm_0"], strict=True):
        found = np.linalg.norm(aps_step["statistics"][name])
        # Paddle's running variance takes the biased batch variance: apart by 1/n, n = 8 images of 2 x 2 pixels in stage 4.
        assert found == pytest.approx(expected, rel=1e-9 if name.endswith("_mean") else 0.02), name
        moved += not np.array_equal(aps_step["statistics"][name], aps_step["statistics_before"][name])
    assert moved == len(reference["stat_names"])
