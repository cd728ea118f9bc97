import hashlib
import json
import pickle
import random
from itertools import pairwise

import pytest
import torch
from timm.models.resnet import ResNet

from kit.errors import InputError, KitError, StorageError
from kit.search_space import RESNET48, SearchSpace
from kit.supernet import ElasticResNet, FewShotSupernet, extract_subnet
from kit.supernet.pdparams import to_paddle
from kit.supernet.tensor_files import read_weights_file
from kit.supernet.weights import export_weights, load_supernet, load_weights, save_weights, sse34_cells

TINY = SearchSpace(base_channels=(8, 8, 16, 16), divisor=4)
OTHER = SearchSpace(base_channels=(8, 12, 16, 16), divisor=4)
CLASSES = 3
FORMATS = ("pdparams", "pth", "safetensors")
THREE_CELLS = tuple(
    TINY.restrict(depth_choices=[d for d in TINY.depth_choices if d[3] in fourth]) for fourth in ({2}, {5}, {3, 4})
)


def supernet(seed=0, space=TINY, classes=CLASSES):
    """A supernet no tensor of which is at its default: even counters and running statistics are random."""
    generator = torch.Generator().manual_seed(seed)
    net = ElasticResNet(space, classes, generator=generator)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
        elif "num_batches" in name:
            tensor.fill_(int(torch.randint(1, 99, (), generator=generator)))
    return net


def few_shot(cells=None, seed=0):
    cells = sse34_cells(TINY) if cells is None else cells
    return FewShotSupernet([supernet(seed + index) for index in range(len(cells))], cells)


def same(a, b, *, counters=True):
    left, right = a.state_dict(), b.state_dict()
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left if counters or "num_batches" not in name)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(supernet(), path)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("make", [supernet, few_shot])
def test_round_trips_are_exact(make, suffix, tmp_path):
    net, path = make(), tmp_path / f"w.{suffix}"
    export_weights(net, path, suffix)
    loaded = load_supernet(path, TINY, CLASSES)
    assert type(loaded) is type(net)
    assert same(net, loaded, counters=suffix != "pdparams")  # Paddle has no counters
    filled = make(seed=7)
    assert not same(net, filled, counters=False)
    load_weights(filled, path)
    assert same(loaded, filled)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("make", [supernet, few_shot])
def test_equal_weights_give_equal_bytes_whatever_their_memory_layout(make, suffix, tmp_path):
    paths = [tmp_path / f"{index}.{suffix}" for index in range(2)]
    export_weights(make(), paths[0], suffix)
    export_weights(make().to(memory_format=torch.channels_last), paths[1], suffix)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    export_weights(make(seed=1), paths[1], suffix)
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_a_chain_through_all_formats_ends_with_the_first_bytes(tmp_path):
    net = supernet()
    for name, tensor in net.state_dict().items():
        if "num_batches" in name:
            tensor.zero_()
    chain = [tmp_path / name for name in ("a.safetensors", "b.pdparams", "c.pth", "d.safetensors")]
    save_weights(net, chain[0])
    for source, target in pairwise(chain):
        export_weights(load_supernet(source, TINY, CLASSES), target, target.suffix[1:])
    assert chain[0].read_bytes() == chain[-1].read_bytes()


def test_safetensors_note_space_and_cells_under_one_metadata_key(tmp_path):
    path = tmp_path / "w.safetensors"
    net = few_shot(THREE_CELLS)
    save_weights(net, path, extra={"phase": "sse"})
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == ["kit"]
    note = json.loads(header["__metadata__"]["kit"])
    assert note["phase"] == "sse" and note["num_classes"] == CLASSES and note["format"] == 1
    assert SearchSpace.from_json(note["space"]) == TINY
    loaded = load_supernet(path)  # everything needed is in the file
    assert isinstance(loaded, FewShotSupernet)
    assert loaded.cells == net.cells and loaded.space == TINY and same(net, loaded)


def test_cells_by_width_come_back_and_own_their_architectures(tmp_path):
    every = range(1, 8)
    cells = tuple(TINY.restrict(out_digits=[every, every, every, own]) for own in ((1, 2), (3, 4, 5, 6, 7)))
    net = few_shot(cells)
    save_weights(net, tmp_path / "w.safetensors")
    loaded = load_supernet(tmp_path / "w.safetensors")
    assert isinstance(loaded, FewShotSupernet) and loaded.cells == cells and same(net, loaded)
    for seed in range(20):
        architecture = TINY.sample(random.Random(seed))
        assert loaded.cell_of(architecture) == (architecture.out_digits[3] > 2)


