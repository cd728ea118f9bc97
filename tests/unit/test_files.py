"""Files are whole or absent, JSON is strict, and a lock has one holder."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.cli.run import read_codes
from kit.dashboard.settings import load_settings
from kit.errors import InputError, StorageError
from kit.files import (
    content_key,
    decode_text,
    exclusive_lock,
    parse_json,
    read_json,
    sha256_of_file,
    write_atomically,
    write_bytes,
    write_json,
)
from kit.pool import draw_pool, load_pool
from kit.recipe import load_profile, load_recipe
from kit.recipe.loading import profile_path, recipe_path
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    max_leaves=10,
)


@given(json_values)
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, {"value": value})
    assert read_json(path) == {"value": value}


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', "[NaN]", "[Infinity]", "{", "", "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000]
)
def test_json_outside_the_standard_is_refused(text):
    with pytest.raises(StorageError, match=r"^the thing is not valid JSON"):
        parse_json(text if isinstance(text, bytes) else text.encode(), source="the thing")


def test_nan_is_never_written(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"kept": 1})
    with pytest.raises(ValueError):
        write_json(path, [float("nan")])
    assert read_json(path) == {"kept": 1}


@pytest.mark.parametrize("value", [[1], 1, None, {}, {"step": "3"}, {"steps": 3}])
def test_an_object_without_its_keys_is_damaged(tmp_path, value):
    path = tmp_path / "value.json"
    write_json(path, value)
    with pytest.raises(StorageError, match="is damaged") as refusal:
        read_json(path, step=int)
    assert "--fresh" in refusal.value.hint


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_a_key_ignores_order_and_sees_every_value(value):
    assert content_key(dict(reversed(value.items()))) == content_key(value)
    first = next(iter(value))
    assert content_key({**value, first: value[first] + 1}) != content_key(value)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("bug"), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_the_file_before_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    write_bytes(path, b"before")

    def half(file):
        file.write(b"half")
        raise error

    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)) as caught:
        write_atomically(path, half)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]
    if isinstance(error, OSError):
        assert str(path) in str(caught.value) and "free some space" in caught.value.hint


def test_writing_makes_folders_and_heeds_the_umask(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    before = os.umask(0o027)
    try:
        write_bytes(path, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(path / "below-a-file", b"data")


def test_the_hash_is_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")  # the example of FIPS 180-2
    assert sha256_of_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(StorageError, match="cannot read"):
        sha256_of_file(tmp_path / "none")


def test_a_lock_has_one_holder_and_names_it(tmp_path):
    path = tmp_path / "folder" / ".lock"
    in_use = rf"run x is in use by another process \(pid {os.getpid()}\)"
    with exclusive_lock(path, holder="run x"):
        with pytest.raises(StorageError, match=in_use), exclusive_lock(path, holder="run x"):
            pytest.fail("two holders")
        assert json.loads(path.read_text()) == os.getpid()
    with exclusive_lock(path, holder="run x"):
        pass


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_is_read_as_editors_save_it(encoding: str) -> None:
    text = 'title = "Größe"\r\n[table]\n'
    assert decode_text(text.encode(encoding), source="x") == text


@pytest.mark.parametrize("data", [b"a = 1\nb = 2\nc = '\xff'\n", "a = 1\n\n".encode("utf-16") + b"\x00\xd8"])
def test_what_is_no_text_is_refused_with_its_line(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^x, line 3: ") as caught:
        decode_text(data, source="x")
    assert "UTF-8" in str(caught.value.hint)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_file_that_people_write_is_read_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    """Recipes, profiles, the dashboard's settings, the challenge's JSON and lists of codes: one way in for all."""

    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    recipe, profile = recipe_path("full"), profile_path("nano")
    assert load_recipe(str(write("r.toml", recipe.read_text()))).phases == load_recipe("full").phases
    assert load_profile(str(write("p.toml", profile.read_text()))) == load_profile("nano")
    assert load_settings(write("s.toml", 'theme = "kit-light"')).theme == "kit-light"
    pool = draw_pool(PUBLISHED, 3, 0)
    rows = {name: {"arch": architecture.code} for name, architecture in pool}
    assert load_pool(write("pool.json", json.dumps(rows))) == pool
    codes = write("codes.txt", "\n".join(pool.codes) + "\n")
    assert read_codes(codes, load_profile("nano")) == tuple(map(load_profile("nano").search_space.parse, pool.codes))


def test_a_wrong_code_is_refused_with_file_and_line(tmp_path: Path) -> None:
    codes = tmp_path / "codes.txt"
    codes.write_text(f"{RESNET48.largest.code}\n\n{RESNET48.largest.code[:-1]}9\n")
    with pytest.raises(InvalidArchitectureError, match=r"codes\.txt, line 3: "):
        read_codes(codes, load_profile("nano"))
