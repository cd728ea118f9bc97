import codecs
import io
import os
import pickle
import struct
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kit.errors import InputError, StorageError
from kit.supernet.array_pickle import MAX_INSTRUCTIONS, read_arrays
from kit.supernet.pdparams import dump_pdparams, from_paddle, read_pdparams, to_paddle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
NUMBERS = st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", ">i4", "|u1", "|i1"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=3)
ARRAYS = NUMBERS.flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))
NAMED_ARRAYS = st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4)


def read(data):
    return read_arrays(data, source="FILE")


class Attack:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduction = (function, arguments)

    def __reduce__(self):
        return self.reduction


@given(NAMED_ARRAYS, st.sampled_from(PROTOCOLS), st.booleans())
def test_reads_what_pickle_writes_bit_by_bit(arrays, protocol, fortran):
    if fortran:
        arrays = {name: np.asfortranarray(array) if array.ndim else array for name, array in arrays.items()}
    found = read(pickle.dumps(arrays, protocol))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
        assert found[name].flags.c_contiguous and found[name].flags.writeable and found[name].dtype.isnative


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_repeated_arrays_and_ordered_dicts_are_read(protocol):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = read(pickle.dumps(OrderedDict(a=array, b=array, c=array.T), protocol))
    assert np.array_equal(found["a"], array) and np.array_equal(found["b"], array) and np.array_equal(found["c"], array.T)


def test_names_of_old_and_new_numpy_are_the_same_to_the_reader():
    new = pickle.dumps({"a": np.ones(2, np.float32)}, 2).replace(b"numpy.core.", b"numpy._core.")
    old = new.replace(b"numpy._core.", b"numpy.core.")
    assert old != new
    assert read(old)["a"].tolist() == read(new)["a"].tolist() == [1.0, 1.0]


def test_bookkeeping_is_dropped_and_only_bookkeeping():
    arrays = {"blocks.0.bn._mean": np.ones(2, np.float32)}
    table = {"blocks.0.bn._mean": "batch_norm_0.w_1"}
    assert list(read_pdparams(pickle.dumps({**arrays, "StructuredToParameterName@@": table}, 2), source="FILE")) == [
        "bn1.running_mean"
    ]
    with pytest.raises(StorageError, match=r"'Other@@' is of type dict, expected an array"):
        read_pdparams(pickle.dumps({**arrays, "Other@@": table}, 2), source="FILE")


def test_written_files_are_plain_pickles_for_old_numpy_with_equal_bytes():
    arrays = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc.bias": np.ones(2, np.float32)}
    data = dump_pdparams(arrays)
    assert data == dump_pdparams({name: array.copy() for name, array in arrays.items()})
    assert data.startswith(b"\x80\x02") and b"numpy._core" not in data and b"numpy.core.multiarray" in data
    loaded = pickle.loads(data, encoding="latin1")  # what paddle.load does
    assert loaded["blocks.24.fc.weight"].tolist() == arrays["fc.weight"].T.tolist()
    assert read_pdparams(data, source="FILE")["fc.weight"].tolist() == arrays["fc.weight"].tolist()


def test_array_content_that_looks_like_a_name_survives():
    text = b"cnumpy._core.multiarray\n_reconstruct\n"
    arrays = {"bn1.weight": np.frombuffer(text * 4, np.uint8).view(np.int32).copy()}
    assert read_pdparams(dump_pdparams(arrays), source="FILE")["bn1.weight"].tobytes() == text * 4


@pytest.mark.parametrize(
    ("paddle", "timm"),
    [
        ("blocks.0.conv.weight", "conv1.weight"),
        ("blocks.0.bn._variance", "bn1.running_var"),
        ("blocks.1.conv1.weight", "layer1.0.conv1.weight"),
        ("blocks.5.bn2.bias", "layer1.4.bn2.bias"),
        ("blocks.6.downsample.0.weight", "layer2.0.downsample.0.weight"),
        ("blocks.11.downsample.1._mean", "layer3.0.downsample.1.running_mean"),
        ("blocks.18.conv2.weight", "layer3.7.conv2.weight"),
        ("blocks.23.bn1.weight", "layer4.4.bn1.weight"),
        ("blocks.24.fc.bias", "fc.bias"),
        ("split_models.3.blocks.19.conv1.weight", "members.3.layer4.0.conv1.weight"),
    ],
)
def test_names_both_ways(paddle, timm):
    array = np.zeros((1,), np.float32)
    assert list(from_paddle({paddle: array})) == [timm]
    assert list(to_paddle({timm: array})) == [paddle]


