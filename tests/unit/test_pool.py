import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InputError, StorageError
from kit.pool import Pool, draw_pool, load_pool, write_predictions
from kit.search_space import PUBLISHED, RESNET48, InvalidArchitectureError

PUBLIC_POOL = Path(__file__).parents[3] / "shared" / "data" / "CVPR_2022_NAS_Track1_test.json.gz"
FIRST = "1252233313000000223212122253130000000000006515000000"
SECOND = "1447233323333300331313230025153545153545003252000000"


def entry(code=FIRST, acc="0.5"):
    return f'{{"acc": {acc}, "arch": "{code}"}}'


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    accuracies=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    suffix=st.sampled_from([".json", ".json.gz"]),
)
def test_what_is_written_is_read_back(tmp_path_factory, seed, accuracies, suffix):
    pool = draw_pool(PUBLISHED, len(accuracies), seed)
    path = tmp_path_factory.mktemp("pool") / f"predictions{suffix}"
    write_predictions(path, pool, accuracies)
    loaded = load_pool(path)
    assert loaded == replace(pool, accuracies=tuple(map(float, accuracies)))
    before = path.read_bytes()
    write_predictions(path, loaded, loaded.accuracies)
    assert path.read_bytes() == before


def test_the_written_file_has_the_challenge_format(tmp_path):
    pool = Pool(("b", "a"), (RESNET48.parse(FIRST), RESNET48.parse(SECOND)))
    write_predictions(tmp_path / "out.json", pool, [0.1, 1 / 3])
    text = (tmp_path / "out.json").read_text()
    assert json.loads(text) == {"b": {"acc": 0.1, "arch": FIRST}, "a": {"acc": 1 / 3, "arch": SECOND}}
    assert text.index('"b"') < text.index('"a"')


def test_a_mapping_writes_the_part_it_covers_in_the_pools_order(tmp_path):
    pool = draw_pool(PUBLISHED, 5, seed=1)
    scores = {pool.codes[3]: 0.3, pool.codes[0]: 0.2}
    write_predictions(tmp_path / "part.json", pool, scores)
    part = load_pool(tmp_path / "part.json")
    assert part.names == ("arch1", "arch4")
    assert part.accuracies == (0.2, 0.3)
    with pytest.raises(InputError, match="not in the pool"):
        write_predictions(tmp_path / "part.json", pool, {FIRST: 0.3})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.01, 1.01, 71.2])
def test_only_fractions_are_written_and_the_old_file_stays(tmp_path, bad):
    pool = draw_pool(PUBLISHED, 2, seed=0)
    path = tmp_path / "out.json"
    write_predictions(path, pool, [0.25, 0.5])
    before = path.read_bytes()
    with pytest.raises(InputError, match="'arch2'"):
        write_predictions(path, pool, [0.5, bad])
    with pytest.raises(InputError, match="3 accuracies"):
        write_predictions(path, pool, [0.5, 0.5, 0.5])
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]
    assert path.read_bytes() == before


def test_a_drawn_pool_is_distinct_and_depends_on_its_seed_only():
    pool = draw_pool(PUBLISHED, 200, seed=3)
    assert len(set(pool.codes)) == 200
    assert pool.names[0] == "arch1"
    assert pool.names[-1] == "arch200"
    assert all(architecture in PUBLISHED for architecture in pool.architectures)
    assert draw_pool(PUBLISHED, 200, seed=3) == pool
    assert draw_pool(PUBLISHED, 200, seed=4).codes != pool.codes
    assert draw_pool(PUBLISHED, 50, seed=3) == pool.head(50)


def test_a_pool_can_be_the_whole_space_but_not_more():
    tiny = PUBLISHED.restrict(max_depths=(2, 2, 2, 2), max_digits=(1, 1, 1, 2))
    assert len(set(draw_pool(tiny, tiny.size, seed=0).codes)) == tiny.size
    for size in (0, tiny.size + 1):
        with pytest.raises(InputError, match="distinct"):
            draw_pool(tiny, size, seed=0)


