"""Which terminals get plain characters, and how one asks for them."""

import pytest

from l2o_tui.charts.terminal import is_plain
from tests.tui.conftest import call


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_ASCII", "")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(("name", "plain"), [("xterm-256color", False), ("screen", False), ("linux", True)])
def test_a_terminal_without_braille_is_known_by_its_name(
    name: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", name)
    assert is_plain() == plain


def test_it_can_be_asked_for_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_ASCII", "1")
    assert is_plain()


@pytest.mark.parametrize("command", ["run", "resume", "attach", "compare", ""])
def test_every_command_that_draws_a_chart_has_the_option(command: str) -> None:
    assert "--ascii" in call(*command.split(), "--help").out


def test_the_option_stands_behind_the_command() -> None:
    result = call("--ascii", "compare", "nothing")
    assert result.code == 2
    assert "--ascii goes behind the command" in result.err
