"""Names, notes and tags on the command line, lists that are chosen from, and the difference of two runs."""

import json
from pathlib import Path

import pytest

from l2o_tui.text.tables import Column, fitted
from tests.tui.conftest import Result, call

RUN = ("run", "baselines", "--quiet", "--iterations=10", "--set=report.every=10")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity") / "runs"
    for name, options in {
        "one": (),
        "two": ("--set=problem.dims=3", "--seed=4", "--name=three dims", "--note=a [b]note[/b]", "--tag=x", "--tag=y"),
        "study/a-s0": (),
        "study/a-s1": ("--seed=1",),
    }.items():
        assert call(*RUN, *options, "--run-dir", folder / name).code == 0
    return folder


def runs(folder: Path, *options: str) -> Result:
    return call("runs", "--runs-dir", folder, *options)


def first_words(result: Result) -> list[str]:
    return [line.split()[0] if line else "" for line in result.out.splitlines()[1:]]


def test_a_list_has_names_settings_and_tags_and_a_study_in_a_line(runs_dir: Path) -> None:
    heading, study, two, one = runs(runs_dir).out.splitlines()
    assert heading.split("  ")[0] == "run"
    assert ["three dims" in two, "dims 3" in two, "x y" in two] == [True] * 3
    assert "dims" not in one
    assert study.split()[:5] == ["study/", "study", "2", "of", "2"]
    assert first_words(runs(runs_dir, "--all")) == ["study/a-s1", "study/a-s0", "two", "one"]


def test_a_list_is_chosen_from_and_sorted(runs_dir: Path) -> None:
    assert first_words(runs(runs_dir, "--where", "problem.dims=3")) == ["two"]
    assert first_words(runs(runs_dir, "--where", "problem.dims=2", "--all", "--sort=oldest")) == [
        *("one", "study/a-s0", "study/a-s1")
    ]
    assert first_words(runs(runs_dir, "--tag=x")) == ["two"]
    nothing = runs(runs_dir, "--state=failed")
    assert (nothing.code, nothing.out) == (0, "")
    assert "none of the runs" in nothing.err
    assert runs(runs_dir, "--where=problem.dimms=3").code == 2
    assert runs(runs_dir, "--state=lost").code == 2


def test_json_says_more_than_before_and_renames_nothing(runs_dir: Path) -> None:
    documents = {document["name"]: document for document in json.loads(runs(runs_dir, "--json").out)}
    assert list(documents) == ["study", "two", "one"]
    two = documents["two"]
    assert (two["given_name"], two["note"], two["tags"]) == ("three dims", "a [b]note[/b]", ["x", "y"])
    assert two["changed"]["problem.dims"] == [2, 3]
    assert two["label"] == "baselines dims=3 s4"
    assert (documents["study"]["status"], documents["study"]["runs"]) == ("study", 2)
    unfolded = json.loads(runs(runs_dir, "--json", "--all").out)
    assert [(one["name"], one["study"]) for one in unfolded][:2] == [("study/a-s1", "study"), ("study/a-s0", "study")]


def test_a_run_is_found_by_its_given_name_and_shown_with_its_note(runs_dir: Path) -> None:
    shown = call("show", "three dims", "--runs-dir", runs_dir)
    assert "baselines dims=3 s4" in shown.out
    assert "a [b]note[/b]" in shown.out
    assert "problem.dims 2 → 3" in shown.out
    assert json.loads(call("show", "study/a-s1", "--runs-dir", runs_dir, "--json").out)["seed"] == 1


def test_note_changes_what_a_run_is_called_and_prints_it(runs_dir: Path) -> None:
    said = call("note", "one", "good", "--name=first", "--tag=a", "--tag=b", "--runs-dir", runs_dir)
    assert (said.code, said.out, said.err) == (0, "", "")
    assert call("note", "one", "--untag=a", "--runs-dir", runs_dir).code == 0
    assert call("note", "one", "--runs-dir", runs_dir).out == "name: first\ntags: b\nnote: good\n"
    refused = call("note", "one", "--tag=two words", "--runs-dir", runs_dir)
    assert (refused.code, refused.out) == (2, "")
    assert "one word" in refused.err
    assert call("note", "one", "", "--name=", "--untag=b", "--runs-dir", runs_dir).code == 0
    assert call("note", "one", "--runs-dir", runs_dir).out.strip() == ""


def test_what_cannot_be_said_of_a_run_starts_none(tmp_path: Path) -> None:
    refused = call(*RUN, "--tag=a,b", "--run-dir", tmp_path / "one")
    assert (refused.code, refused.out) == (2, "")
    assert not (tmp_path / "one").exists()


def test_diff_has_a_line_a_setting(runs_dir: Path) -> None:
    result = call("diff", "one", "two", "--runs-dir", runs_dir)
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        *(["one", "three", "dims"], ["problem.dims", "2", "3"], ["run.seed", "0", "4"])
    ]
    document = json.loads(call("diff", "one", "two", "--json", "--runs-dir", runs_dir).out)
    assert document["settings"] == {"problem.dims": [2, 3], "run.seed": [0, 4]}
    same = call("diff", "one", "study/a-s0", "--runs-dir", runs_dir)
    assert (same.code, same.out) == (0, "")
    assert "have the same settings" in same.err


def test_what_was_changed_of_an_own_file_is_told_against_the_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nkind = "baselines"\n[problem]\ndims = 5\n[report]\nevery = 10\n')
    for name, setting in {"plain": "problem.dims=5", "seven": "problem.dims=7"}.items():
        done = call("run", own, "--quiet", "--iterations=10", f"--set={setting}", "--run-dir", tmp_path / "runs" / name)
        assert done.code == 0
    labels = {one["name"]: one["label"] for one in json.loads(runs(tmp_path / "runs", "--json").out)}
    assert labels == {"plain": "own s0", "seven": "own dims=7 s0"}


def test_a_list_fits_a_terminal_and_anybody_s_words_mean_nothing() -> None:
    columns = (Column("run"), Column("name", rank=2, least=8, most=24), Column("no", right=True), Column("tag", rank=3))
    rows = [["one", "a name that is much too long for this", "7", "\x1b[31m"], ["二", "", "12", ""], []]
    assert fitted(columns, rows, None)[0] == "run  name                                   no  tag"
    lines = fitted(columns, rows, 30)
    assert [len(line) <= 30 for line in lines] == [True] * 4
    assert lines[0] == "run  name                   no"
    assert "…" in lines[1]
    assert "\x1b" not in "".join(lines + fitted(columns, rows, None))
    assert fitted(columns, rows, 10)[1] == "one   7"
