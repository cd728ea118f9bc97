"""Recipes and profiles: what ships agrees with the paper, and what is wrong is named with file, key and nearest key."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.methods.candidates import CandidatePhase
from kit.methods.uniform import UniformPhase
from kit.recipe import (
    copy_recipe,
    load_profile,
    load_recipe,
    profile_names,
    recipe_names,
    recipe_path,
    to_toml,
)
from kit.recipe.loading import extended
from kit.search_space import SearchSpace

# Method section 3: name, epochs, learning rate, minimum depths, largest digits.
APS = [
    ("D1", 5, 0.001, (4, 4, 6, 4), (1, 1, 1, 1)),
    ("D2", 10, 0.002, (3, 3, 4, 3), (1, 1, 1, 1)),
    ("D3", 15, 0.004, (2, 2, 2, 2), (1, 1, 1, 1)),
    ("W1", 5, 0.001, (2, 2, 2, 2), (3, 3, 3, 3)),
    ("W2", 10, 0.002, (2, 2, 2, 2), (3, 3, 5, 5)),
    ("W3", 25, 0.004, (2, 2, 2, 2), (3, 3, 5, 7)),
]
SHALLOWER = {"baseline": (), "aps-v2": ("D2",), "aps-v3": ("D1", "D2")}
SMALL = """name = "mine"
title = "mine"

[[phases]]
name = "D"
method = "uniform"
epochs = 2
learning_rate = 0.1
"""
PARTITION = """
[partition]
stages = {stages}
cells = {cells}

[[phases]]
name = "S"
method = "candidates"
cell = 0
epochs = 1
learning_rate = 0.1
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return str(path)

    return write


def refusal(path, *overrides):
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


def aps_rows(recipe):
    phases = [phase for phase in recipe.phases if isinstance(phase, UniformPhase)]
    return [(p.name, p.epochs, p.learning_rate, p.min_depths, p.max_digits) for p in phases]


@pytest.mark.parametrize("name", SHALLOWER)
def test_aps_phases_are_the_papers(name):
    recipe = load_recipe(name)
    expected = [
        (phase, epochs, rate, (*depths[:3], 2) if phase in SHALLOWER[name] else depths, digits)
        for phase, epochs, rate, depths, digits in APS
    ]
    assert aps_rows(recipe) == expected
    assert all(p.paths == 4 and p.max_depths == (5, 5, 8, 5) for p in recipe.phases if isinstance(p, UniformPhase))


@pytest.mark.parametrize("name", ["full", "full-as-released"])
def test_the_whole_solution_counts_as_the_paper_does(name):
    recipe = load_recipe(name)
    assert aps_rows(recipe) == aps_rows(load_recipe("aps-v3"))
    cpt, *cells = [phase for phase in recipe.phases if isinstance(phase, CandidatePhase)]
    count = {p.name: p.epochs * p.paths_per_step for p in recipe.phases}
    assert sum(count[name] for name, *_ in APS) == 280
    assert count["CPT"] == 330 and (cpt.epochs, cpt.learning_rate, cpt.sampled_weight, cpt.candidates_weight) == (
        30, 0.001, 0.5, 0.5,
    )  # fmt: skip
    assert sum(count[phase.name] for phase in cells) == 240
    assert [(phase.cell, phase.epochs) for phase in cells] == [(0, 6), (1, 9), (2, 6), (3, 9)]
    weights = {(p.learning_rate, p.sampled_weight, p.candidates_weight, p.distillation) for p in cells}
    assert weights == {(0.003, 0.4, 0.2, 0.4)}
    assert recipe.needs_teacher and not load_recipe("sse34").needs_teacher
    assert recipe.optimizer.momentum == 0.9 and recipe.optimizer.weight_decay == 3e-5


def test_the_partition_gives_every_architecture_to_one_cell():
    cells = load_recipe("full").partition.subspaces(SearchSpace())
    owned = [depths for cell in cells for depths in cell.depth_choices]
    assert len(cells) == 5 and sorted(owned) == sorted(SearchSpace().depth_choices)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_being_written_and_read(name, write):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert load_recipe(write(to_toml(recipe))) == recipe


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_survives_being_written_and_read(name, write):
    profile = load_profile(name)
    assert profile.name == name
    assert load_profile(write(to_toml(profile))) == profile


