"""Names: whatever the alphabet they fit, and numbers behind them stay whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_tui.text.names import Shown, cut, left, named, names_beside, right, wrapped

LETTERS = "ab é均方根e\u0301ｱ가\u0308-_."


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("learning_rate", 13, "learning_rate"),
        ("learning_rate", 7, "lea…ate"),
        ("learning_rate", 6, "le…ate"),
        ("learning_rate", 2, "…e"),
        ("learning_rate", 1, "…"),
        ("learning_rate", 0, ""),
        ("均方根传播法", 12, "均方根传播法"),
        ("均方根传播法", 11, "均方…传播法"),
        ("均方根传播法", 10, "均方…播法"),
        ("均方根", 2, "…"),
        ("e\u0301e\u0301e\u0301e\u0301", 3, "e\u0301…e\u0301"),
    ],
)
def test_what_does_not_fit_is_cut_in_the_middle(text: str, cells: int, shown: str) -> None:
    assert cut(text, cells) == shown


@given(st.text(LETTERS), st.integers(0, 30))
def test_what_is_cut_fits_and_nearly_fills(text: str, cells: int) -> None:
    shown = cut(text, cells)
    assert cell_len(shown) <= cells
    assert shown == text or cell_len(shown) >= cells - 2  # a wide character may not fit on either side
    head, _, tail = shown.partition("…")
    assert text.startswith(head)
    assert text.endswith(tail)


@given(st.text(LETTERS, min_size=1), st.integers(8, 30))
def test_a_number_behind_a_name_is_never_cut(name: str, cells: int) -> None:
    shown = named(name, "-12.34", cells)
    assert shown.endswith("-12.34")
    assert cell_len(shown) <= cells


@given(st.text(LETTERS), st.integers(0, 30))
def test_columns_are_filled_in_cells(text: str, cells: int) -> None:
    for shown in (left(text, cells), right(text, cells)):
        assert cell_len(shown) == max(cells, cell_len(text))
        assert text in shown


@given(st.text(LETTERS), st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing(text: str, cells: int) -> None:
    lines = wrapped(text, cells)
    assert all(cell_len(line) <= cells for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def preset(name: str, *settings: str) -> Preset:
    return load(find(name), settings)


def beside(shown: Preset, *others: Preset) -> list[str]:
    runs = [f"{one.name}-s{one.run.seed}-20261126-00000{place}" for place, one in enumerate((shown, *others))]
    of_run = [Shown(one, run) for one, run in zip((shown, *others), runs, strict=True)]
    return names_beside(of_run[0], of_run[1:])


def test_a_run_beside_another_is_named_by_what_differs_from_it() -> None:
    found = beside(
        preset("log30", "meta.learning_rate=1e-3"),
        preset("log30", "meta.learning_rate=3e-4"),
        preset("log30", "meta.learning_rate=1e-3", "run.seed=3"),
        preset("log30", "meta.learning_rate=1e-4", "run.seeds=4"),
        preset("log30", "meta.learning_rate=1e-3", "network.hidden=32", "report.every=7", "title=Mine"),
        preset("log15_end_log"),
    )
    assert found == ["lr 3e-4", "seed 3", "lr 1e-4, 4 seeds", "hidden 32", "log15_end_log"]


def test_of_another_experiment_what_differs_between_them_is_said() -> None:
    rates = [preset("log15_end_log", f"meta.learning_rate={rate}") for rate in (1e-4, 3e-3)]
    assert beside(preset("log30"), *rates) == ["log15_end_log lr 1e-4", "log15_end_log lr 3e-3"]


def test_runs_of_the_same_settings_and_seed_are_told_apart_by_their_names() -> None:
    assert beside(preset("log30"), preset("log30"), preset("log30")) == ["seed 0, 000001", "seed 0, 000002"]


def test_where_much_differs_the_run_is_named() -> None:
    many = ("meta.epsilon=1e-16", "meta.beta1=0.5", "network.hidden=4", "run.dtype=float64", "objective.kind=end")
    assert beside(preset("log30"), preset("log30", *many)) == ["000001"]


def test_an_optimizer_is_named_first() -> None:
    baselines = preset("baselines")
    shown = Shown(preset("log30"), "a")
    others = [Shown(baselines, "b", "SGD"), Shown(baselines, "b", "RMSProp")]
    assert names_beside(shown, others) == ["SGD, baselines", "RMSProp, baselines"]
