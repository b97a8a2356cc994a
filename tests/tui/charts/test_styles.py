"""An optimizer has its colour and marker wherever it is drawn, and what is drawn together can be told apart."""

from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_tui.charts.styles import COLOURS, MARKERS, PLAIN_MARKERS, TINTS, Style, optimizer_styles, run_styles

NAMES = st.lists(st.sampled_from([LEARNED, "SGD", "RMSProp", "Adam"]) | st.text(min_size=1), unique=True, max_size=12)


@given(NAMES)
def test_known_optimizers_have_the_same_style_in_every_company(names: list[str]) -> None:
    styles = optimizer_styles(names)
    for name in set(names) & {LEARNED, "SGD", "RMSProp", "Adam"}:
        assert styles[name] == optimizer_styles([name])[name]
    assert len(set(styles.values())) == len(names)


def test_an_optimizer_of_ones_own_is_the_same_alone_and_beside_others() -> None:
    alone = optimizer_styles(["my momentum"])["my momentum"]
    assert optimizer_styles([LEARNED, "SGD", "my momentum", "RMSProp"])["my momentum"] == alone


def test_sgd_is_not_what_the_network_is() -> None:
    styles = optimizer_styles([LEARNED, "SGD", "RMSProp"])
    assert [styles[name].marker() for name in (LEARNED, "SGD", "RMSProp")] == ["●", "▲", "■"]


@given(NAMES, st.integers(0, 20))
def test_runs_differ_from_one_another_and_from_the_optimizers(names: list[str], number: int) -> None:
    taken = optimizer_styles(names).values()
    styles = run_styles(number, taken)
    assert len({*styles, *taken}) == number + len(names)


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_what_every_picture_has_looks_like_nothing_else(names: list[str]) -> None:
    usual = [LEARNED, "SGD", "RMSProp"]
    styles = optimizer_styles([*usual, *names])
    others = [styles[name] for name in styles if name not in usual]
    assert not {style.colour for style in others} & {styles[name].colour for name in usual}
    assert not {style.marker() for style in others} & {styles[name].marker() for name in usual}


@given(st.lists(st.text(min_size=1), unique=True, max_size=3), st.integers(0, 5))
def test_a_few_differ_in_colour_and_in_marker(names: list[str], runs: int) -> None:
    optimizers = optimizer_styles([LEARNED, *names]).values()
    styles = [*optimizers, *run_styles(min(runs, COLOURS - len(optimizers)), optimizers)]
    assert len({style.colour for style in styles}) == len(styles)
    assert len({style.marker() for style in styles}) == len(styles)


def test_sixty_four_differ_by_colour_or_marker_in_both_alphabets() -> None:
    styles = [Style(place) for place in range(64)]
    assert {style.marker() for style in styles} == set(MARKERS)
    assert len({(style.colour, style.marker()) for style in styles}) == 64
    assert len({(style.colour, style.marker(plain=True)) for style in styles}) == 64
    assert all(marker.isascii() for marker in PLAIN_MARKERS)


def test_replicates_differ_in_tint_and_in_a_digit() -> None:
    parts = [Style(2, seed) for seed in range(10)]
    assert len({part.tint for part in parts[:TINTS]}) == TINTS
    assert [part.marker() for part in parts] == list("0123456789")
    assert {part.colour for part in parts} == {2 % COLOURS}
