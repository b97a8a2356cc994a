"""Labels: what experiments share is dropped, what differs is said shortly and never lost."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.labels import short_number, what_differs, without_common_beginning
from tests.engine.tiny import tiny_preset


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0001, "1e-4"),
        (3e-4, "3e-4"),
        (0.01, "0.01"),
        (0.03, "0.03"),
        (1.5e-4, "1.5e-4"),
        (1e-12, "1e-12"),
        (0.34, "0.34"),
        (-30.0, "-30"),
        (-0.0025, "-0.0025"),
        (32, "32"),
        (1000, "1000"),
        (50_000, "5e4"),
        (12_345, "12345"),
        (1e30, "1e30"),
        (0.0, "0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (nan, "nan"),
        (-inf, "-inf"),
    ],
)
def test_numbers_are_short(value: float, said: str) -> None:
    assert short_number(value) == said


@given(st.floats(allow_nan=False) | st.integers(-(10**15), 10**15))
def test_a_short_number_is_the_number(value: float) -> None:
    assert float(short_number(value)) == value
    assert len(short_number(value)) <= len(repr(value))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["meta.learning_rate=1e-4", "meta.learning_rate=3e-4"], ["lr 1e-4", "lr 3e-4"]),
        (["meta.epsilon=1e-12", "meta.epsilon=1e-8"], ["ε 1e-12", "ε 1e-8"]),
        (["network.hidden=32", "network.hidden=64"], ["hidden 32", "hidden 64"]),
        (["inputs.min_log=-30.0", "inputs.min_log=-15.0"], ["min_log -30", "min_log -15"]),
        (["baseline.0.learning_rate=0.3", "baseline.0.learning_rate=0.2"], ["SGD lr 0.3", "SGD lr 0.2"]),
        (
            ["unroll.second_derivatives=true", "unroll.second_derivatives=false"],
            ["second_derivatives yes", "second_derivatives no"],
        ),
        (["objective.kind=end", "objective.kind=end_log"], ["objective end", "objective end_log"]),
        (["inputs={kind='ratio'}", "inputs={kind='identity'}"], ["inputs ratio", "inputs identity"]),
    ],
)
def test_what_differs_is_said(settings: list[str], said: list[str]) -> None:
    base = ["inputs.kind=log"] if "min_log" in settings[0] else []
    assert what_differs([experiment_settings(tiny_preset(*base, one)) for one in settings]) == said


def test_what_goes_with_a_kind_is_said_where_it_differs_itself() -> None:
    ones = [
        ("inputs.kind=log", "inputs.min_log=-30.0"),
        ("inputs.kind=log", "inputs.min_log=-15.0"),
        ("inputs.kind=identity",),
    ]
    said = what_differs([experiment_settings(tiny_preset(*one)) for one in ones])
    assert said == ["inputs log, min_log -30", "inputs log, min_log -15", "inputs identity"]


def test_two_settings_of_one_short_name_go_by_their_keys() -> None:
    ones: list[dict[str, object]] = [{"a.size": 1, "b.size": 2}, {"a.size": 2, "b.size": 1}]
    assert what_differs(ones) == ["a.size 1, b.size 2", "a.size 2, b.size 1"]


def test_what_only_one_has_is_said_where_nothing_else_tells_them_apart() -> None:
    assert what_differs([{"a.size": 1}, {"a.size": 1, "a.more": 2}]) == ["", "more 2"]
    assert what_differs([{"a.size": 1}, {"a.size": 1}]) == ["", ""]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["log30-s0-20261126-005411", "log30-s0-20261126-005416"], ["005411", "005416"]),
        (["log30-s0-1", "log30-s0-1-2"], ["1", "1-2"]),
        (["first", "second"], ["first", "second"]),
        (["firs", "first"], ["firs", "first"]),
        (["alone"], ["alone"]),
        (["same", "same"], ["same", "same"]),
        (["runs/a/x", "runs/b/x"], ["a/x", "b/x"]),
    ],
)
def test_common_beginnings_are_dropped(names: list[str], short: list[str]) -> None:
    assert without_common_beginning(names) == short


@given(st.lists(st.text("ab-_. ", min_size=1), min_size=1, max_size=5, unique=True))
def test_names_that_differ_go_on_differing(names: list[str]) -> None:
    short = without_common_beginning(names)
    assert len(set(short)) == len(names)
    assert all(short)
    assert all(name.endswith(one) for name, one in zip(names, short, strict=True))