@given(title=st.text(max_size=30).filter(lambda text: "\x7f" not in text), epochs=st.integers(1, 10**6))
def test_any_text_and_number_survives(tmp_path_factory, title, epochs):
    recipe = load_recipe("baseline").model_copy(update={"title": title, "description": title[::-1]})
    recipe = recipe.model_copy(update={"phases": (recipe.phases[1].model_copy(update={"epochs": epochs}),)})
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs = 2", "epoch = 2", "phases.D.epoch: unknown key (did you mean 'epochs'?)"),
        ("title =", "titel =", "titel: unknown key (did you mean 'title'?)"),
        ("epochs = 2", 'epochs = "two"', "phases.D.epochs: input should be a valid integer"),
        ("epochs = 2", "epochs = 2.0", "phases.D.epochs: "),
        ("epochs = 2", "epochs = 0", "phases.D.epochs: "),
        ("learning_rate = 0.1", "learning_rate = inf", "phases.D.learning_rate: "),
        ("learning_rate = 0.1", "learning_rate = nan", "phases.D.learning_rate: "),
        ("learning_rate = 0.1", "", "phases.D.learning_rate: this key is missing"),
        (
            'method = "uniform"',
            'method = "uniforn"',
            "phases.D.method: there is no such method (did you mean 'uniform'? there are: pretrain, ",
        ),
        ("epochs = 2", "epochs = 2\nmin_depths = [2, 2, 9, 2]", "stage 3 takes depths 2..8"),
        ("epochs = 2", "epochs = 2\nmax_digits = [1, 8, 1, 1]", "stage 2 takes width digits 1..7"),
        ("epochs = 2", "epochs = 2\nmax_digits = [1, 1, 1]", "phases.D.max_digits: "),
        ('name = "mine"', 'name = "../mine"', "name: "),
        ("[[phases]]", "[phases", "is not valid TOML"),
        ("[[phases]]", "[phases]", "phases: input should be a valid array"),
    ],
)
def test_what_is_wrong_is_named(write, old, new, expected):
    path = write(SMALL.replace(old, new, 1))
    message = refusal(path)
    assert expected in message and path in message


def test_an_empty_list_of_phases_is_refused(write):
    assert "phases: " in refusal(write('name = "mine"\ntitle = "mine"\nphases = []\n'))


def test_all_problems_come_at_once(write):
    text = SMALL.replace("epochs = 2", "epoch = 2").replace("0.1", "-1.0").replace('title = "mine"', "title = 3")
    lines = refusal(write(text)).splitlines()
    keys = [line.split(".toml: ")[1].split(":")[0] for line in lines]
    assert sorted(keys) == ["phases.D.epoch", "phases.D.epochs", "phases.D.learning_rate", "title"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ('[["2", "3"], ["3", "4", "5"]]', "cells 0 and 1 overlap: both own depths '3'"),
        ('[["2"], ["4", "5"]]', "leave a gap: nothing owns depths 3"),
        ('[["2"], ["3", "4", "6"]]', "'6' is no depth of stages [4]"),
        ('[["2", "3", "4", "5"], []]', "cell 1 is empty"),
        ('[["2", "3", "4", "5"]]\nrest = true', "own everything already"),
        ('[["2"], ["3", "4", "5"]]\nby = "width"', "nothing owns output digits 1, 6, 7"),
        ('[["8"]]\nby = "width"', "'8' is no output digit of stages [4]"),
        ('[["2"], ["3", "9"]]\nby = "total-depth"', "'9' is no total depth of stages [4]"),
    ],
)
def test_cells_neither_overlap_nor_leave_a_gap(write, cells, expected):
    message = refusal(write('name = "mine"\ntitle = "mine"\n' + PARTITION.format(cells=cells, stages=[4])))
    assert expected in message and "partition" in message


