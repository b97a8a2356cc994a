"""Wrong formulas on the command line: one message each, exit code 2, nothing started, nothing run."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.engine.tasks.formula.test_formula import GOOD, WRONG
from tests.tui.conftest import call


def test_there_are_thirty_of_them_at_least() -> None:
    assert len(WRONG) >= 30


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_a_wrong_formula_starts_nothing(
    changes: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = {key: value for key, value in {"kind": "formula", **GOOD, **changes}.items() if value is not None}
    Path("mine.toml").write_text(tomli_w.dumps({"name": "mine", "problem": table}), encoding="utf-8")
    result = call("run", "mine.toml", "--no-ui")
    assert (result.code, result.out) == (2, "")
    sentence, *below = result.err.splitlines()
    assert sentence.startswith("l2o-tui: mine.toml: [problem] ")
    assert said in sentence
    assert len(below) in (0, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_the_place_is_marked_below_the_message_of_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("run", "log30", "--no-ui", '--set=problem={kind="formula", loss="x[0] + b*x[1]"}')
    assert result.code == 2
    assert result.err.splitlines()[1:] == ["    x[0] + b*x[1]", "           ^"]
    assert not list(tmp_path.iterdir())