def test_counters_are_left_out_and_foreign_names_refused():
    array = np.zeros((1,), np.float32)
    assert to_paddle({"bn1.num_batches_tracked": array}) == {}
    for name in ("conv1.weight", "blocks.25.conv1.weight", "blocks.0.fc.weight", "model.blocks.0.conv.weight", "x", ""):
        with pytest.raises(InputError, match="no name of the released ResNet-48"):
            from_paddle({name: array})
    with pytest.raises(InputError, match="cannot be written"):
        to_paddle({"layer5.0.conv1.weight": array})


def attacks(witness: Path) -> dict[str, object]:
    """Things that leave `witness` behind (or worse) when `pickle.loads` reads them."""
    code = f"open({str(witness)!r}, 'w')"
    command = f"touch {witness}"
    array = np.ones(2, np.float32)
    return {
        "system": Attack(os.system, command),
        "eval": Attack(eval, code),
        "exec": Attack(exec, code),
        "getattr": Attack(getattr, Attack(__import__, "os"), "system"),
        "nested": {"a": array, "b": Attack(io.open, str(witness), "w")},
        "as_key": {Attack(os.system, command): array},
        "numpy_load": Attack(np.load, str(witness)),
        "numpy_save": Attack(np.save, str(witness), array),
        "numpy_fromfile": Attack(np.fromfile, "/etc/hostname"),
        "numpy_memmap": Attack(np.memmap, str(witness), "uint8", "w+", 0, (4,)),
        "numpy_in_state": {"a": np.array([Attack(os.system, command)], dtype=object)},
        "multiarray_other": Attack(np._core.multiarray.fromstring, "1 2", "f4"),
        "scalar": {"a": np.float32(1)},
        "frombuffer_function": {"a": Attack(np.frombuffer, b"abcd", "f4")},
        "dtype_objects": {"a": np.array([None, "x"], dtype=object)},
        "dtype_fields": {"a": np.zeros(2, dtype=[("x", "f4"), ("y", "i4")])},
        "dtype_subarray": {"a": np.dtype(("f4", (2,)))},
        "dtype_text": {"a": np.array(["abc"])},
        "dtype_date": {"a": np.zeros(2, "M8[s]")},
        "codec": {"a": Attack(__import__("_codecs").encode, "abc", "rot13")},
        "masked": {"a": np.ma.masked_array([1.0, 2.0])},
        "subclass": {"a": array.view(np.recarray)},
        "class": {"a": Path("x")},
        "set": {"a": {1, 2}},
        "list": {"a": [array]},
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", sorted(attacks(Path("x"))))
def test_hostile_pickles_run_nothing(name, protocol, tmp_path, capfd):
    witness = tmp_path / "witness"
    data = pickle.dumps(attacks(witness)[name], protocol)
    codecs.lookup("raw_unicode_escape")  # Python's own, loaded at its first use: by whichever test comes first
    modules = set(sys.modules)
    with pytest.raises(StorageError) as caught:
        read(data)
    assert "FILE" in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert set(sys.modules) == modules, "reading must import nothing"
    assert capfd.readouterr() == ("", "")


def test_the_attacks_are_real(tmp_path):
    pickle.loads(pickle.dumps(attacks(tmp_path / "witness")["nested"]))
    assert (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02cnumpy\nndarray\n}b.",  # BUILD on a name
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n}b.",
        b"\x80\x02ccollections\nOrderedDict\n)R}U\x05helloK\x01s\x86b.",  # BUILD on a dict
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pid\n.",
        b"\x80\x02cnumpy.f2py\ncompile\n)R.",
        b"\x80\x02cnumpy.core.multiarray\n__builtins__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x14ndarray.__class__.x\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x07ndarrayK\x01\x93.",  # the name is not text
    ],
)
def test_other_instructions_are_refused(program):
    with pytest.raises(StorageError, match="FILE"):
        read(program)


