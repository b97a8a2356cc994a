"""The story: which part of it a preset is of, and in which order they are told."""

from l2o_engine.presets.files import check, load, override
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.story import BEYOND, by_part, episode_of, group_of, in_order

SHIPPED = {name: load(find(name)) for name in shipped_names()}


def test_a_preset_is_of_the_episode_that_it_or_its_notebook_says() -> None:
    plain = check({"name": "mine"})
    assert (episode_of(plain), group_of(plain)) == (None, BEYOND)
    assert group_of(override(plain, ["episode=3"])) == "episode3"
    assert {group_of(SHIPPED[name]) for name in ("log30", "baselines")} == {"episode1"}
    assert (group_of(SHIPPED["logdiv_sum_log"]), group_of(SHIPPED["log30_unit"])) == ("episode2", BEYOND)


def test_the_story_is_told_part_by_part() -> None:
    parts = {part: [preset.name for preset in presets] for part, presets in by_part(reversed(SHIPPED.values()))}
    assert list(parts) == ["episode1", "episode2", "episode3", "deepmind", BEYOND]
    assert parts["episode1"] == [
        *("simple_sum", "simple_end_log", "simple_end", "log15_end", "log15_end_log", "log30", "baselines")
    ]
    assert parts["episode3"] == [
        *("rotated2", "rotated10", "rosenbrock", "rastrigin", "mixture", "generalist"),
        *("beale", "booth", "branin", "styblinski_tang", "ackley"),
    ]
    assert sorted(name for names in parts.values() for name in names) == shipped_names()


def test_presets_without_a_place_are_told_by_name_behind_those_with_one() -> None:
    made = [check({"name": name, "episode": 3} | place) for name, place in (("b", {}), ("a", {}), ("c", {"place": 7}))]
    assert [preset.name for preset in in_order(made)] == ["c", "a", "b"]


def test_where_it_is_told_makes_no_other_experiment_of_a_preset() -> None:
    notebook = SHIPPED["log30"]
    assert override(notebook, ["episode=3", "place=2"]).notebook == notebook.notebook
