"""Every command on strings of strangers: presets, run folders, names. Nothing of them is obeyed, nothing left out."""

import json
import sys
from pathlib import Path

import pytest

from l2o_engine.presets.tables import to_toml
from l2o_engine.support.wording import shown
from l2o_tui import cli
from tests.hostile import EVIL, LABEL, MARKUP, NAME, OBEYED, UNSEEN, evil_baselines, evil_run, text_of_svg, unseen_in
from tests.tui.conftest import Result, call

WHOLE = shown(EVIL)
RUN = NAME.replace("/", "|")


def clean(*arguments: str | Path, code: int = 0) -> Result:
    """Run a command, whose output must hold nothing that a terminal obeys."""
    result = call(*arguments)
    assert unseen_in(result.out) == set()
    assert unseen_in(result.err) == set()
    assert "Traceback" not in result.err
    assert result.code == code, result.err
    return result


@pytest.fixture
def runs(workplace: Path) -> Path:
    """A runs folder of an evil name, with two evil runs; the name of one is plain, and of the other evil."""
    folder = workplace / f"runs {NAME[:20]}"
    evil_run(folder / "plain")
    evil_run(folder / RUN)
    return folder


def test_the_runs_are_listed_whole(runs: Path) -> None:
    listed = clean("runs", "--runs-dir", runs)
    assert "plain" in listed.out
    assert shown(RUN) in listed.out
    assert {one["message"] for one in json.loads(clean("runs", "--json", "--runs-dir", runs).out)} == {EVIL}
    assert shown(str(runs / "none")) in clean("runs", "--runs-dir", runs / "none").err


@pytest.mark.parametrize("name", ["plain", RUN], ids=["plain", "evil"])
def test_a_run_is_shown_whole(name: str, runs: Path) -> None:
    page = clean("show", name, "--runs-dir", runs).out.replace("\n", "")
    for what in (name, MARKUP.replace(" ", "")[:20], LABEL.encode("ascii", "backslashreplace").decode()[1:7]):
        assert shown(what) in page
    folded = "".join(page.split())
    assert folded.count("".join(WHOLE.split())) >= 5  # title, message, backend, its reason, versions
    document = json.loads(clean("show", name, "--json", "--runs-dir", runs).out)
    assert (document["message"], document["settings"]["title"]) == (EVIL, EVIL)


def test_runs_are_compared_in_a_table_a_chart_and_a_picture(runs: Path, workplace: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = workplace / f"picture {NAME[:20]}.svg"
    compared = clean("compare", "plain", RUN, "--runs-dir", runs, "--output", picture)
    assert shown(LABEL) in compared.out
    assert shown(EVIL)[:30] in compared.err  # of which run it is said that it is interrupted
    assert shown(LABEL) in text_of_svg(picture)
    clean("compare", RUN, "--runs-dir", runs, "--output", picture)
    assert shown(EVIL)[:100] in text_of_svg(picture)  # the title
    assert json.loads(clean("compare", "plain", RUN, "--json", "--runs-dir", runs).out)["experiments"]


def test_a_run_is_exported(runs: Path, workplace: Path) -> None:
    for suffix in ("csv", "json"):
        output = workplace / f"export {NAME[:20]}.{suffix}"
        clean("export", RUN, "--format", suffix, "--output", output, "--runs-dir", runs)
        assert (
            shown(str(output))
            in clean("export", RUN, "--format", suffix, "--output", output, "--runs-dir", runs, code=2).err
        )
    assert json.loads(output.read_text())["run"]["message"] == EVIL


def test_an_evil_preset_is_checked_run_and_gone_on_with(workplace: Path) -> None:
    file = workplace / f"{NAME[:20]}.toml"
    file.write_text(to_toml(evil_baselines()), encoding="utf-8")
    assert shown(file.name) in clean("check", file).out
    runs = workplace / f"runs {NAME[:20]}"
    ran = clean("run", file, "--no-ui", "--runs-dir", runs)
    assert shown(LABEL) in ran.out
    (folder,) = runs.iterdir()
    assert f"l2o-tui resume $'{runs.name[:6]}" in ran.err
    assert clean("runs", "--runs-dir", runs).out.count(folder.name) == 1
    for options in (["--no-ui"], ["--json"], ["--quiet"]):
        total = json.loads((folder / "run.json").read_text())["iteration"] + 20
        clean("resume", folder, *options, "--iterations", str(total))
    assert shown(str(folder)) in clean("run", file, "--no-ui", "--run-dir", folder, code=2).err


@pytest.mark.parametrize(
    "text",
    [
        '"{}" = 1',
        '"{}".key = 1',
        'kind = "{}"',
        'meta."{}" = 1',
        'meta.gradient = "{}"',
        'problem.kind = "{}"',
        '[["{}"]]',
        '[[baseline]]\nkind = "{}"',
        '[[baseline]]\nkind = "sgd"\nname = "{}"',
        'notebook.name = 3\nnotebook."{}" = 1',
    ],
)
def test_what_is_wrong_with_a_preset_is_said_whole(text: str, workplace: Path) -> None:
    evil = f"k{OBEYED}{UNSEEN}[/]\n"
    escaped = json.dumps(evil)[1:-1].replace("\x7f", "\\u007f")  # TOML's escapes are JSON's
    file = workplace / "evil.toml"
    file.write_text(f'name = "x"\n{text.format(escaped)}\n')
    said = clean("check", file, code=2).err
    assert shown(evil) in said
    assert clean("run", file, "--no-ui", code=2).err == said
    assert not (workplace / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [EVIL],
        [f"--{EVIL}"],
        ["run"],
        ["run", EVIL],
        ["run", "log30", "--seed", EVIL],
        ["run", "log30", "--backend", EVIL],
        ["run", "log30", "--set", EVIL],
        ["run", "log30", "--set", f"{EVIL}=1"],
        ["run", "log30", "--set", f"meta.{EVIL}=1"],
        ["run", "log30", "--set", f"meta.gradient={EVIL}"],
        ["run", "log30", "--set", f"baseline.{EVIL}.name=x"],
        ["run", "log30", "--set", "title=\udcff"],
        ["run", EVIL + ".toml"],
        ["run", f"{NAME}/x.toml"],
        ["check", EVIL, NAME],
        ["show", EVIL],
        ["resume", EVIL],
        ["attach", NAME],
        ["compare", EVIL],
        ["compare", "x", "--output", EVIL],
        ["export", EVIL, "--format", "csv"],
        ["export", "x", "--format", EVIL],
        ["reproduce", EVIL],
        ["reproduce", "all", "--only", EVIL],
        ["bench", "--preset", EVIL],
        ["runs", "--json", EVIL],
    ],
    ids=lambda arguments: shown(" ".join(arguments))[:40],
)
def test_what_was_typed_is_quoted_and_nothing_is_left(arguments: list[str], workplace: Path) -> None:
    clean(*arguments, code=2)
    assert list(workplace.iterdir()) == []


def test_a_fault_of_ours_is_told_without_what_it_quotes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise ValueError(EVIL + "\n" * 60 + "what says most")

    monkeypatch.setattr("l2o_tui.commands.presets.print_presets", fails)
    monkeypatch.setattr(sys, "argv", ["l2o-tui", "presets"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ValueError, match="what says most") as raised:
        cli.main()
    hook = sys.excepthook
    assert hook is not sys.__excepthook__
    error = raised.value
    hook(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert said.endswith("what says most\n")
    assert unseen_in(said) == set()
