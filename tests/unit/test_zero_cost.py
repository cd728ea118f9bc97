"""Zero-cost scores against plain formulas on small networks."""

import math
import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kit.costs import costs
from kit.search_space import Scale, SearchSpace, Stem
from kit.supernet import build_subnet
from kit.zero_cost import MEASURED, NAMES, counted
from kit.zero_cost.scores import Setting, grad_norm, naswot, plain_features, score, synflow, zen

SPACE = SearchSpace((3, 4, 5, 6), (1.0, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5), 1, Stem(3, 2, False))
SCALE = Scale(SPACE, 16, 5)
ARCHITECTURE = SPACE.build((2, 3, 2, 2), (1, 2, 1, 1), [(1, 2), (2, 1, 1), (1, 1), (3, 1)])


def network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return build_subnet(ARCHITECTURE, SPACE, 5, generator=generator, zero_init_last=False).train()


def batch(count=6):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 3, 16, 16, generator=generator), torch.randint(5, (count,), generator=generator)


def convolutions(net):
    """Weights and strides of stem and main paths, in order."""
    found = [net.conv1]
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            found += [block.conv1, block.conv2]
    return [(conv.weight, conv.stride[0], conv.padding[0]) for conv in found]


def chain(net, x):
    """Convolution, BN by the batch, ReLU, again and again; and the sum of the logarithms of what BN divided by."""
    logs = 0.0
    for weight, stride, padding in convolutions(net):
        x = F.conv2d(x, weight, stride=stride, padding=padding)
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        logs += 0.5 * math.log(float(x.var((0, 2, 3)).mean()))
        x = ((x - mean) / (variance + 1e-5).sqrt()).relu()
    return x, logs


def test_zen_is_its_formula():
    net, generator = network(), torch.Generator().manual_seed(7)
    value = zen(net, 16, generator, repeats=2)
    generator, expected = torch.Generator().manual_seed(7), 0.0
    with torch.no_grad():
        for _ in range(2):
            for module in network().modules():
                if isinstance(module, torch.nn.Conv2d):
                    torch.empty_like(module.weight).normal_(generator=generator)
            x = torch.randn(16, 3, 16, 16, generator=generator)
            moved = x + 0.01 * torch.randn(x.shape, generator=generator)
        # The network still has the weights of the last repeat, so the last one is checked, and the first by their mean.
        features, logs = chain(net, x)
        torch.testing.assert_close(plain_features(net, x), features, rtol=1e-4, atol=1e-4)
        expected = math.log(float((features - chain(net, moved)[0]).abs().mean())) + logs
    generator = torch.Generator().manual_seed(7)
    first = zen(network(), 16, generator, repeats=1)
    assert value == pytest.approx((first + expected) / 2, rel=1e-4)


def test_naswot_is_its_formula():
    net, (images, _) = network(), batch()
    codes = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, o: codes.append(o.detach().clone()))
        for m in net.modules()
        if isinstance(m, torch.nn.ReLU)
    ]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    active = np.concatenate([(each > 0).flatten(1).numpy() for each in codes], axis=1)
    kernel = np.array([[float((a == b).sum()) for b in active] for a in active])
    assert naswot(network(), images) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-9)


def test_synflow_is_its_formula():
    """The output is linear in each layer's weights: every layer of the chain adds the output itself, shortcuts fewer."""
    net = network()
    value = synflow(net, 16)
    linear = {name: p.detach().double().abs() for name, p in net.named_parameters()}

    def output(weights):
        x = F.relu(F.conv2d(torch.ones(1, 3, 16, 16, dtype=torch.float64), weights["conv1.weight"], stride=2, padding=1))
        for number, stage in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), 1):
            for at, block in enumerate(stage):
                name = f"layer{number}.{at}"
                shortcut = x
                if block.downsample is not None:
                    key = next(k for k in weights if k.startswith(f"{name}.downsample") and weights[k].ndim == 4)
                    shortcut = F.conv2d(x, weights[key], stride=block.stride)
                y = F.relu(F.conv2d(x, weights[f"{name}.conv1.weight"], stride=block.stride, padding=1))
                x = F.relu(F.conv2d(y, weights[f"{name}.conv2.weight"], padding=1) + shortcut)
        return F.linear(x.mean((2, 3)), weights["fc.weight"], weights["fc.bias"]).sum()

    expected, step = 0.0, 1e-6
    for name, weight in linear.items():
        if weight.ndim == 1 and name != "fc.bias":
            continue
        # All weights of one tensor are scaled together: d R(s w) / d s at s = 1 is the sum of weight x gradient.
        high, low = (float(output({**linear, name: weight * scale})) for scale in (1 + step, 1 - step))
        expected += (high - low) / (2 * step)
    assert value == pytest.approx(expected, rel=1e-7)


def test_grad_norm_is_its_formula():
    net, (images, labels) = network(), batch()
    loss = -net(images).log_softmax(1)[range(6), labels].mean()
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    expected = math.sqrt(sum(float((each.double() ** 2).sum()) for each in gradients))
    assert grad_norm(network(), images, labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", MEASURED)
def test_a_score_does_not_depend_on_what_was_scored_before(name):
    images, labels = batch(8)
    setting = Setting(scale=SCALE, seed=1, images=images, labels=labels)
    other = SPACE.sample(random.Random(2))
    first = score(name, ARCHITECTURE, setting)
    assert score(name, other, setting) != first == score(name, ARCHITECTURE, setting) and math.isfinite(first)
    assert score(name, ARCHITECTURE, Setting(scale=SCALE, seed=2, images=images, labels=labels)) != first


def test_counted_scores_are_the_costs():
    codes = [ARCHITECTURE.code, SPACE.largest.code]
    for name in set(NAMES) - set(MEASURED):
        assert counted(name, codes, SCALE) == [getattr(costs(SPACE.parse(code), SCALE), name) for code in codes]