def test_the_fingerprint_is_of_names_codes_and_order():
    pool = draw_pool(PUBLISHED, 4, seed=0)
    assert replace(pool, accuracies=(0.1, 0.2, 0.3, 0.4)).fingerprint == pool.fingerprint
    others = [
        Pool(("x", *pool.names[1:]), pool.architectures),
        Pool(pool.names, pool.architectures[::-1]),
        Pool(pool.names[::-1], pool.architectures[::-1]),
        pool.head(3),
    ]
    assert len({pool.fingerprint, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("{}", ["empty"]),
        ("[]", ["a list"]),
        ("3", ["a number"]),
        ("{", ["not valid JSON"]),
        ("", ["not valid JSON"]),
        ("[" * 100_000, ["not valid JSON"]),
        (f'{{"a": {entry()}, "a": {entry(SECOND)}}}', ["'a'", "twice"]),
        (f'{{"a": {entry()}, "b": {entry()}}}', ["'a' and 'b'", "same architecture"]),
        ('{"a": {"acc": 0.5}}', ["'a'", "'arch'"]),
        ('{"a": 0.5}', ["'a'", "an object"]),
        (f'{{"a": {{"acc": 0.5, "arch": "{FIRST}", "rank": 1}}}}', ["'a'", "'rank'"]),
        (f'{{"a": {{"acc": 0.5, "arch": {FIRST}}}}}', ["'a'", "string of 52 digits"]),
        (f'{{"a": {entry(acc="NaN")}}}', ["'a'", "finite"]),
        (f'{{"a": {entry(acc="1e999")}}}', ["'a'", "finite"]),
        (f'{{"a": {entry(acc="1" + "0" * 400)}}}', ["'a'", "finite"]),
        (f'{{"a": {entry(acc="true")}}}', ["'a'", "'acc'", "true or false"]),
        (f'{{"a": {entry(acc="null")}}}', ["'a'", "'acc'", "null"]),
        (f'{{"a": {entry(acc=chr(34) + "0.5" + chr(34))}}}', ["'a'", "'acc'", "text"]),
        (f'{{"a": {entry()}, "b": {{"arch": "{SECOND}"}}}}', ["'b'", "no 'acc'"]),
    ],
)
def test_bad_pools_are_refused_with_the_file_and_the_entry(tmp_path, text, fragments):
    path = tmp_path / "pool.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_pool(path)
    for fragment in [str(path), *fragments]:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(("code", "position"), [(FIRST[1:], 52), (FIRST[:6] + "9" + FIRST[7:], 7), ("2" + FIRST[1:], 1)])
def test_a_bad_code_names_the_entry_and_the_digit(tmp_path, code, position):
    path = tmp_path / "pool.json"
    path.write_text(f'{{"good": {entry(SECOND)}, "bad one": {entry(code)}}}')
    with pytest.raises(InvalidArchitectureError, match="'bad one'") as caught:
        load_pool(path)
    assert caught.value.position == position


def test_codes_outside_the_given_space_are_refused(tmp_path):
    write_predictions(tmp_path / "pool.json", draw_pool(PUBLISHED, 20, seed=0), [0.0] * 20)
    assert len(load_pool(tmp_path / "pool.json", PUBLISHED)) == 20
    with pytest.raises(InvalidArchitectureError):
        load_pool(tmp_path / "pool.json", PUBLISHED.restrict(max_digits=(1, 1, 1, 1)))


def test_a_pool_without_accuracies_has_none(tmp_path):
    (tmp_path / "pool.json").write_text(f'{{"a": {{"arch": "{FIRST}"}}}}')
    assert load_pool(tmp_path / "pool.json").accuracies is None


def test_damaged_gzip_data_is_a_storage_error(tmp_path):
    whole = gzip.compress(f'{{"a": {entry()}}}'.encode())
    path = tmp_path / "pool.json.gz"
    flipped = bytes([*whole[:-6], whole[-6] ^ 1, *whole[-5:]])
    for data in [*(whole[:length] for length in range(2, len(whole))), flipped]:
        path.write_bytes(data)
        with pytest.raises(StorageError, match=r"pool\.json\.gz"):
            load_pool(path)
    path.write_bytes(whole)
    assert load_pool(path).names == ("a",)


def test_what_cannot_be_opened_is_a_storage_error(tmp_path):
    for path in (tmp_path, tmp_path / "absent.json", tmp_path / "absent" / "pool.json.gz"):
        with pytest.raises(StorageError, match=str(path)):
            load_pool(path)


def test_a_subset_keeps_the_order_and_refuses_strangers():
    pool = replace(draw_pool(PUBLISHED, 6, seed=0), accuracies=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    part = pool.subset([pool.codes[4], pool.codes[1]])
    assert part.names == ("arch2", "arch5")
    assert part.accuracies == (0.2, 0.5)
    with pytest.raises(InputError, match=FIRST):
        pool.subset([FIRST])


@pytest.mark.skipif(not PUBLIC_POOL.exists(), reason="the public pool is not here")
def test_the_public_pool_loads():
    pool = load_pool(PUBLIC_POOL, PUBLISHED)
    assert len(pool) == 45_000
    assert pool.names == tuple(f"arch{number}" for number in range(1, 45_001))
    assert len({architecture.depths for architecture in pool.architectures}) == 448
    assert set(pool.accuracies) == {0.0}
