"""What the shell's completion offers."""

import os
from pathlib import Path

import pytest

from l2o_engine.presets.shipped import shipped_names
from l2o_engine.presets.tables import to_toml
from l2o_tui.commands import completion
from tests.engine.made import made_run
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import spawn


def test_presets_are_the_shipped_ones_and_files(workplace: Path) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny_preset()))
    (workplace / "minutes.txt").write_text("")
    (workplace / "mind").mkdir()
    assert completion.presets("log30") == ["log30", "log30_unit"]
    assert completion.presets("min") == ["mind/", "mine.toml"]
    assert set(shipped_names()) <= set(completion.presets(""))


def test_runs_are_offered_the_newest_first(workplace: Path) -> None:
    assert completion.runs("", workplace) == []
    for name in ("first", "finest"):
        made_run(workplace / name, tiny_preset(), [[-1.0] * 25])
    assert completion.runs("", workplace) == ["last", "finest", "first"]
    assert completion.runs("fir", workplace) == ["first"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("meta.eps", ["meta.epsilon="]),
        ("meta.gradient=", ["meta.gradient=none", "meta.gradient=clip", "meta.gradient=unit"]),
        ("objective.kind=end", ["objective.kind=end", "objective.kind=end_log"]),
        ("inputs.adaptive=", ["inputs.adaptive=true", "inputs.adaptive=false"]),
        ("nowhere.", []),
        ("meta.epsilon=1", []),
        ("validation.", None),  # a table that may be left out
    ],
)
def test_settings_are_offered_with_what_they_may_be(typed: str, offered: list[str] | None) -> None:
    found = completion.settings(typed)
    assert sorted(found) == sorted(offered) if offered is not None else found
    assert len(set(found)) == len(found)


def test_groups_are_offered() -> None:
    assert completion.groups("episode") == ["episode1", "episode2", "episode3"]
    assert "all" in completion.groups("")


def test_the_shell_gets_them(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run(workplace / "runs" / "first", tiny_preset(), [[-1.0] * 25])
    monkeypatch.setenv("_L2O_TUI_COMPLETE", "complete_bash")
    for words, offered in ((("show", "fi"), "first"), (("compare", "first", "log30_"), "log30_unit")):
        monkeypatch.setenv("COMP_WORDS", " ".join(("l2o-tui", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = spawn()
        assert result.out.split() == [offered], result.err
    assert os.environ["COMP_CWORD"] == "3"
