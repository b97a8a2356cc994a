"""Cells: texts of several widths, what changed, runs of one look."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from l2o_tui.charts.cells import AXIS, CURSOR, LOOKS, TEXT, Cells, faint_look, look_of, split
from l2o_tui.charts.styles import TINTS, Style


@given(st.lists(st.text("ab ", min_size=12, max_size=12), min_size=2, max_size=2))
def test_changed_cells_are_told_and_rows_are_runs_of_one_look(texts: list[str]) -> None:
    before, after = Cells.blank(12, 2), Cells.blank(12, 2)
    for cells, text in zip((before, after), texts, strict=True):
        cells.write(1, 0, text, look=1 if "ab" in text else 0)
    told = {(row, column) for row, start, end in after.changes(before) for column in range(start, end)}
    differing = (before.texts != after.texts) | (before.looks != after.looks)
    assert {(row, column) for row, column in np.argwhere(differing).tolist()} <= told
    assert len(told) <= 12
    assert not list(after.changes(after))
    after.looks[1, 3:5] = 2
    shown = [(character, look) for text, look in after.runs(1) for character in text]
    assert "".join(character for character, _ in shown) == texts[1]
    written = zip(texts[1], after.looks[1].tolist(), strict=True)
    assert [cell for cell in shown if cell[0] != " "] == [cell for cell in written if cell[0] != " "]


def test_a_space_needs_no_run_of_its_own() -> None:
    cells = Cells.blank(12, 1)
    cells.write(0, 1, "a", look=1)
    cells.write(0, 4, "b", look=1)
    cells.write(0, 6, "c", look=2)
    assert list(cells.runs(0)) == [(" ", 0), ("a  b ", 1), ("c     ", 2)]


@given(st.text(st.sampled_from("ab均方é\u0301\u0308 "), max_size=20), st.integers(0, 12))
def test_texts_are_as_wide_as_they_are_and_never_wider_than_there_is_room(text: str, column: int) -> None:
    assert len(split(text)) == sum(cell_len(character) for character in text if cell_len(character))
    cells = Cells.blank(12, 1)
    cells.write(0, column, text, look=1)
    (written,) = ["".join(part for part, _ in cells.runs(0))]
    assert cell_len(written) == 12


def test_a_combining_mark_stays_with_its_character() -> None:
    assert split("e\u0301均x") == ["e\u0301", "均", "", "x"]
    assert split("均\u0308x") == ["均\u0308", "", "x"]
    cells = Cells.blank(4, 1)
    cells.write(0, 1, "均均", look=1)  # the second one has no room for its other half
    assert "".join(text for text, _ in cells.runs(0)) == " 均 "


def test_there_is_a_look_for_all() -> None:
    looks = {look_of(Style(place)) for place in range(100)} | {faint_look(Style(place)) for place in range(100)}
    looks |= {look_of(Style(place, seed)) for place in range(100) for seed in range(TINTS)} | {TEXT, AXIS, CURSOR}
    assert looks == set(range(LOOKS))
