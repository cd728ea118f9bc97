"""Pools in columns: equal to the search space's own answers, one architecture at a time."""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.costs import costs
from kit.errors import InputError
from kit.pool import Entry
from kit.recipe import Partition, load_profile, load_recipe
from kit.search_space import RESNET48, InvalidArchitectureError, SearchSpace
from kit.submission.selection import Scored, pareto_front
from kit.watch.filter_language import parse_filter
from kit.watch.pool_rows import PoolRows, make_rows, parse_codes, ranks
from kit.watch.pool_selection import PoolSelection

IMAGES = 40
IMAGENET, FASHION = load_profile("imagenet"), load_profile("fashion")
CELLS = load_recipe("full").partition.subspaces(FASHION.search_space)
BY_WIDTH = Partition(by="width", stages=(4,), cells=(("1", "2"), ("3", "5")), rest=True).subspaces(FASHION.search_space)


def entries(seed: int, count: int, *, scored: bool = True) -> list[Entry]:
    """Distinct architectures with few different accuracies, so that there are ties."""
    rng = random.Random(seed)
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes.setdefault(RESNET48.sample(rng).code)
    return [Entry(f"arch{n}", code, rng.randrange(IMAGES) / IMAGES if scored else None) for n, code in enumerate(codes)]


def rows_of(pool: list[Entry], **values: object) -> PoolRows:
    return make_rows(pool, FASHION, source="test", **values)  # type: ignore[arg-type]


class TestCosts:
    @given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([IMAGENET, FASHION]))
    def test_columns_equal_what_the_search_space_says_of_each(self, seed: int, count: int, profile: object) -> None:
        pool = entries(seed, count)
        rows = make_rows(pool, profile, source="test")  # type: ignore[arg-type]
        space = profile.search_space  # type: ignore[attr-defined]
        for index, entry in enumerate(pool):
            architecture = space.parse(entry.code)
            cost = costs(architecture, profile.scale)  # type: ignore[attr-defined]
            assert [rows.numbers(name)[index] for name in ("macs", "params", "depth")] == [
                cost.macs,
                cost.params,
                cost.depth,
            ]
            assert rows.numbers("stem")[index] == architecture.stem_channels
            assert tuple(rows.depths()[index]) == architecture.depths
            assert rows.numbers("acc")[index] == entry.accuracy

    @pytest.mark.parametrize("cells", [CELLS, BY_WIDTH])
    def test_cells_are_those_that_hold_the_architecture(self, cells: Sequence[SearchSpace]) -> None:
        pool = entries(3, 60)
        rows = rows_of(pool, cells=cells)
        for index, entry in enumerate(pool):
            owners = [number for number, cell in enumerate(cells) if FASHION.search_space.parse(entry.code) in cell]
            assert [rows.numbers("cell")[index]] == owners


class TestCodes:
    @given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 51), st.sampled_from("0123456789")), max_size=2))
    def test_what_parse_refuses_is_refused_and_nothing_else(self, seed: int, changes: list[tuple[int, str]]) -> None:
        code = list(RESNET48.sample(random.Random(seed)).code)
        for at, digit in changes:
            code[at] = digit
        text = "".join(code)
        try:
            RESNET48.parse(text)
        except InvalidArchitectureError as expected:
            with pytest.raises(InvalidArchitectureError) as caught:
                parse_codes([text], RESNET48, lambda index: f"row {index}")
            assert str(caught.value) == f"row 0: {expected}"
            assert caught.value.position == expected.position
        else:
            assert "".join(map(str, parse_codes([text], RESNET48, str)[0])) == text

    @pytest.mark.parametrize("code", ["", "1" * 51, "1" * 53, "x" * 52, "²" * 52, "\u0661" * 52, "[b]" * 17 + "1"])
    def test_what_is_no_code_at_all_is_refused(self, code: str) -> None:
        with pytest.raises(InvalidArchitectureError, match="row 1: "):
            parse_codes([RESNET48.largest.code, code], RESNET48, lambda index: f"row {index}")

    def test_a_subspace_refuses_what_lies_outside(self) -> None:
        space = RESNET48.restrict(max_digits=(3, 3, 5, 7), min_depths=(3, 3, 3, 3))
        with pytest.raises(InvalidArchitectureError, match="depths"):
            parse_codes([RESNET48.smallest.code], space, str)

    def test_a_code_that_occurs_twice_is_named(self) -> None:
        pool = entries(1, 5)
        with pytest.raises(InputError, match=r"'again' repeats the architecture"):
            rows_of([*pool, Entry("again", pool[2].code, 0.5)])