@pytest.mark.parametrize("suffix", FORMATS)
def test_loaded_few_shot_supernets_compute_the_same(suffix, tmp_path):
    net, path = few_shot().eval(), tmp_path / f"w.{suffix}"
    export_weights(net, path, suffix)
    loaded = load_supernet(path, TINY, CLASSES).eval()
    images = torch.rand(2, 3, 32, 32)
    rng = random.Random(0)
    for _ in range(10):
        architecture = TINY.sample(rng)
        assert torch.equal(net(images, architecture), loaded(images, architecture))


def test_sse34_cells_partition_the_pool_as_published():
    counts = [0] * 5
    for depths in RESNET48.depth_choices:
        owners = [index for index, cell in enumerate(sse34_cells(RESNET48)) if depths in cell.depth_choices]
        assert len(owners) == 1
        counts[owners[0]] += 1
    # 4 x 4 choices in stages 1 and 2, times the cells as the method lists them: 3, 6, 3, 6 and the other 10 of 28.
    assert counts == [48, 96, 48, 96, 160]
    cells = sse34_cells(RESNET48)
    for text, cell in (("22", 0), ("24", 0), ("32", 1), ("82", 1), ("83", 2), ("85", 2), ("25", 3), ("75", 3), ("33", 4)):
        assert (5, 5, int(text[0]), int(text[1])) in cells[cell].depth_choices


def test_five_other_cells_do_not_pass_for_sse34(tmp_path):
    cells = sse34_cells(TINY)
    net = few_shot((cells[1], cells[0], *cells[2:]))
    with pytest.raises(InputError, match="SSE34"):
        export_weights(net, tmp_path / "w.pdparams", "pdparams")
    export_weights(net, tmp_path / "w.pth", "pth")
    loaded = load_supernet(tmp_path / "w.pth")
    assert isinstance(loaded, FewShotSupernet) and loaded.cells == net.cells


def test_other_member_counts_need_their_cells(tmp_path):
    net = few_shot(THREE_CELLS)
    export_weights(net, tmp_path / "w.pdparams", "pdparams")
    with pytest.raises(InputError, match="3 sub-supernets and does not say which"):
        load_supernet(tmp_path / "w.pdparams", TINY, CLASSES)
    filled = few_shot(THREE_CELLS, seed=9)
    load_weights(filled, tmp_path / "w.pdparams")
    assert same(net, filled, counters=False)


def test_plain_timm_networks_are_filled_and_saved(tmp_path):
    subnet = extract_subnet(supernet(), TINY.sample(random.Random(3)))
    other = extract_subnet(supernet(1), TINY.sample(random.Random(3)))
    assert type(subnet) is ResNet and not same(subnet, other)
    save_weights(subnet, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert same(subnet, other)
    assert "space" not in read_weights_file(tmp_path / "w.safetensors").metadata


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"state_dict": d, "epoch": 3}, lambda d: {"model": d}])
def test_pth_files_of_others_are_read(wrap, tmp_path):
    net, filled = supernet(), supernet(1)
    torch.save(wrap(net.state_dict()), tmp_path / "w.pth")
    load_weights(filled, tmp_path / "w.pth")
    assert same(net, filled)


def test_missing_counters_are_zero(tmp_path):
    net, filled = supernet(), supernet(1)
    torch.save({k: v for k, v in net.state_dict().items() if "num_batches" not in k}, tmp_path / "w.pth")
    load_weights(filled, tmp_path / "w.pth")
    assert same(net, filled, counters=False)
    assert int(filled.bn1.num_batches_tracked) == 0


def test_networks_in_other_precision_are_filled_exactly(saved):
    net = supernet(1).double()
    load_weights(net, saved)
    assert torch.equal(net.fc.weight, supernet().fc.weight.double())


