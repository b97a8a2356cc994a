"""The key table: no conflicts, nothing without help, and every action there."""

from itertools import combinations

from l2o_tui import keys
from l2o_tui.screens.training import TrainingScreen


def test_no_key_does_two_things_at_once() -> None:
    for one, other in combinations(keys.KEYS, 2):
        shared = set(one.keys.split(",")) & set(other.keys.split(","))
        assert not shared or not one.phases & other.phases, (one, other)


def test_every_key_has_help_and_an_action_of_the_screen() -> None:
    for key in keys.KEYS:
        assert key.help.endswith(".")
        assert hasattr(TrainingScreen, f"action_{key.action.partition('(')[0]}")
        assert key.label or not key.shown


def test_palette_commands_are_named_area_and_verb_and_each_once() -> None:
    commands = [key.command for key in keys.KEYS if key.command]
    assert len(set(commands)) == len(commands)
    assert all(command.partition(": ")[0] in {"run", "view", "app"} for command in commands)
    assert {key.action for key in keys.KEYS} == {key.action for key in keys.KEYS if key.command}


def test_every_action_is_offered_just_when_it_applies() -> None:
    assert keys.applies("pause", keys.RUNNING)
    assert not keys.applies("pause", keys.PAUSED)
    assert keys.applies("go_on", keys.PAUSED)
    assert not keys.applies("extend", keys.LOADING)
    assert keys.applies("extend", keys.FINISHED)
    assert not keys.applies("extend", keys.DIVERGED)
    assert all(keys.applies("leave", phase) for phase in keys.ALWAYS)
    assert all(keys.applies("command_palette", phase) for phase in keys.ALWAYS)