def array_program(shape: bytes, dtype_state: bytes, raw: bytes) -> bytes:
    """A pickle of one array whose parts an attacker chose."""
    return (
        b"\x80\x04}\x8c\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R(" + dtype_state + b"tb\x89" + raw + b"tbs."
    )


PLAIN_STATE = b"K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"


def test_arrays_with_forged_parts_are_refused():
    raw = b"C\x08" + struct.pack("<2f", 1, 2)
    assert read(array_program(b"K\x02\x85", PLAIN_STATE, raw))["a"].tolist() == [1, 2]
    huge = b"\x8a\x09" + b"\xff" * 8 + b"\x00"
    for shape in (
        b"K\x03\x85",
        b"J\xff\xff\xff\xff\x85",
        b"\x88\x85",
        b"K\x02",
        huge + b"\x85",
        huge + b"K\x00\x86",
        b"N\x85",
    ):
        with pytest.raises(StorageError):
            read(array_program(shape, PLAIN_STATE, raw))
    as_object = PLAIN_STATE[:-1] + b"\x3f"  # numpy's flags for elements that are pointers
    for state in (as_object, PLAIN_STATE.replace(b"NNN", b"N}}"), PLAIN_STATE.replace(b"<", b"?"), b"K\x03"):
        with pytest.raises(StorageError):
            read(array_program(b"K\x02\x85", state, raw))
    for content in (b"N", b"\x8c\x09abcdefg\xc4\x80", b"]", b"K\x01", b"C\x00"):
        with pytest.raises(StorageError):
            read(array_program(b"K\x02\x85", PLAIN_STATE, content))


@pytest.mark.parametrize(
    "program",
    [
        # Hashing a tuple of tuples of tuples ... takes 2 ** 60 steps.
        b"\x80\x02}" + b"K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
        # Printing it takes as long.
        b"\x80\x02}X\x01\x00\x00\x00a" + b"K\x01" + b"q\x00h\x00\x86" * 60 + b"s.",
        # An entry far out in the memo, a length far beyond the file, a frame far beyond it.
        b"\x80\x02}r\xff\xff\xff\xff" + b"Nr\xfe\xff\xff\x7f.",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"abc.",
        b"\x80\x04\x8e\x00\x00\x00\x00\x01\x00\x00\x00abc.",
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f" + b"abc.",
        b"\x80\x04\x95" + b"\xff" * 8 + b"N.",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02)" + b"\x85" * 200_000 + b".",
        b"\x80\x02" + b"}" * (MAX_INSTRUCTIONS + 10) + b".",
        b"I" + b"9" * 100_000 + b"\n.",
    ],
    ids=["hash", "print", "memo", "length", "gigabytes", "bytearray", "frame", "marks", "nesting", "dicts", "digits"],
)
def test_bombs_are_refused_in_time(program):
    start = time.process_time()
    with pytest.raises(StorageError) as caught:
        read(program)
    assert time.process_time() - start < 20
    assert len(str(caught.value)) < 500


def test_a_refusal_names_what_was_asked_for():
    with pytest.raises(StorageError, match=r"FILE is not a plain file of arrays: it asks for 'posix.system'") as caught:
        read(pickle.dumps(Attack(os.system, "true")))
    assert caught.value.hint is not None and "nothing of it was run" in caught.value.hint


@given(NAMED_ARRAYS, st.sampled_from(PROTOCOLS), st.data())
def test_truncated_files_are_errors(arrays, protocol, data):
    whole = pickle.dumps(arrays, protocol)
    with pytest.raises(StorageError):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(NAMED_ARRAYS, st.sampled_from(PROTOCOLS), st.data())
def test_flipped_bits_give_arrays_or_an_error_and_nothing_else(arrays, protocol, data):
    whole = bytearray(pickle.dumps(arrays, protocol))
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[at // 8] ^= 1 << at % 8
    try:
        found = read(bytes(whole))
    except StorageError:
        return
    assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in found.values())


@given(st.binary(max_size=60))
def test_any_bytes_give_arrays_or_an_error(data):
    try:
        found = read(data)
    except StorageError as error:
        assert "FILE" in str(error)
        return
    assert isinstance(found, dict)
