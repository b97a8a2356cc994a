"""20,000 inputs each time, a million in a soak: mutations of good files, and documents that hypothesis makes."""

import json
import subprocess
import sys
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import soak
from tests.fuzz.mutation import inputs
from tests.fuzz.run import feed, run
from tests.fuzz.targets import ROOT, TARGETS, Target, kept

MUTATED = {
    "preset": 2000,
    "setting": 3000,
    "formula": 1500,
    "checkpoint": 2000,
    "optimizer": 1000,
    "weights": 500,
    "record": 2000,
    "events": 1500,
    "command": 2000,
    "metrics": 1000,
    "data": 1000,
}
DOCUMENTS = 500  # for each of the five that read JSON or values
PROCESSES = 2

every_target = pytest.mark.parametrize("name", TARGETS)

# Keys and values that the formats have, in places where they do not belong.
_KEYS = st.sampled_from(
    [
        "event",
        "iteration",
        "seed",
        "optimizer",
        "numbers",
        "min_log",
        "resumed_from",
        "findings",
        "status",
        "command",
        "iterations",
        "host",
        "pid",
        "format",
        "levels",
        "versions",
        "created",
        "updated",
        "message",
        "seeds",
        "baselines",
    ]
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["start", "progress", "diagnosis", "finding", "checkpoint", "end", "RNN", "running", "extend", "stop"]
    ),
    st.sampled_from([0, 1, 40, "2026-11-26T00:02:02.304+00:00", "0001-01-01T00:00:00+00:00"]),
)
_DOCUMENTS = st.recursive(
    st.dictionaries(_KEYS, _VALUES, max_size=6),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner | _VALUES, max_size=8)),
    max_leaves=12,
)


def test_there_are_so_many() -> None:
    assert sum(MUTATED.values()) + 5 * DOCUMENTS == 20_000
    assert MUTATED.keys() == TARGETS.keys()


@every_target
def test_what_has_once_failed_does_not_fail_again(name: str) -> None:
    for content in kept(name):
        feed(TARGETS[name], content)


@every_target
@pytest.mark.timeout(600)
def test_mutations_of_what_is_good(name: str) -> None:
    for content in islice(inputs(TARGETS[name], Random(0)), MUTATED[name]):  # noqa: S311 (the same each time)
        feed(TARGETS[name], content)


def merged(target: Target, document: Any) -> bytes:
    """Return one of a target's good documents with other values in it, or a document of its own."""
    good = json.loads(target.good()[0].splitlines()[0] if b"\n{" in target.good()[0] else target.good()[0])
    whole = good | document if isinstance(document, dict) else document
    return json.dumps(whole).encode()


@pytest.mark.parametrize("name", ["record", "events", "command"])
@settings(max_examples=DOCUMENTS)
@given(document=_DOCUMENTS)
def test_documents_with_other_values(name: str, document: Any) -> None:
    feed(TARGETS[name], merged(TARGETS[name], document))


@pytest.mark.parametrize("name", ["setting", "metrics"])
@settings(max_examples=DOCUMENTS)
@given(places=st.lists(st.tuples(st.integers(0, 20), _VALUES), min_size=1, max_size=3))
def test_rows_and_settings_with_other_values(name: str, places: list[tuple[int, Any]]) -> None:
    content = TARGETS[name].good()[0].decode()
    cells = content.replace("\n", ",\n,").split("," if name == "metrics" else "=")
    for place, value in places:
        cells[place % len(cells)] = str(value)
    text = ("," if name == "metrics" else "=").join(cells).replace(",\n,", "\n")
    feed(TARGETS[name], text.encode("utf-8", "surrogatepass"))


@pytest.mark.soak
@every_target
def test_a_million_inputs(name: str) -> None:
    number = soak.times(1_000_000 // len(TARGETS) // PROCESSES + 1)
    command = [sys.executable, "-m", "tests.fuzz.run", name, f"--inputs={number}", "--seconds=300"]
    started = [
        subprocess.Popen(
            [*command, f"--seed={seed}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for seed in range(1, PROCESSES + 1)
    ]
    for process in started:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert int(out) > 0


def test_a_process_of_its_own_does_the_same() -> None:
    assert run("command", 200, seed=3, seconds=60) == 200
