"""What the shell's completion offers."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from l2o_engine.presets.shipped import shipped_names
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.about import About
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.studies.sweep import STUDY_FILE
from l2o_tui import typer_private
from l2o_tui.commands import completion
from tests.engine.made import made_run
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import COMMAND, spawn


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


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("meta.gradient=c", ["meta.gradient=clip"]),
        ("meta.gradient=clip,", ["meta.gradient=clip,none", "meta.gradient=clip,unit"]),
        ("meta.gradient=clip,unit,n", ["meta.gradient=clip,unit,none"]),
        ("meta.epsilon=1e-8,", []),
        ("meta.eps", ["meta.epsilon="]),
        ("nonsense,", []),
    ],
)
def test_of_what_is_varied_the_values_that_are_left_are_offered(typed: str, offered: list[str]) -> None:
    assert sorted(completion.varied(typed)) == offered


def test_conditions_are_of_settings_and_of_the_presets_name() -> None:
    assert completion.conditions("name=log30") == ["name=log30", "name=log30_unit"]
    assert completion.conditions("na") == ["name="]
    assert "meta.gradient=unit" in completion.conditions("meta.gradient=u")


def test_tags_and_studies_are_those_of_the_runs_folder(workplace: Path) -> None:
    assert completion.tags("", workplace / "runs") == completion.studies("", workplace / "runs") == []
    runs = workplace / "runs"
    for name, tags in (("one", ("good", "eps")), ("study/two", ("good", "late")), ("heap/three", ())):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        DrivenRun.create(tiny_preset(), runs / name, about=About(tags=tags)).close()
    (runs / "study" / STUDY_FILE).write_text("")
    assert completion.tags("", runs) == ["eps", "good", "late"]
    assert completion.tags("g", runs) == ["good"]
    assert completion.studies("", runs) == ["study"]  # of a heap of runs nobody has made a study


# bash, which takes words apart.


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [
        (("l", "run", "lo"), 2, (["l", "run"], "lo", "")),
        (("l", "run"), 2, (["l", "run"], "", "")),
        (("l", "--set", "a.b", "=", "c"), 4, (["l", "--set"], "a.b=c", "a.b=")),
        (("l", "--set", "a.b", "="), 3, (["l", "--set"], "a.b=", "a.b=")),
        (("l", "--set", "a.b", "=", "c", "--s"), 5, (["l", "--set", "a.b=c"], "--s", "")),
        (("l", "--set", "a.b", "=", "c", "x"), 4, (["l", "--set"], "a.b=c", "a.b=")),  # in the middle of the line
        (("l", "--set", "=", "a.b", "=", "c"), 5, (["l"], "--set=a.b=c", "--set=a.b=")),
        (("l", "tcp", ":", "//host", ":", "80", "lo"), 6, (["l", "tcp://host:80"], "lo", "")),
        (("l", "a", "=", "1", ":", "2"), 5, (["l"], "a=1:2", "a=1:")),
        (("l", "=", "a"), 2, ([], "l=a", "l=")),
        ((), 0, ([], "", "")),
    ],
)
def test_words_are_put_together_again(words: tuple[str, ...], place: int, expected: tuple[list[str], str, str]) -> None:
    assert typer_private.asked(words, place) == expected


def test_bash_is_told_what_stands_behind_its_own_word(workplace: Path) -> None:
    names = {"complete_func": "_ask", "autocomplete_var": "_L2O_TUI_COMPLETE", "prog_name": "l2o-tui"}
    (workplace / "l2o").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (workplace / "l2o").chmod(0o755)
    script = (
        typer_private.SCRIPT % names
        + """
        COMP_WORDS=(l2o-tui run log30 --set meta.gradient = u) COMP_CWORD=6
        _ask ./l2o
        printf '[%s]\n' "${COMPREPLY[@]}"
    """
    )
    told = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert told.stdout == "[unit]\n", told.stderr


def test_the_shell_gets_them(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run(workplace / "runs" / "first", tiny_preset(), [[-1.0] * 25])
    monkeypatch.setenv("_L2O_TUI_COMPLETE", "complete_bash")
    for words, offered in ((("show", "fi"), "first"), (("compare", "first", "log30_"), "log30_unit")):
        monkeypatch.setenv("COMP_WORDS", " ".join(("l2o-tui", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = spawn()
        assert result.out.split() == [offered], result.err
    assert os.environ["COMP_CWORD"] == "3"
