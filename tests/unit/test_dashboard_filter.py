"""The filter language: laws, an independent reading of the same text, and what its errors say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.watch.filter_language import (
    ANY,
    FIELDS,
    NUMBERS,
    Depths,
    Filter,
    FilterError,
    Joined,
    Not,
    Number,
    Text,
    parse_filter,
)

SIZE = 200


@dataclass
class Made:
    """Rows with values that lie apart, equal, and missing."""

    columns: dict[str, np.ndarray]
    table: np.ndarray
    codes: Sequence[str]
    names: Sequence[str]

    def __len__(self) -> int:
        return SIZE

    def numbers(self, field: str) -> np.ndarray:
        return self.columns[field]

    def depths(self) -> np.ndarray:
        return self.table

    def texts(self, field: str) -> Sequence[str]:
        return self.codes if field == "code" else self.names


def make_rows() -> Made:
    rng = np.random.default_rng(5)
    columns = {name: rng.integers(0, 9, SIZE).astype(np.float64) for name in NUMBERS}
    columns["true"][::3] = np.nan
    names = [f"arch{index}" if index else "[b]odd (one)" for index in range(SIZE)]
    codes = ["".join(map(str, digits)) for digits in rng.integers(1, 8, (SIZE, 12))]
    return Made(columns, rng.integers(2, 6, (SIZE, 4)), codes, names)


ROWS = make_rows()

numbers = st.builds(
    Number,
    st.sampled_from(NUMBERS),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.one_of(st.integers(-2, 11).map(float), st.floats(allow_nan=False, allow_infinity=False)),
)
depths = st.builds(
    Depths, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.tuples(*[st.sampled_from([ANY, 2, 3, 4, 5])] * 4)
)
texts = st.builds(
    Text,
    st.sampled_from(["code", "name"]),
    st.sampled_from(["=", "!=", "~"]),
    st.text(st.characters(exclude_characters='"'), max_size=8).filter(lambda text: "\n" not in text),
)
filters = st.recursive(
    st.one_of(numbers, depths, texts),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def written(made: Filter) -> str:
    """A filter in its language."""
    match made:
        case Number():
            return f"{made.field} {made.operator} {made.value!r}"
        case Depths():
            return f"depths {made.operator} " + " ".join("*" if value == ANY else str(value) for value in made.values)
        case Text():
            quote = "'" if '"' in made.pattern else '"'
            return f"{made.field} {made.operator} {quote}{made.pattern}{quote}"
        case Not():
            return f"not ({written(made.inner)})"
        case Joined():
            return f" {made.word} ".join(f"({written(part)})" for part in made.parts)


def picked(text: str) -> set[int]:
    parsed = parse_filter(text)
    assert parsed is not None
    return set(np.flatnonzero(parsed.mask(ROWS)).tolist())


texts_of_filters = filters.map(written)


class TestLaws:
    @given(filters)
    def test_what_a_filter_prints_is_the_same_filter(self, made: Filter) -> None:
        assert parse_filter(written(made)) == made

    @given(texts_of_filters)
    def test_not_picks_the_rest(self, made: str) -> None:
        inside, outside = picked(made), picked(f"not ({made})")
        assert inside | outside == set(range(SIZE))
        assert not inside & outside

    @given(texts_of_filters, texts_of_filters)
    def test_and_is_the_intersection_and_or_the_union(self, a: str, b: str) -> None:
        assert picked(f"({a}) and ({b})") == picked(a) & picked(b)
        assert picked(f"({a}) or ({b})") == picked(a) | picked(b)

    @given(texts_of_filters, texts_of_filters, texts_of_filters)
    def test_and_binds_more_strongly_than_or(self, a: str, b: str, c: str) -> None:
        assert picked(f"({a}) or ({b}) and ({c})") == picked(f"({a}) or (({b}) and ({c}))")

    @given(st.sampled_from(NUMBERS), st.integers(-1, 10))
    def test_a_row_without_a_value_matches_no_comparison(self, field: str, value: int) -> None:
        for operator in ("=", "!=", "<", ">="):
            assert not picked(f"{field} {operator} {value}") & set(np.flatnonzero(np.isnan(ROWS.numbers(field))).tolist())

    @given(st.text(max_size=60))
    def test_any_text_is_a_filter_or_an_error_with_a_place_in_it(self, text: str) -> None:
        try:
            parse_filter(text)
        except FilterError as error:
            assert 1 <= error.position <= len(text) + 1
            assert str(error).startswith(f"at {error.position}: ")

    @given(
        st.lists(st.sampled_from([*FIELDS, "and", "or", "not", "(", ")", "<", "=", "~", "3", ".5e2", "'x'"]), max_size=12)
    )
    def test_any_heap_of_words_is_a_filter_or_an_error(self, words: list[str]) -> None:
        text = " ".join(words)
        try:
            parsed = parse_filter(text)
        except FilterError as error:
            assert 1 <= error.position <= len(text) + 1
        else:
            assert (parsed is None) == (not words)

    @given(
        st.recursive(
            st.builds(
                "{} {} {}".format,
                st.sampled_from(["acc", "macs", "depth", "error"]),
                st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
                st.integers(0, 9),
            ),
            lambda inner: st.one_of(
                inner.map("not ({})".format),
                st.builds("({} and {})".format, inner, inner),
                st.builds("{} or {}".format, inner, inner),
            ),
            max_leaves=8,
        )
    )
    def test_python_reads_the_same_text_in_the_same_way(self, text: str) -> None:
        def row(index: int) -> dict[str, object]:
            return {name: ROWS.numbers(name)[index] for name in ("acc", "macs", "depth", "error")}

        code = compile(text, "filter", "eval")
        assert picked(text) == {index for index in range(SIZE) if eval(code, {}, row(index))}


class TestReading:
    def test_the_example_of_the_issue(self) -> None:
        parsed = parse_filter("acc > .7 and macs < 2.5e9 and depths = 3 4 6 3")
        assert parsed == Joined("and", (Number("acc", ">", 0.7), Number("macs", "<", 2.5e9), Depths("=", (3, 4, 6, 3))))

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("macs < 2.5G", "macs<2.5e9"),
            ("params>=300k", "params >= 300000"),
            ("acc > 71%", "acc > 0.71"),
            ("ACC>.5 AND NOT(acc>.6)", "acc > .5 and not acc > .6"),
            ("depths == 3463", "depths = 3,4,6,3"),
            ("depths = 3*6*", "depths = 3 * 6 *"),
            ("accuracy ≥ 1", "acc >= 1"),
            ("front", "front = 1"),
            ("not front", "not front = 1"),
            ("name = 'arch1'", "name = arch1"),
            ("acc = 1 or acc = 2 or acc = 3", "(acc = 1) or (acc = 2) or (acc = 3)"),
        ],
    )
    def test_other_ways_to_say_it(self, text: str, same: str) -> None:
        assert parse_filter(text) == parse_filter(same)
        assert parse_filter(text) is not None

    @pytest.mark.parametrize("text", ["", "  ", "\t"])
    def test_nothing_is_no_filter(self, text: str) -> None:
        assert parse_filter(text) is None

    def test_texts_match_with_wildcards_and_brackets_in_names_are_letters(self) -> None:
        assert picked("name = arch1?") == set(range(10, 20))
        assert picked("name = ARCH19*") == {19, *range(190, 200)}
        assert picked("name ~ '[b]'") == {0}
        assert picked("name != arch*") == {0}
        assert all("77" in ROWS.codes[index] for index in picked("code ~ 77"))

    def test_depths_compare_stage_by_stage(self) -> None:
        for index in picked("depths >= 3 * 4 *"):
            assert ROWS.table[index][0] >= 3
            assert ROWS.table[index][2] >= 4
        assert picked("depths != 3 3 3 3") | picked("depths = 3333") == set(range(SIZE))


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "position", "message"),
        [
            ("acc", 4, "expected = != < <= > >= after acc"),
            ("acc >", 6, "expected a number to compare acc with"),
            ("acc > high", 7, "found 'high'"),
            ("speed > 3", 1, "expected one of acc, macs"),
            ("acc > .7 and", 13, "the filter ends here"),
            ("acc > .7 macs < 3", 10, "expected 'and' or 'or', found 'macs'"),
            ("(acc > .7", 10, "the ( at 1 is not closed"),
            ("acc > .7)", 9, "there is no ( for this )"),
            ("depths = 3 4 6", 15, "expected 1 more depth "),
            ("depths = 3 4", 13, "expected 2 more depths"),
            ("depths = 34637", 10, "depths are 4 digits"),
            ("code < 3", 6, "expected = != ~ after code"),
            ("code =", 7, "expected what code should hold"),
            ("acc > 1e999", 7, "too large"),
            ("name = 'x", 8, "a closing quote is missing"),
            ("acc ! 3", 5, "'!' has no meaning here"),
            (".7 < acc", 1, "found '.7'"),
            ("()", 2, "expected one of"),
            ("(" * 5000, 61, "brackets inside each other"),
            ("not " * 5000 + "front", 241, "brackets inside each other"),
        ],
    )
    def test_they_say_what_was_expected_and_where(self, text: str, position: int, message: str) -> None:
        with pytest.raises(FilterError) as caught:
            parse_filter(text)
        assert caught.value.position == position
        assert message in str(caught.value)
