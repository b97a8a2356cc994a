"""What is told of one thing in a list."""

from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.runs.about import About
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Surveyor
from l2o_engine.runs.record import RunError
from l2o_tui.text.detail import detail_of_preset, detail_of_run, detail_of_study, sparkline
from tests.engine import tiny


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([0.0, -7.0], "█▁"),
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([2.0, 2.0], "▁▁"),
        ([nan, 1.0, inf, 0.0], " █ ▁"),
        ([nan], ""),
        ([], ""),
    ],
)
def test_numbers_as_bars(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 40), st.booleans())
def test_bars_are_as_many_as_there_is_room_for_and_the_last_number_is_among_them(
    values: list[float], most: int, plain: bool
) -> None:
    bars = sparkline([*values, max(values) + 1], plain=plain, most=most)
    assert len(bars) == min(len(values) + 1, most)
    assert most == 1 or bars[-1] == ("@" if plain else "█")
    assert bars.isascii() is plain


def test_a_run_says_what_it_is_called_where_it_is_and_how_it_has_gone(tmp_path: Path) -> None:
    tiny.run(tmp_path / "one", tiny.tiny_preset("meta.epsilon=1e-12", "name=log30"))
    lines = detail_of_run(Run(tmp_path / "one"))
    assert lines[0].text.startswith("log30 ")
    told = [line.text for line in lines]
    assert "one" in told
    assert "finished at 30 of 30" in told
    assert any(line.startswith("meta.epsilon 1e-08 → 1e-12") for line in told)
    assert any(set(line) <= set("▁▂▃▄▅▆▇█") for line in told if line)


def test_a_run_that_has_only_begun_has_little_to_tell_and_one_that_is_gone_nothing(tmp_path: Path) -> None:
    about = About("a name", "two\nlines", ("a", "b"))
    driven = DrivenRun.create(tiny.tiny_preset(), tmp_path / "one", about=about)
    told = [line.text for line in detail_of_run(driven)]
    driven.close()
    assert told[:3] == ["a name", "one", "running at 0 of 30"]
    assert told[-3:] == ["tags: a b", "two", "lines"]
    run = Run(tmp_path / "one")
    (tmp_path / "one" / "run.json").unlink()
    with pytest.raises(RunError):
        detail_of_run(run)


def test_a_study_says_how_many_are_where_and_which_are_the_best(tmp_path: Path) -> None:
    for place, average in enumerate((-3.0, -9.0, None)):
        driven = DrivenRun.create(tiny.tiny_preset(f"run.seed={place}"), tmp_path / "study" / f"s{place}")
        driven.update(status="finished", average_log_result=average)
        driven.close()
    (study,) = Surveyor(tmp_path).look().studies
    told = [line.text for line in detail_of_study(study)]
    assert told == ["study: 3 runs", "3 finished", "", told[3], "-9.00  tiny s1", "-3.00  tiny s0"]


def test_a_preset_is_its_file_with_comments_as_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text('# One,\n# two.\nname = "a # b"   # why\n\n[meta]\nepsilon = 1e-8\n')
    assert [(line.text, line.kind) for line in detail_of_preset(path, "A title")] == [
        ("A title", "title"),
        ("", "plain"),
        ("One, two.", "muted"),
        ('name = "a # b"', "plain"),
        ("", "plain"),
        ("[meta]", "heading"),
        ("epsilon = 1e-8", "plain"),
    ]
    with pytest.raises(RunError, match="cannot be read"):
        detail_of_preset(tmp_path / "none.toml", "")