def test_loading_leaves_the_global_generator_alone(saved):
    before = torch.get_rng_state()
    load_supernet(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_the_hash_is_compared_before_anything_is_parsed(tmp_path, saved):
    load_weights(supernet(1), saved, sha256=hashlib.sha256(saved.read_bytes()).hexdigest())
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1  # a flipped bit in a weight: no parser notices
    (tmp_path / "flipped.safetensors").write_bytes(data)
    load_weights(supernet(1), tmp_path / "flipped.safetensors")
    with pytest.raises(StorageError, match="SHA-256"):
        load_weights(supernet(1), tmp_path / "flipped.safetensors", sha256=hashlib.sha256(saved.read_bytes()).hexdigest())


def refused(path, net=None, match="."):
    """Loading raises a `KitError` and leaves the network as it was."""
    net = supernet(5) if net is None else net
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(KitError, match=match) as caught:
        load_weights(net, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert path.name in str(caught.value)
    return caught.value


def test_weights_of_another_space_say_which_tensor_and_what_to_do(tmp_path, saved):
    net = supernet(space=OTHER)
    # What the file notes already tells; without a note the shapes do.
    assert "--profile" in str(refused(saved, net, "another search space").hint)
    export_weights(supernet(), tmp_path / "w.pdparams", "pdparams")
    error = refused(
        tmp_path / "w.pdparams", net, r"layer2.0.conv1.weight has the shape \(8, 8, 3, 3\), expected \(12, 8, 3, 3\)"
    )
    assert "search space differs" in str(error.hint)
    with pytest.raises(InputError, match="another search space"):
        load_supernet(saved, OTHER, CLASSES)
    with pytest.raises(InputError, match=r"layer2\.0\.conv1\.weight"):
        load_supernet(tmp_path / "w.pdparams", OTHER, CLASSES)


def test_digits_of_another_meaning_are_refused_although_the_shapes_fit(saved):
    stretched = SearchSpace(TINY.base_channels, (1.0, 0.7, 0.5, 0.4, 0.32, 0.25, 0.2), TINY.divisor)
    refused(saved, supernet(space=stretched), "another search space")


def test_a_subspace_of_the_same_digits_fits(saved):
    net = supernet(1, space=TINY.restrict(max_digits=(3, 3, 5, 7)))
    load_weights(net, saved)
    assert same(net, supernet())


def test_another_number_of_classes_is_named(saved):
    assert "number of classes" in str(refused(saved, supernet(classes=4), r"fc.weight has the shape \(3, 16\)").hint)


def test_few_shot_and_single_do_not_mix_and_the_hint_says_so(tmp_path, saved):
    assert "single supernet, the network is 3 sub-supernets" in str(refused(saved, few_shot(THREE_CELLS), "missing").hint)
    save_weights(few_shot(THREE_CELLS), tmp_path / "few.safetensors")
    assert "holds 3 sub-supernets" in str(refused(tmp_path / "few.safetensors", None, "unexpected").hint)


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_and_unexpected_tensors_are_named(suffix, tmp_path):
    path = tmp_path / f"w.{suffix}"
    state = supernet().state_dict()
    shorter = {name: tensor for name, tensor in state.items() if name != "layer3.7.conv2.weight"}
    write(path, shorter)
    refused(path, None, "layer3.7.conv2.weight missing")
    if suffix != "pdparams":
        write(path, {**state, "extra.weight": torch.zeros(1)})
        refused(path, None, "extra.weight unexpected")


def write(path, state):
    """A file as others write it."""
    if path.suffix == ".pth":
        torch.save(dict(state), path)
    elif path.suffix == ".pdparams":
        path.write_bytes(pickle.dumps(to_paddle({name: tensor.numpy() for name, tensor in state.items()}), 4))
    else:
        from safetensors.torch import save_file

        save_file({name: tensor.clone() for name, tensor in state.items()}, path)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(suffix, value, tmp_path):
    state = supernet().state_dict()
    state["layer4.0.conv1.weight"][1, 2, 0, 0] = value
    write(tmp_path / f"w.{suffix}", state)
    refused(tmp_path / f"w.{suffix}", None, "layer4.0.conv1.weight holds values that are not finite")


def test_values_too_large_for_the_network_and_negative_variances_are_refused(tmp_path):
    state = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in supernet().state_dict().items()
    }
    state["fc.bias"][0] = 1e300
    write(tmp_path / "w.pth", state)
    refused(tmp_path / "w.pth", None, "fc.bias holds values that are not finite")
    state["fc.bias"][0] = 0
    state["bn1.running_var"][0] = -1
    write(tmp_path / "w.pth", state)
    refused(tmp_path / "w.pth", None, "negative variance")


def test_integers_do_not_pass_for_weights(tmp_path):
    state = supernet().state_dict()
    write(tmp_path / "w.safetensors", {**state, "fc.bias": torch.ones(CLASSES, dtype=torch.int64)})
    refused(tmp_path / "w.safetensors", None, "fc.bias has elements of type")


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncated_files_are_refused_wherever_they_end(suffix, tmp_path):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    export_weights(supernet(), whole, suffix)
    data = whole.read_bytes()
    for length in (0, 1, 7, 8, 9, 40, len(data) // 2, len(data) - 100, len(data) - 1):
        cut.write_bytes(data[:length])
        assert isinstance(refused(cut), StorageError), length


@pytest.mark.parametrize("suffix", FORMATS)
def test_flipped_bits_in_the_structure_are_refused_or_change_nothing_but_values(suffix, tmp_path):
    whole, flipped = tmp_path / f"whole.{suffix}", tmp_path / f"flipped.{suffix}"
    export_weights(supernet(), whole, suffix)
    data = whole.read_bytes()
    rng = random.Random(0)
    for _ in range(15):
        damaged = bytearray(data)
        damaged[rng.randrange(2000)] ^= 1 << rng.randrange(8)
        flipped.write_bytes(damaged)
        try:
            load_weights(supernet(5), flipped)
        except KitError as error:
            assert flipped.name in str(error)


def test_files_that_cannot_be_read_are_storage_errors(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    assert isinstance(refused(tmp_path / "folder.pth", None, "cannot read"), StorageError)
    assert isinstance(refused(tmp_path / "absent.safetensors", None, "cannot read"), StorageError)
    (tmp_path / "a").write_text("")
    assert isinstance(refused(tmp_path / "a" / "below.pdparams"), StorageError)


def test_wrong_suffixes_are_explained(tmp_path, saved):
    (tmp_path / "w.bin").write_bytes(b"x")
    assert ".pdparams, .safetensors, .pth" in str(refused(tmp_path / "w.bin", None, "no suffix").hint)
    for actual in ("safetensors", "pth"):
        for claimed in FORMATS:
            if actual != claimed:
                export_weights(supernet(), tmp_path / f"right.{actual}", actual)
                (tmp_path / f"right.{actual}").rename(tmp_path / f"wrong.{claimed}")
                assert actual in str(refused(tmp_path / f"wrong.{claimed}", None, "by its content").hint)
    for claimed in ("pth", "safetensors"):
        export_weights(supernet(), tmp_path / "w.pdparams", "pdparams")
        (tmp_path / "w.pdparams").rename(tmp_path / f"p.{claimed}")
        refused(tmp_path / f"p.{claimed}")


@pytest.mark.parametrize("suffix", FORMATS)
def test_arbitrary_bytes_are_refused(suffix, tmp_path):
    path = tmp_path / f"w.{suffix}"
    rng = random.Random(1)
    for length in (1, 8, 16, 100, 3000):
        path.write_bytes(rng.randbytes(length))
        assert isinstance(refused(path), StorageError)


class Attack:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return open, (str(self.witness), "w")


@pytest.mark.parametrize("suffix", ["pth", "pdparams"])
def test_hostile_files_run_nothing(suffix, tmp_path):
    path, witness = tmp_path / f"w.{suffix}", tmp_path / "witness"
    for content in (Attack(witness), {"state_dict": Attack(witness)}, {**supernet().state_dict(), "x": Attack(witness)}):
        for save in (torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))):
            save(content, path)
            assert isinstance(refused(path), KitError)
            assert not witness.exists()


def test_pth_files_of_other_content_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    deep = "x"
    for _ in range(60):
        deep = (deep, deep)
    for content in (
        [1, 2],
        {"a": 1},
        {1: torch.zeros(1)},
        torch.zeros(3),
        {"fc.bias": torch.zeros(3).to_sparse()},
        {"a": deep},
    ):
        torch.save(content, path)
        assert isinstance(refused(path), StorageError)


def test_views_with_strides_of_zero_are_measured_before_they_are_copied(tmp_path):
    state = supernet().state_dict()
    state["fc.weight"] = torch.zeros(1).expand(10**9, 10**9)
    torch.save(state, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", None, "fc.weight has the shape")


@pytest.mark.parametrize(
    "note",
    ["[1]", "1", "{", '{"format": 2}', '{"space": 3}', '{"space": {"base_channels": [8]}}', '{"format": 1, "format": 1}'],
)
def test_damaged_notes_are_refused(note, tmp_path):
    from safetensors.torch import save_file

    save_file(supernet().state_dict(), tmp_path / "w.safetensors", metadata={"kit": note})
    with pytest.raises(KitError):
        load_weights(supernet(5), tmp_path / "w.safetensors")
    with pytest.raises(KitError):
        load_supernet(tmp_path / "w.safetensors")


@pytest.mark.parametrize("note", ['{"cells": 3}', '{"cells": []}', '{"cells": [1, 2, 3]}', '{"num_classes": "3"}'])
def test_damaged_notes_about_cells_and_classes_are_refused(note, tmp_path):
    from safetensors.torch import save_file

    save_file(few_shot(THREE_CELLS).state_dict(), tmp_path / "w.safetensors", metadata={"kit": note})
    with pytest.raises(KitError):
        load_supernet(tmp_path / "w.safetensors", TINY)


def test_metadata_of_other_files(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"format": "pt", "by": "others"})
    assert read_weights_file(tmp_path / "w.safetensors").metadata == {}
    for content in (b"", b"abc", b"\xff" * 20, (5).to_bytes(8, "little") + b'["a"]'):
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(StorageError):
            read_weights_file(tmp_path / "x.safetensors")


def test_failed_writes_leave_the_old_file(saved, monkeypatch):
    import kit.files

    before = saved.read_bytes()

    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kit.files.os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left"):
        save_weights(supernet(1), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
