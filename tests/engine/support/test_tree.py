"""A state as a tree: parted into arrays and JSON, joined again, bit for bit."""

import json
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from l2o_engine.support.tree import join, part, to_tree

NAMES = st.text("abcdefgh", min_size=1, max_size=4)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)  # generators' states are of 128 bits
    | st.floats()
    | st.text(max_size=4)
    | arrays(np.float32, array_shapes(max_dims=2, max_side=3))
)
TREES = st.dictionaries(NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3)))


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name, inner in one.items():
            assert_same(inner, other[name])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, float) and isnan(one):
        assert isnan(other)
    else:
        assert one == other


@given(TREES)
def test_a_tree_is_joined_as_it_was_parted_by_way_of_json(tree: dict[str, Any]) -> None:
    found, rest = part(tree)
    text = json.dumps(rest, allow_nan=False)
    assert_same(join(found, json.loads(text)), tree)


class Pair(NamedTuple):
    first: float
    second: float


@dataclass(frozen=True)
class State:
    done: int
    numbers: dict[str, float]
    pair: Pair


def test_dataclasses_and_named_tuples_are_dicts() -> None:
    tree = to_tree(State(3, {"min_log": -inf, "x": nan}, Pair(0.5, 0.25)))
    assert list(tree) == ["done", "numbers", "pair"]
    assert tree["pair"] == {"first": 0.5, "second": 0.25}
    assert part(tree)[1]["numbers"] == {"min_log": {"$float": "-inf"}, "x": {"$float": "nan"}}


def test_arrays_are_named_by_their_place() -> None:
    found, rest = part({"a": {"b": np.zeros(2)}, "c": np.ones(1)})
    assert {name: values.shape for name, values in found.items()} == {"a.b": (2,), "c": (1,)}
    with pytest.raises(KeyError):
        join({"c": found["c"]}, rest)


@given(st.dictionaries(st.sampled_from(["array", "float", "a"]), st.floats(0, 1), max_size=2))
def test_no_name_is_taken_for_what_stands_for_an_array_or_a_number(tree: dict[str, float]) -> None:
    found, rest = part({"numbers": tree})
    assert join(found, rest) == {"numbers": tree}


def test_a_name_like_ours_for_an_array_is_refused() -> None:
    with pytest.raises(ValueError, match=r"numbers has a part called \$array"):
        part({"numbers": {"$array": True}})


@pytest.mark.parametrize("leaf", [object(), {1, 2}, b"bytes", np.float64])
def test_what_cannot_be_saved_is_named(leaf: object) -> None:
    with pytest.raises(ValueError, match=r"a\.b is a"):
        part({"a": {"b": leaf}})
