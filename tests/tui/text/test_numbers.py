"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path

import pytest

from l2o_tui.text.numbers import (
    age,
    compact,
    count,
    duration,
    fixed,
    loss_sum,
    rate,
    relative,
    scientific,
    whole_number,
)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-18.166, 2, "-18.17"), (0.0, 2, "0.00"), (1.25, 1, "1.2"), (6.0, 0, "6"), (nan, 2, "nan"), (None, 2, "")],
)
def test_fixed_has_so_many_decimals_and_nothing_for_none(value: float | None, decimals: int, text: str) -> None:
    assert fixed(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.259, "2.59E-01"), (2.85e-06, "2.85E-06"), (0.0, "0.00E+00"), (1.2e38, "1.20E+38"), (-4.0, "-4.00E+00")],
)
def test_scientific_is_the_notebooks_notation(value: float, text: str) -> None:
    assert scientific(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.886, "0.89"), (999.0, "999.00"), (4222.4, "4,222"), (750_000, "750,000"), (9.72e18, "9.7e+18"), (nan, "–")],
)
def test_a_summed_loss_has_three_digits_until_it_has_exploded(value: float, text: str) -> None:
    assert loss_sum(value) == text


def test_scientific_is_nothing_for_none() -> None:
    assert scientific(None) == ""


def test_a_count_has_its_thousands_set_apart() -> None:
    assert [count(0), count(999), count(100_000), count(1_234_567)] == ["0", "999", "100,000", "1,234,567"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (12.4, "12s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (61, "1m 01s"),
        (3599.7, "1h 00m"),
        (3720, "1h 02m"),
        (86_400, "1d 00h"),
        (90_000, "1d 01h"),
        (nan, "–"),
        (inf, "–"),
        (-1, "–"),
    ],
)
def test_a_duration_shows_its_two_greatest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("ago", "text"), [(timedelta(minutes=5, seconds=0.2), "5m 00s ago"), (timedelta(days=2, hours=3), "2d 03h ago")]
)
def test_an_age_is_counted_from_now(ago: timedelta, text: str) -> None:
    assert age((datetime.now(UTC) - ago).isoformat()) == text


def test_a_moment_in_the_future_is_now() -> None:
    assert age((datetime.now(UTC) + timedelta(hours=1)).isoformat()) == "now"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (999, "999"),
        (1000, "1k"),
        (100_000, "100k"),
        (1_500_000, "1.5M"),
        (-2500, "-2.5k"),
        (3e9, "3G"),
    ],
)
def test_a_compact_number_needs_few_characters(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize("value", [999_999, 999_999_999])
def test_a_compact_number_moves_on_to_the_next_suffix_when_it_rounds_up(value: float) -> None:
    assert "e+" not in compact(value)
    assert "1000" not in compact(value)


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, "0.0 it/s"),
        (9.5, "9.5 it/s"),
        (849.6, "850 it/s"),
        (12_345, "12,345 it/s"),
        (inf, "– it/s"),
        (nan, "– it/s"),
    ],
)
def test_a_rate_names_its_unit_and_is_a_dash_where_unknown(per_second: float, text: str) -> None:
    assert rate(per_second) == text


def test_a_path_is_shortened_only_where_it_lies_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(str(tmp_path / "runs" / "a")) == str(Path("runs") / "a")
    assert relative(str(tmp_path.parent / "a")) == str(tmp_path.parent / "a")
    assert relative("runs/a") == "runs/a"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e6", 1_000_000),
        (" 1E6 ", 1_000_000),
        ("1e+6", 1_000_000),
        ("1,000,000", 1_000_000),
        ("1_000_000", 1_000_000),
        ("1M", 1_000_000),
        ("100k", 100_000),
        ("1.5e6", 1_500_000),
        ("1.5k", 1500),
        ("16", 16),
        ("0", 0),
        ("-3", -3),
        ("5.0", 5),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_whole_number_is_read_as_people_write_it(text: str, value: int) -> None:
    assert whole_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "e6", "1e", "16.5", "1.23k1", "1e-3", "1.5", "1,00", "1__0", "_1", "0x10", "ten", "1 000", "1e600", "9" * 60],
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        whole_number(text)
