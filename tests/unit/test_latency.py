"""Latency tables: which blocks networks consist of, what a sum is, and what runs when they are measured."""

import random
from zlib import crc32

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.resnet import BasicBlock

from kit.benchmark.latency import drawn, fitted
from kit.benchmark.latency_backends import BACKENDS, block_graph, torch_block
from kit.costs import costs
from kit.errors import InputError
from kit.latency_table import (
    HEAD,
    RESIDUAL,
    STEM,
    BlockTime,
    Correction,
    LatencyTable,
    NetworkTime,
    all_blocks,
    blocks_of,
    read_latency,
    write_latency,
)
from kit.recipe import load_profile
from kit.search_space import PUBLISHED, RESNET48, Scale, SearchSpace, Stem
from kit.submission.onnx_export import open_session
from kit.supernet.subnet import build_subnet

TINY = Scale(
    SearchSpace(base_channels=(4, 6, 8, 10), ratios=(1.0, 0.8, 0.5), divisor=1, stem=Stem(3, 1, False), max_digits=(3,) * 4),
    16,
    5,
)
LARGE = Scale(RESNET48, 224, 1000)
SEEDS = st.integers(0, 10_000)


def table_of(scale, time=lambda block: block.out_channels / 7, **changes):
    blocks = {block.key: BlockTime(ms=time(block), low=time(block), high=time(block)) for block in all_blocks(scale)}
    values = {
        "format": 1,
        "profile": "tiny",
        "space": scale.space.to_json(),
        "resolution": scale.resolution,
        "classes": scale.num_classes,
        "device": "this one",
        "backend": "torch",
        "threads": 1,
        "batch": 1,
        "versions": {},
        "repeats": 3,
        "seconds": 1.0,
        "spread": 0.1,
        "other_cores": 0.0,
        "doubts": "",
        "pearson": 0.99,
        "mean_absolute_error_percent": 2.0,
        "networks": (NetworkTime(code=scale.space.largest.code, measured_ms=1.0, sum_ms=1.0),),
        "correction": Correction(factor=1.0, per_block_ms=0.0),
        "blocks": blocks,
    }
    return LatencyTable(**(values | changes))


@pytest.mark.parametrize("scale", [TINY, LARGE, load_profile("nano").scale])
@given(SEEDS)
@settings(max_examples=25)
def test_blocks_are_the_layers_of_a_network(scale, seed):
    architecture = scale.space.whole.sample(random.Random(seed))
    blocks = list(blocks_of(architecture, scale))
    assert [block.kind for block in blocks] == [STEM, *[RESIDUAL] * sum(architecture.depths), HEAD]
    macs = sum(sum(torch_macs(block, scale)) for block in blocks)
    assert macs == costs(architecture, scale).macs
    assert set(blocks) <= set(all_blocks(scale))


def torch_macs(block, scale):
    """Multiply-adds of the module that stands for a block, found by running it on no memory."""
    with torch.device("meta"):
        module, x = torch_block(block, scale), torch.empty(1, block.in_channels, block.size, block.size)
    found = []
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(lambda own, _, out: found.append(own.weight.numel() * out[0, 0].numel()))
    module.eval()(x)
    return found


def test_every_distinct_block_is_named_once():
    blocks = all_blocks(LARGE)
    assert len({block.key for block in blocks}) == len(blocks)
    # Stems and heads, inner blocks of four stages, first blocks of three; fewer where two digits mean the same channels.
    assert len(blocks) <= 7 + 7 + 4 * 7**2 + 3 * 7**3
    largest = list(blocks_of(RESNET48.largest, LARGE))
    assert largest[0].key == "stem 3-64 @224 /2" and largest[-1].key == "head 512-1000 @7"
    assert largest[6].key == "block 64-128-128 @56 /2"


@given(SEEDS)
@settings(max_examples=20)
def test_a_pool_is_priced_as_each_of_its_codes(seed):
    rng = random.Random(seed)
    table = table_of(
        TINY, lambda block: 0.1 + crc32(block.key.encode()) % 5 / 3, correction=Correction(factor=0.9, per_block_ms=0.2)
    )
    architectures = [TINY.space.whole.sample(rng) for _ in range(5)]
    together = table.pool_milliseconds([each.code for each in architectures])
    assert together == pytest.approx([table.milliseconds(each) for each in architectures], rel=1e-12)


def test_a_correction_is_found_again():
    rng = np.random.default_rng(0)
    blocks = [rng.uniform(1, 2, size=int(count)).tolist() for count in rng.integers(10, 25, size=12)]
    measured = [0.9 * sum(own) - 0.3 * len(own) for own in blocks]
    found = fitted(blocks, measured)
    assert (found.factor, found.per_block_ms) == pytest.approx((0.9, -0.3))


@pytest.mark.parametrize("name", list(BACKENDS))
def test_what_is_measured_is_a_network(name):
    runner = BACKENDS[name](TINY, 2, 1)
    [architecture] = drawn(TINY, 1)
    assert np.asarray(runner.network(architecture)()).reshape(-1).shape == (2 * TINY.num_classes,)
    for block in blocks_of(architecture, TINY):
        output = runner.block(block)()
        shape = np.asarray(output[0] if isinstance(output, list) else output).shape
        assert shape[:2] == (2, block.out_channels)


def test_the_modules_are_timms():
    architecture = PUBLISHED.largest
    network = build_subnet(architecture)
    own = [each for each in network.modules() if isinstance(each, BasicBlock)]
    blocks = [block for block in blocks_of(architecture, LARGE) if block.kind == RESIDUAL]
    for module, block in zip(own, blocks, strict=True):
        made = torch_block(block, LARGE)
        assert {name: each.shape for name, each in made.state_dict().items()} == {
            name: each.shape for name, each in module.state_dict().items()
        }
        assert [each.stride for each in made.modules() if isinstance(each, torch.nn.Conv2d)] == [
            each.stride for each in module.modules() if isinstance(each, torch.nn.Conv2d)
        ]


def test_a_block_in_onnx_runtime_computes_what_it_does_in_torch():
    [architecture] = drawn(TINY, 1)
    for block in dict.fromkeys(blocks_of(architecture, TINY)):
        torch.manual_seed(0)
        module = torch_block(block, TINY).eval()
        torch.manual_seed(0)
        model = block_graph(block, TINY, 2)
        onnx.checker.check_model(model, full_check=True)
        x = torch.randn(2, block.in_channels, block.size, block.size)
        [found] = open_session(model.SerializeToString()).run(["logits"], {"images": x.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), module(x), atol=1e-5, rtol=1e-4)


def test_a_table_is_kept_and_damaged_ones_are_named(tmp_path):
    path = tmp_path / "table.json"
    table = table_of(TINY)
    write_latency(path, table)
    assert read_latency(path) == table
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 0'))
    with pytest.raises(InputError, match="no latency table: threads"):
        read_latency(path)


def test_another_space_or_size_is_refused():
    table = table_of(TINY)
    table.check_fits(TINY, "profile tiny")
    with pytest.raises(InputError, match=r"not of profile large: .*base channels.*resolution 16, not 224.*classes 5"):
        table.check_fits(LARGE, "profile large")
    missing = table_of(TINY, blocks={})
    with pytest.raises(InputError, match="has no 'stem"):
        missing.milliseconds(TINY.space.largest)
