"""Recipes against the paper's tables, and errors that say where and what."""

import pytest

from kit.errors import InputError
from kit.recipe import copy_recipe, load_profile, load_recipe, profile_names, recipe_names, to_toml

APS = [  # name, epochs, rate for 256 images, minimum depths, width digits: method of the paper, section 3.2
    ("D1", 5, 0.001, (4, 4, 6, 4), (1, 1, 1, 1)),
    ("D2", 10, 0.002, (3, 3, 4, 3), (1, 1, 1, 1)),
    ("D3", 15, 0.004, (2, 2, 2, 2), (1, 1, 1, 1)),
    ("W1", 5, 0.001, (2, 2, 2, 2), (3, 3, 3, 3)),
    ("W2", 10, 0.002, (2, 2, 2, 2), (3, 3, 5, 5)),
    ("W3", 25, 0.004, (2, 2, 2, 2), (3, 3, 5, 7)),
]


def table(recipe):
    phases = [phase for phase in recipe.phases if phase.method == "uniform"]
    assert all(phase.paths == 4 and phase.max_depths == (5, 5, 8, 5) for phase in phases)
    return [(p.name, p.epochs, p.learning_rate, p.min_depths, p.max_digits) for p in phases]


def with_stage_4_open_from(first):
    return [
        (name, epochs, rate, (*low[:3], 2) if int(name[1]) >= first and name[0] == "D" else low, digits)
        for name, epochs, rate, low, digits in APS
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("baseline", APS), ("aps-v2", with_stage_4_open_from(2)), ("aps-v3", with_stage_4_open_from(1))],
)
def test_progressive_shrinking_is_the_papers_table(name, expected):
    assert table(load_recipe(name)) == expected


@pytest.mark.parametrize("name", ["cpt", "sse4", "sse34", "full", "full-as-released"])
def test_everything_after_starts_from_version_3(name):
    assert table(load_recipe(name)) == with_stage_4_open_from(1)


@pytest.mark.parametrize("name", ["full", "full-as-released"])
def test_sub_network_epochs_are_the_papers(name):
    passes = {}
    for phase in load_recipe(name).phases:
        kind = {"uniform": "APS", "pretrain": "pretrain"}.get(phase.method, phase.name[:3])
        passes[kind] = passes.get(kind, 0) + phase.epochs * phase.paths_per_step
    assert (passes["APS"], passes["CPT"], passes["SSE"]) == (280, 330, 240)


def test_distilled_sub_supernets_follow_the_facts():
    recipe = load_recipe("full")
    sse = [phase for phase in recipe.phases if phase.name.startswith("SSE")]
    assert [(p.cell, p.epochs, p.learning_rate) for p in sse] == [(0, 6, 0.003), (1, 9, 0.003), (2, 6, 0.003), (3, 9, 0.003)]
    assert {(p.sampled_weight, p.candidates_weight, p.distillation) for p in sse} == {(0.4, 0.2, 0.4)}
    assert {(p.candidates, p.recent, p.neighbours) for p in sse} == {(7, 80, 6)}
    assert recipe.needs_teacher and not load_recipe("sse34").needs_teacher


def test_as_released_differs_where_the_code_does():
    for paper, code in zip(load_recipe("full").phases, load_recipe("full-as-released").phases, strict=True):
        if code.method == "candidates":
            assert (code.distance, code.redraw_steps, code.sample_from) == ("as-released", (0, 500), "pool")
            assert code.allow_duplicates and code.neighbours == code.candidates - 1
            assert (paper.distance, paper.redraw_steps, paper.sample_from) == ("paper", (), "space")
        else:
            assert code == paper


@pytest.mark.parametrize("name", recipe_names())
def test_a_written_recipe_reads_back(name, tmp_path):
    path = tmp_path / "copy.toml"
    path.write_text(to_toml(load_recipe(name)))
    assert load_recipe(str(path)) == load_recipe(name)


@pytest.mark.parametrize("name", profile_names())
def test_a_written_profile_reads_back(name, tmp_path):
    path = tmp_path / "copy.toml"
    path.write_text(to_toml(load_profile(name)))
    assert load_profile(str(path)) == load_profile(name)


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["phases.D1.epoch=3"], ["phases.D1.epoch: unknown key (did you mean 'epochs'?)"]),
        (["phases.CPT.candidate=3"], ["phases.CPT.candidate: unknown key (did you mean 'candidates'?)"]),
        (["phases.CPT.candidates='x'"], ["phases.CPT.candidates: input should be a valid integer, found 'x'"]),
        (["optimzer.momentum=0.5", "phases.D1.epochs=1.5"], ["optimzer", "phases.D1.epochs"]),
        (["phases=[]"], ["phases", "at least 1 item"]),
        (["partition.rest=false"], ["gap", "33, 34"]),
        (["partition.cells=[['22'],['22']]"], ["cells 0 and 1 overlap: both own depths '22'"]),
        (["partition.cells=[['22'],['99']]"], ["partition.cells.1.0"]),
        (["phases.D1.min_depths=[6,2,2,2]"], ["stage 1 takes depths 2..5"]),
        (["phases.D9.epochs=1"], ["there is no phase 'D9'"]),
        (["phases.SSE-0.cell=9"], ["there is no cell 9"]),
        (["phases.SSE-0.cell=1"], ["two phases train the same cell"]),
    ],
)
def test_errors_name_the_key_and_all_come_at_once(overrides, messages):
    with pytest.raises(InputError) as refusal:
        load_recipe("full", overrides)
    assert all(message in str(refusal.value) for message in messages)


def test_a_missing_method_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ntitle = "t"\n[[phases]]\nname = "A"\nepochs = 1\nlearning_rate = 0.1\n')
    with pytest.raises(InputError, match=r"mine\.toml: phases\.A.*method"):
        load_recipe(str(path))


def test_extends_puts_the_parents_phases_first(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'extends = "spos"\nname = "mine"\ntitle = "t"\n[[phases]]\nname = "more"\nmethod = "uniform"\nepochs = 1\nlearning_rate = 0.1\n'
    )
    assert [phase.name for phase in load_recipe(str(tmp_path / "mine.toml")).phases] == ["pretrain", "uniform", "more"]


def test_a_recipe_that_extends_itself_ends(tmp_path):
    (tmp_path / "loop.toml").write_text('extends = "loop"\nname = "loop"\ntitle = "t"\n')
    with pytest.raises(InputError, match="does not end"):
        load_recipe(str(tmp_path / "loop.toml"))


def test_copying_never_overwrites(tmp_path):
    target = copy_recipe("cpt", tmp_path)
    assert load_recipe(str(target)) == load_recipe("cpt")
    target.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        copy_recipe("cpt", tmp_path)
    assert target.read_text() == "mine"