class TestColumns:
    @given(st.integers(0, 10**6), st.integers(1, 60))
    def test_the_front_is_that_of_the_submission(self, seed: int, count: int) -> None:
        pool = entries(seed, count)
        rows = rows_of(pool)
        scored = [
            Scored(
                RESNET48.parse(entry.code),
                round((entry.accuracy or 0) * IMAGES),
                IMAGES,
                entry.name,
                int(rows.numbers("macs")[n]),
            )
            for n, entry in enumerate(pool)
        ]
        assert {entry.code for entry in pareto_front(scored)} == {rows.codes[n] for n in np.flatnonzero(rows.front)}

    def test_without_scores_there_is_no_front_and_no_error(self) -> None:
        rows = rows_of(entries(2, 5, scored=False))
        assert not rows.has_scores
        assert not rows.front.any()
        assert np.isnan(rows.numbers("error")).all()

    @given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
    def test_ranks_keep_the_order_and_their_sum(self, values: list[int]) -> None:
        found = ranks(np.array(values, dtype=float))
        assert found.sum() == len(values) * (len(values) + 1) / 2
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                assert (found[i] < found[j]) == (a > b)

    def test_rank_errors_are_about_rows_that_have_both(self) -> None:
        pool = entries(4, 10)
        truth = {entry.code: 1 - (entry.accuracy or 0) for entry in pool[:6]}
        rows = rows_of(pool, truth=truth)
        errors = rows.numbers("error")
        assert np.isnan(errors[6:]).all()
        assert errors[:6].sum() == 0
        best = max(range(6), key=lambda row: pool[row].accuracy or 0)
        assert errors[best] < 0


class TestSelection:
    @given(st.integers(0, 10**6), st.sampled_from(["acc", "macs", "depth", "depths", "name", "code", "true"]), st.booleans())
    def test_sorting_is_an_order_of_all_rows(self, seed: int, name: str, down: bool) -> None:
        pool = entries(seed, 30)
        rows = rows_of(pool, truth={entry.code: 0.5 for entry in pool[::2]})
        order = rows.order(name, down=down)
        assert sorted(order.tolist()) == list(range(30))
        if name in ("name", "code"):
            values = [rows.texts(name)[row] for row in order]
        elif name == "depths":
            values = [tuple(rows.depths()[row]) for row in order]
        else:
            column = rows.numbers(name)[order]
            known = int(np.isfinite(column).sum())
            assert np.isfinite(column[:known]).all()
            values = column[:known].tolist()
        assert values == sorted(values, reverse=down)

    def test_equal_rows_keep_the_pools_order_both_ways(self) -> None:
        rows = rows_of(entries(7, 80))
        for down in (False, True):
            order = rows.order("acc", down=down)
            for a, b in pairwise(order.tolist()):
                if rows.numbers("acc")[a] == rows.numbers("acc")[b]:
                    assert a < b

    def test_filter_front_and_sort_go_together(self) -> None:
        rows = rows_of(entries(8, 120))
        selection = PoolSelection()
        selection.use(rows)
        assert selection.shown.tolist() == list(range(120))
        selection.sort_by("macs")
        selection.sort_by("macs")
        assert selection.sort == ("macs", True)
        selection.matching = parse_filter("depth >= 14")
        selection.front_only = True
        selection.pick()
        shown = selection.shown
        assert set(shown.tolist()) == {n for n in range(120) if rows.front[n] and rows.numbers("depth")[n] >= 14}
        assert (np.diff(rows.numbers("macs")[shown]) <= 0).all()
        for place, row in enumerate(shown.tolist()):
            assert selection.place(rows.codes[row]) == place
            assert selection.row(place) == row
        hidden = next(n for n in range(120) if n not in set(shown.tolist()))
        assert selection.place(rows.codes[hidden]) is None
        assert selection.row(len(shown)) is None
