"""Weights written for Paddle, loaded by Paddle itself into a plain network of its layers: the same logits.

Opt-in, because it downloads hundreds of megabytes into an environment of its own: run pytest with `KIT_PADDLE=1`, or with
`KIT_PADDLE=/path/of/a/python` that has Paddle.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kit.search_space import SLOTS, SearchSpace, Stem
from kit.supernet import ElasticResNet, FewShotSupernet
from kit.supernet.weights import save_weights, sse34_cells

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("KIT_PADDLE" not in os.environ, reason="opt-in: set KIT_PADDLE=1 to install and run Paddle"),
]

SPACE = SearchSpace((6, 8, 12, 16), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1, Stem(3, 2, True))
CLASSES = 5

# The released network's structure and names, from Paddle's own layers; widths and depths are arguments of forward.
SCRIPT = """
import json, sys
import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

job = json.load(open(sys.argv[1]))
bases, slots = job["bases"], job["slots"]

def conv(layer, x, out):
    weight = layer.weight[:out, : x.shape[1]]
    return F.conv2d(x, weight, stride=layer._stride, padding=layer._padding)

def norm(layer, x):
    n = x.shape[1]
    return F.batch_norm(x, layer._mean[:n], layer._variance[:n], layer.weight[:n], layer.bias[:n], training=False)

class Stem(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, bases[0], job["kernel"], stride=job["stride"], padding=job["kernel"] // 2, bias_attr=False)
        self.bn = nn.BatchNorm2D(bases[0])

class Block(nn.Layer):
    def __init__(self, before, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2D(before, width, 3, stride=stride, padding=1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = nn.Conv2D(width, width, 3, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(width)
        if stride == 2:
            shortcut = nn.Conv2D(before, width, 1, stride=2, bias_attr=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2D(width))
        self.strided = stride == 2

    def forward(self, x, mid, out):
        y = norm(self.bn2, conv(self.conv2, F.relu(norm(self.bn1, conv(self.conv1, x, mid))), out))
        return F.relu(y + (norm(self.downsample[1], conv(self.downsample[0], x, out)) if self.strided else x))

class Head(nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(bases[-1], job["classes"])

class Network(nn.Layer):
    def __init__(self):
        super().__init__()
        blocks, before = [Stem()], bases[0]
        for stage, (width, count) in enumerate(zip(bases, slots)):
            for index in range(count):
                blocks.append(Block(before, width, 2 if stage and not index else 1))
                before = width
        self.blocks = nn.LayerList([*blocks, Head()])

    def forward(self, x, stages):
        x = F.relu(norm(self.blocks[0].bn, conv(self.blocks[0].conv, x, stages[0]["out"])))
        x = F.max_pool2d(x, 3, stride=2, padding=1) if job["pool"] else x
        first = 1
        for stage, count in zip(stages, slots):
            for index, mid in enumerate(stage["mids"]):
                x = self.blocks[first + index](x, mid, stage["out"])
            first += count
        x = x.mean(axis=[2, 3])
        fc = self.blocks[first].fc
        return x @ fc.weight[: x.shape[1]] + fc.bias

stored = paddle.load(job["weights"])
images = paddle.to_tensor(np.load(job["images"]))
logits = []
for case in job["cases"]:
    prefix = "" if case["member"] is None else f"split_models.{case['member']}."
    state = {name[len(prefix):]: value for name, value in stored.items() if name.startswith(prefix)}
    network = Network()
    assert sorted(network.state_dict()) == sorted(state), set(network.state_dict()) ^ set(state)
    missing, unexpected = network.set_state_dict(state)
    assert not missing and not unexpected
    network.eval()
    with paddle.no_grad():
        logits.append(network(images, case["stages"]).numpy())
np.save(job["logits"], np.stack(logits))
"""


@pytest.fixture(scope="module")
def paddle_python(tmp_path_factory) -> str:
    """An interpreter that has Paddle: the one that `KIT_PADDLE` names, else a new environment."""
    given = Path(os.environ["KIT_PADDLE"])
    if given.is_absolute():
        return str(given)
    folder = tmp_path_factory.mktemp("paddle")
    python = str(folder / "bin" / "python")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
        command = [python, "-m", "pip", "install", "--quiet", "paddlepaddle"]
        subprocess.run(command, check=True, capture_output=True, timeout=1200)
        subprocess.run([python, "-c", "import paddle"], check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Paddle cannot be installed here: {error}")
    return python


def supernet(seed):
    """Random weights with BN statistics, scales and shifts that matter."""
    generator = torch.Generator().manual_seed(seed)
    network = ElasticResNet(SPACE, CLASSES, generator=generator, zero_init_last=False)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=generator).mul_(0.1)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.3, 0.8, generator=generator)
                module.bias.normal_(generator=generator).mul_(0.1)
    return network.eval()


@pytest.mark.parametrize("few_shot", [False, True])
def test_paddle_computes_the_same_logits(few_shot, paddle_python, kit, tmp_path):
    members = [supernet(seed) for seed in range(5 if few_shot else 1)]
    network = FewShotSupernet(members, sse34_cells(SPACE)) if few_shot else members[0]
    save_weights(network, tmp_path / "net.safetensors")
    exported = tmp_path / "net.pdparams"
    assert (
        kit("weights", "export", str(tmp_path / "net.safetensors"), "--format", "pdparams", "--out", str(exported)).code == 0
    )
    rng = random.Random(1)
    architectures = [SPACE.smallest, SPACE.largest, *(SPACE.sample(rng) for _ in range(8))]
    images = torch.randn(3, 3, 40, 40, generator=torch.Generator().manual_seed(9))
    np.save(tmp_path / "images.npy", images.numpy())
    job = {
        "bases": SPACE.base_channels, "slots": SLOTS, "classes": CLASSES, "kernel": SPACE.stem.kernel,
        "stride": SPACE.stem.stride, "pool": SPACE.stem.pool, "weights": str(exported),
        "images": str(tmp_path / "images.npy"), "logits": str(tmp_path / "logits.npy"),
        "cases": [
            {
                "member": network.cell_of(architecture) if few_shot else None,
                "stages": [{"out": stage.out_channels, "mids": stage.mid_channels} for stage in architecture.stages],
            }
            for architecture in architectures
        ],
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [paddle_python, "-c", SCRIPT, str(tmp_path / "job.json")], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(tmp_path / "logits.npy")
    with torch.no_grad():
        expected = np.stack([network(images, architecture).numpy() for architecture in architectures])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    if few_shot:
        assert len({case["member"] for case in job["cases"]}) > 1
