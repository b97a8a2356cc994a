"""The key table: no conflicts, nothing without help, and every action there."""

from itertools import chain, combinations

import pytest
from textual.screen import Screen

from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import HelpScreen
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.keyed import KeyedScreen
from l2o_tui.screens.study import StudyScreen
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state import keys

SCREENS: dict[str, type[KeyedScreen[None]]] = {
    keys.TRAINING: TrainingScreen,
    keys.HOME: HomeScreen,
    keys.COMPARE: CompareScreen,
    keys.OF_STUDY: StudyScreen,
}


@pytest.mark.parametrize("screen", SCREENS)
def test_no_key_does_two_things_at_once(screen: str) -> None:
    for one, other in combinations(keys.on(screen), 2):
        shared = set(one.keys.split(",")) & set(other.keys.split(","))
        drivers = {one.driver, other.driver} - {""}
        assert not shared or not one.phases & other.phases or len(drivers) == 2, (one, other)


@pytest.mark.parametrize("screen", SCREENS)
def test_every_binding_of_a_screen_comes_from_the_table(screen: str) -> None:
    ours = [
        kind for kind in SCREENS[screen].__mro__ if issubclass(kind, Screen) and kind.__module__ != Screen.__module__
    ]
    bound = list(chain.from_iterable(vars(kind).get("BINDINGS", ()) for kind in ours))
    assert bound == keys.bindings(screen)
    assert {key for binding in bound for key in binding.key.split(",")} == {
        name for key in keys.on(screen) for name in key.keys.split(",")
    }


@pytest.mark.parametrize("screen", SCREENS)
def test_every_key_has_help_and_an_action_of_its_screen(screen: str) -> None:
    for key in keys.on(screen):
        assert key.help.endswith(".")
        assert hasattr(SCREENS[screen], f"action_{key.action.partition('(')[0]}"), key
        assert key.label or not key.shown


@pytest.mark.parametrize("screen", SCREENS)
def test_palette_commands_are_named_area_and_verb_and_each_once(screen: str) -> None:
    commands = [key.command for key in keys.on(screen) if key.command]
    assert len(set(commands)) == len(commands)
    assert all(command.partition(": ")[0] in {"run", "preset", "study", "view", "chart", "app"} for command in commands)
    actions = {key.action for key in keys.on(screen)}
    assert actions == {key.action for key in keys.on(screen) if key.command}


@pytest.mark.parametrize("screen", SCREENS)
def test_the_help_tells_every_key(screen: str) -> None:
    lines = keys.help_lines(keys.on(screen))
    for key in keys.on(screen):
        assert (keys.readable(key), key.help) in [(names.strip(), text) for names, text in lines]
    assert len({len(names) for names, _ in lines}) == 1
    assert SCREENS[screen].READING
    HelpScreen(keys.on(screen), (), SCREENS[screen].READING)


def test_every_key_belongs_to_a_screen() -> None:
    assert all(key.screens and key.screens <= SCREENS.keys() for key in keys.KEYS)


def offered(screen: str, phase: str, driver: str = "", there: frozenset[str] = keys.EVERYTHING) -> set[str]:
    return {key.action for key in keys.offered(screen, phase, driver, there)}


def test_every_action_is_offered_just_when_it_applies() -> None:
    running = offered(keys.TRAINING, keys.RUNNING, keys.OWN)
    assert {"pause", "checkpoint", "extend", "detach", "leave"} <= running
    assert not {"go_on", "stop"} & running
    watched = offered(keys.TRAINING, keys.PAUSED, keys.WATCHED)
    assert {"go_on", "stop"} <= watched
    assert not {"pause", "detach"} & watched
    assert {"checkpoint", "extend"} <= offered(keys.TRAINING, keys.FINISHED, keys.OWN)
    assert not {"checkpoint", "extend"} & offered(keys.TRAINING, keys.FINISHED, keys.WATCHED)  # nobody is there to obey
    assert "extend" not in offered(keys.TRAINING, keys.LOADING, keys.OWN)
    assert "extend" not in offered(keys.TRAINING, keys.DIVERGED, keys.OWN)
    one_seed = offered(keys.TRAINING, keys.RUNNING, keys.OWN, frozenset())
    assert running - one_seed == {"next_seed", "each_seed", "unpin", "evaluate", "other_problem", "remedy"}
    assert "evaluate" in offered(keys.HOME, keys.IDLE_RUN) & offered(keys.HOME, keys.DRIVEN_RUN)
    assert "evaluate" not in offered(keys.HOME, keys.PRESET) | offered(keys.TRAINING, keys.LOADING)
    assert offered(keys.HOME, keys.NOTHING) - offered(keys.HOME, keys.NOTHING, there=frozenset()) == {
        "clear_filter",
        "diff",
    }
    assert "back" in offered(keys.COMPARE, keys.FINISHED, there=frozenset())
    assert {"start", "filter"} <= offered(keys.HOME, keys.PRESET)
    assert {"attach", "compare", "export"} <= offered(keys.HOME, keys.DRIVEN_RUN)
    assert not {"resume", "delete", "look"} & offered(keys.HOME, keys.DRIVEN_RUN)
    assert {"resume", "delete", "look"} <= offered(keys.HOME, keys.IDLE_RUN)
    assert all("leave" in offered(screen, phase) for screen in SCREENS for phase in keys.ALWAYS)


def test_actions_that_the_table_does_not_have_always_apply() -> None:
    assert keys.applies(keys.TRAINING, "command_palette", keys.RUNNING)
    assert not keys.applies(keys.TRAINING, "stop", keys.RUNNING, keys.OWN)
