"""Data sets on the command line: looked for where the option says, then the environment; missing is one message."""

from pathlib import Path

import pytest

from l2o_engine.tasks.data import FOLDER_VARIABLE
from tests.engine.digits import write_digits
from tests.tui.conftest import call

PRESET = """\
name = "mine"
problem = { kind = "network", sizes = [2], batch = 4 }
unroll = { steps = 3 }
network = { kind = "lstm", hidden = 3, layers = 1 }
report = { every = 1, baseline_draws = 2 }
run = { iterations = 1, backend = "torch" }
"""


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with a preset in it; what the option says to the environment ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, "empty")
    Path("empty/digits").mkdir(parents=True)
    Path("mine.toml").write_text(PRESET, encoding="utf-8")


@pytest.mark.parametrize(
    "command",
    [["run", "--no-ui"], ["tune", "--draws=2", "--output=found.toml"], ["bench", "--seconds=0.1", "--preset"]],
    ids=lambda command: command[0],
)
def test_what_is_missing_is_one_message_and_starts_nothing(command: list[str]) -> None:
    before = sorted(Path().rglob("*"))
    result = call(*command, "mine.toml")
    assert result.code == 2
    assert result.out == ""
    said = [line for line in result.err.splitlines() if line.startswith("l2o-tui: ")]
    assert len(said) == 1
    assert 'the data set "digits" is not there (' in said[0]
    assert "empty/digits/digits.csv.gz is missing): " in said[0]
    assert "pip install 'l2o-tui[digits]'" in said[0]
    assert sorted(Path().rglob("*")) == before


def test_a_preset_is_right_without_its_data() -> None:
    assert call("check", "mine.toml").code == 0


def test_the_option_comes_before_the_environment_and_show_shows_the_file_s_digest() -> None:
    write_digits(Path("there"))
    assert call("run", "mine.toml", "--no-ui", "--run-dir=trained", "--data-dir=there").code == 0
    shown = call("show", "trained")
    assert shown.code == 0
    assert "sha256 of digits.csv.gz" in " ".join(shown.out.split())