@pytest.mark.parametrize(
    ("stages", "cells", "depth_choices"),
    [
        ([1, 2, 3, 4], '[["14"], ["15"], ["16"], ["17"]]\nrest = true\nby = "total-depth"', [54, 59, 59, 54, 222]),
        ([4], '[["1", "2"], ["3", "4", "5"], ["6", "7"]]\nby = "width"', [448, 448, 448]),
    ],
)
def test_cells_by_total_depth_and_by_width_own_every_architecture_once(write, stages, cells, depth_choices):
    recipe = load_recipe(write('name = "mine"\ntitle = "mine"\n' + PARTITION.format(cells=cells, stages=stages)))
    assert load_recipe(write(to_toml(recipe), "again")) == recipe
    found = recipe.partition.subspaces(SearchSpace())
    assert [len(cell.depth_choices) for cell in found] == depth_choices
    assert sum(cell.size for cell in found) == SearchSpace().size
    for seed in range(100):
        architecture = SearchSpace().sample(random.Random(seed))
        assert sum(architecture in cell for cell in found) == sum(cell.owns(architecture) for cell in found) == 1


def test_cells_by_width_are_of_one_stage(write):
    text = PARTITION.format(cells='[["1"]]\nby = "width"', stages=[3, 4])
    assert "of one stage" in refusal(write('name = "mine"\ntitle = "mine"\n' + text))


def test_a_cell_that_does_not_exist_is_refused(write):
    path = write('name = "mine"\ntitle = "mine"\n' + PARTITION.format(cells='[["2"], ["3", "4", "5"]]', stages=[4]))
    assert "there is no cell 2: the partition has cells 0..1" in refusal(path, "phases.S.cell=2")


def test_overrides_change_their_key_and_no_other():
    before, after = load_recipe("full"), load_recipe("full", ["phases.D1.epochs=3", "title=x = y"])
    assert after.title == "x = y"
    assert after.phases[1].epochs == 3
    restored = after.model_copy(
        update={"title": before.title, "phases": (*before.phases[:1], before.phases[1], *after.phases[2:])}
    )
    assert restored == before


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("phases.D9.epochs=3", "there is no phase 'D9'"),
        ("phases.CTP.epochs=3", "did you mean 'CPT'"),
        ("phases.D1=3", "name a key of one phase"),
        ("partition.cells.0.x=3", "inside a list of values"),
        ("title.x=3", "'title' is a value"),
        ("phases=3", "phases: "),
        ("epochs", "is not key=value"),
        ("optimizer.momentun=0.5", "did you mean 'momentum'?"),
    ],
)
def test_bad_overrides_are_refused(override, expected):
    assert expected in refusal("full", override)


def test_a_phase_that_is_no_table_is_refused(write):
    path = write('name = "mine"\ntitle = "mine"\nphases = [3]\n')
    assert "phases.0" in refusal(path)
    assert "inside a list of values" in refusal(path, "phases.D.epochs=3")


def test_a_child_says_only_what_differs_and_its_new_phases_come_last(write):
    more = SMALL.replace('"D"', '"E"').split("\n\n")[1]
    parent = load_recipe(write(f"{SMALL}paths = 3\n\n{more}", "parent"))
    changed = '[[phases]]\nname = "D"\nepochs = 7\n\n'
    child = load_recipe(write('extends = "parent"\nname = "child"\n\n' + more.replace('"E"', '"F"') + changed, "child"))
    first, second, third = child.phases
    assert (first, second) == (parent.phases[0].model_copy(update={"epochs": 7}), parent.phases[1])
    assert third == second.model_copy(update={"name": "F"})
    assert child.model_copy(update={"name": "mine", "phases": parent.phases}) == parent


def test_a_phase_of_another_method_owes_the_parents_nothing(write):
    write(SMALL + "paths = 3\nmax_digits = [1, 1, 1, 1]\n" + SMALL.replace('"D"', '"E"').split("\n\n")[1], "parent")
    start = 'extends = "parent"\n[[phases]]\nname = "D"\nmethod = "candidates"\n'
    first, second = load_recipe(write(f"{start}epochs = 1\nlearning_rate = 0.5\n", "child")).phases
    assert (first.name, first.method, first.epochs, second.name) == ("D", "candidates", 1, "E")
    message = refusal(write(start, "child"))
    assert "phases.D.epochs: this key is missing" in message and "phases.D.learning_rate" in message


def test_a_phase_that_a_child_states_twice_is_refused(write):
    write(SMALL, "parent")
    twice = SMALL.split("\n\n")[1]
    assert "phase names repeat: D" in refusal(write(f'extends = "parent"\n{twice}\n{twice}', "child"))


NAMES = st.lists(st.sampled_from("ABCDEF"), unique=True, min_size=1)


