"""Weights as people have them: inside checkpoints, under prefixes, beside settings."""

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError, KitError, StorageError
from kit.recipe import load_profile
from kit.supernet import ElasticResNet
from kit.supernet.nesting import PREFIXES, find_state, silent
from kit.supernet.pdparams import to_paddle
from kit.supernet.weights import load_supernet, load_weights

SPACE = load_profile("nano").search_space


@pytest.fixture(scope="module")
def net() -> ElasticResNet:
    return ElasticResNet(SPACE, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def state(net: ElasticResNet) -> dict[str, torch.Tensor]:
    return dict(net.state_dict())


def same(loaded: Any, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS = {
    "plain": lambda s: s,
    "data parallel": lambda s: prefixed(s, "module."),
    "compiled data parallel": lambda s: {"model": prefixed(s, "module._orig_mod."), "epoch": 3},
    "lightning": lambda s: {
        "epoch": 3, "global_step": 7, "pytorch-lightning_version": "2.0", "state_dict": prefixed(s, "model."),
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}],
        "hparams": {"lr": 1}, "callbacks": {}, "loops": None,
    },
    "timm": lambda s: {
        "epoch": 1, "arch": "resnet", "state_dict": s, "version": 2, "metric": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1, opt="sgd"), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_state_dict_is_found_and_named(net: ElasticResNet, state: dict[str, Any], layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout](state), tmp_path / "w.pth")
    notes: list[str] = []
    assert same(load_supernet(tmp_path / "w.pth", SPACE, 10, note=notes.append), state)
    assert bool(notes) == (layout != "plain")
    other = ElasticResNet(SPACE, 10, generator=torch.Generator().manual_seed(2))
    load_weights(other, tmp_path / "w.pth")
    assert same(other, state)


def test_of_two_state_dicts_one_must_be_named(state: dict[str, Any], tmp_path: Path) -> None:
    averaged = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="state_dict_ema") as caught:
        load_supernet(tmp_path / "w.pth", SPACE, 10)
    assert "--key" in str(caught.value.hint)
    assert same(load_supernet(tmp_path / "w.pth", SPACE, 10, key="state_dict_ema"), averaged)
    with pytest.raises(InputError, match="model") as caught:
        load_supernet(tmp_path / "w.pth", SPACE, 10, key="model")
    assert "state_dict" in str(caught.value.hint)


def test_paddles_nested_files(state: dict[str, Any], tmp_path: Path) -> None:
    arrays = to_paddle({name: tensor.numpy() for name, tensor in state.items()})
    bookkeeping = {"StructuredToParameterName@@": dict.fromkeys(arrays, "x")}
    content = {"model": arrays | bookkeeping, "epoch": 3, "best": 0.5, "milestones": [1, 2], "ema": None, "done": True}
    for protocol in (2, 4):
        (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content, protocol=protocol))
        notes: list[str] = []
        loaded = load_supernet(tmp_path / "w.pdparams", SPACE, 10, note=notes.append)
        assert len(notes) == 1 and "'model'" in notes[0]
        assert all(torch.equal(v, state[n]) for n, v in loaded.state_dict().items() if "num_batches" not in n)


class Foreign:
    """Code of somebody's project, pickled by its name."""


def test_foreign_code_is_named_and_not_run(state: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": state, "config": Foreign()}, tmp_path / "w.pth")
    with pytest.raises(StorageError, match="Foreign"):
        load_supernet(tmp_path / "w.pth", SPACE, 10)


NAMES = st.text("abc.", min_size=1, max_size=5)
TREES = st.recursive(
    st.integers() | st.just(torch.ones(1)), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(content=TREES, key=st.none() | NAMES)
def test_any_content_is_a_state_dict_or_a_clear_refusal(content: object, key: str | None) -> None:
    try:
        found = find_state(content, torch.is_tensor, source="w.pth", key=key, note=silent)
    except KitError as error:
        assert "w.pth" in str(error)
    else:
        assert found and all(isinstance(value, torch.Tensor) for value in found.values())


@given(prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3))
def test_prefixes_come_off_in_any_order(prefixes: list[str]) -> None:
    state = {"conv1.weight": torch.ones(1), "fc.bias": torch.ones(1)}
    found = find_state(prefixed(state, "".join(prefixes)), torch.is_tensor, source="f", key=None, note=silent)
    assert found.keys() == state.keys()
