"""Tints can be told apart and read; of sixteen colours, every series has the one that comes nearest to its own."""

from itertools import combinations

import pytest
from rich.color import ColorSystem
from textual.color import Color
from textual.theme import Theme

from l2o_tui.charts.colours import contrast, of_sixteen, tint
from l2o_tui.charts.styles import COLOURS, TINTS
from l2o_tui.state.themes import THEMES


def series_of(theme: Theme) -> list[Color]:
    return [Color.parse(theme.variables[f"series-{place}"]) for place in range(1, COLOURS + 1)]


def background_of(theme: Theme) -> Color:
    assert theme.surface is not None
    return Color.parse(theme.surface)


def test_contrast_is_that_of_wcag() -> None:
    black, white = Color(0, 0, 0), Color(255, 255, 255)
    assert contrast(black, white) == contrast(white, black) == pytest.approx(21)
    assert contrast(Color(119, 119, 119), white) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_tints_differ_and_can_be_read_as_well_as_their_series(theme: Theme) -> None:
    background = background_of(theme)
    for colour in series_of(theme):
        tints = [tint(colour, background, seed) for seed in range(TINTS)]
        assert all(contrast(one, background) >= min(contrast(colour, background), 7) for one in tints)
        if colour.hsl.s > 0.2:
            assert all(one != other for one, other in combinations([colour, *tints], 2))


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_first_six_series_have_a_colour_each_of_sixteen(theme: Theme) -> None:
    shown = of_sixteen(series_of(theme), background_of(theme))
    numbers = [colour.rich_color.downgrade(ColorSystem.STANDARD).number for colour in shown]
    assert len(set(numbers[:6])) == 6
    assert not {0, 15} & set(numbers)  # what backgrounds and texts are


def test_a_green_series_is_green() -> None:
    for theme in THEMES:
        numbers = [
            colour.rich_color.downgrade(ColorSystem.STANDARD).number
            for colour in of_sixteen(series_of(theme), background_of(theme))
        ]
        assert numbers[2] in (2, 10), theme.name