@given(parents=NAMES, children=NAMES, data=st.data())
def test_merging_keeps_the_parents_order_and_every_key_that_a_child_does_not_state(parents, children, data):
    settings = st.dictionaries(st.sampled_from(["epochs", "paths", "cell"]), st.integers(1, 9))
    above = {name: data.draw(settings) for name in parents}
    below = {name: data.draw(settings) for name in children}
    table = {"phases": [{"name": name, "method": "uniform"} | above[name] for name in parents]}
    found = extended(table, {"phases": [{"name": name} | below[name] for name in children]})["phases"]
    assert [phase["name"] for phase in found] == parents + [name for name in children if name not in parents]
    for phase in found:
        expected = above.get(phase["name"], {}) | below.get(phase["name"], {})
        assert {key: value for key, value in phase.items() if key not in ("name", "method")} == expected
    assert table["phases"] == [{"name": name, "method": "uniform"} | above[name] for name in parents]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('extends = "mine"', "does not end: mine -> mine"),
        ('extends = "other"', "does not end: mine -> other -> mine"),
        ("extends = 3", "expected the name"),
        ('extends = "bassline"', "no recipe named"),
    ],
)
def test_bad_parents_are_refused(write, text, expected):
    write('extends = "mine"', "other")
    assert expected in refusal(write(text))


def test_a_long_chain_is_no_cycle(write):
    write(SMALL, "r0")
    for number in range(1, 30):
        path = write(f'extends = "r{number - 1}"\ntitle = "{number}"\n', f"r{number}")
    assert load_recipe(path).title == "29" and load_recipe(path).phases == load_recipe(write(SMALL)).phases


# Method section 4, and the tables of the paper: Pearson r on leaderboard A.
FIGURES = {
    "baseline": (1, "baseline", 0.79884),
    "aps-v2": (1, "APS_v2", 0.80141),
    "aps-v3": (1, "APS_v3", 0.80263),
    "cpt": (2, "APS_v3-CPT", 0.81415),
    "sse4": (3, "APS_v3-CPT-SSE4", 0.82166),
    "sse34": (3, "APS_v3-CPT-SSE34", 0.83768),
    "full": (3, "APS_v3-CPT-SSE34-Dis", 0.84652),
}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_names_its_row_of_the_papers_tables(name, write):
    recipe = load_recipe(name)
    if name not in FIGURES:
        assert recipe.paper is None and "Table" not in recipe.description
        return
    table, row, pearson = FIGURES[name]
    assert (recipe.paper.table, recipe.paper.row, recipe.paper.pearson) == (table, row, pearson)
    assert re.findall(r"Table (\d+)", recipe.description) == [str(table)] and f'row "{row}"' in recipe.description
    # It is no row of the paper any more when somebody changes it.
    assert load_recipe(write(f'extends = "{name}"\nname = "changed"\n')).paper is None


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError) as caught:
        load_recipe("ful")
    assert "did you mean full?" in caught.value.hint
    with pytest.raises(InputError) as caught:
        load_profile("namo")
    assert "did you mean nano?" in caught.value.hint


def test_copying_gives_the_same_recipe_and_never_overwrites(tmp_path):
    target = copy_recipe("full", tmp_path)
    assert target.read_bytes() == recipe_path("full").read_bytes()
    target.write_text("precious")
    for destination in (tmp_path, target):
        with pytest.raises(InputError, match="exists already"):
            copy_recipe("cpt" if destination == target else "full", destination)
    assert target.read_text() == "precious"


def test_as_released_differs_where_the_code_does():
    for paper, code in zip(load_recipe("full").phases, load_recipe("full-as-released").phases, strict=True):
        if code.method == "candidates":
            assert (code.distance, code.redraw_steps, code.sample_from) == ("as-released", (0, 500), "pool")
            assert code.allow_duplicates and code.neighbours == code.candidates - 1
            assert (paper.distance, paper.redraw_steps, paper.sample_from) == ("paper", (), "space")
        else:
            assert code == paper


def test_a_missing_method_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ntitle = "t"\n[[phases]]\nname = "A"\nepochs = 1\nlearning_rate = 0.1\n')
    with pytest.raises(InputError, match=r"mine\.toml: phases\.A.*method"):
        load_recipe(str(path))
