"""Commands that a batch system repeats: ``run --resume-or-start``, and ``resume`` of what is done."""

import signal
from pathlib import Path

import pytest

from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from tests.engine.made import change_record
from tests.engine.tiny import tiny_preset
from tests.tui.conftest import Result, Running, call, files_below

JOB = ("run", "baselines", "--set=report.every=10", "--set=run.checkpoint_seconds=0", "--resume-or-start")


def job(*options: str | Path) -> Result:
    return call(*JOB, "--json", "--run-dir=one", *options)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_starts_where_there_is_no_run_and_says_that_it_is_done_where_it_is_finished(workplace: Path) -> None:
    first = job("--iterations=20")
    assert (first.code, first.events("start")[0]["iterations"]) == (0, 20)
    before = contents(workplace)
    again = job("--iterations=20")
    assert again.code == 0
    assert [document["event"] for document in again.documents] == ["end", "end"]  # one an optimizer, as the first told
    assert "one is finished at 20" in again.err
    assert contents(workplace) == before


def test_it_goes_on_where_a_run_is_half_done_and_the_rows_are_those_of_one_that_nobody_disturbed(
    workplace: Path,
) -> None:
    whole = call(*JOB, "--quiet", "--run-dir=whole", "--iterations=40", "--set=run.checkpoint_every=10")
    assert whole.code == 0
    job("--iterations=20", "--set=run.checkpoint_every=10")
    change_record(workplace / "one", status="interrupted")
    gone_on = job("--iterations=40", "--set=run.checkpoint_every=10")  # also a longer one than the folder has
    assert gone_on.code == 0
    assert gone_on.events("start")[0]["resumed_from"] == 20
    assert Run(workplace / "one").record().iterations == 40
    assert (workplace / "one" / "metrics.csv").read_bytes() == (workplace / "whole" / "metrics.csv").read_bytes()


def test_a_shorter_total_than_a_run_has_by_now_changes_nothing(workplace: Path) -> None:
    assert job("--iterations=20").code == 0
    assert job("--iterations=10").code == 0
    assert Run(workplace / "one").record().iterations == 20


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--seed=7", "run.seed 0 → 7"),
        ("--set=problem.dims=3", "problem.dims 2 → 3"),
        ("--set=run.dtype=float64", "dtype"),
    ],
)
def test_a_folder_with_another_run_is_left_alone(option: str, said: str, workplace: Path) -> None:
    assert job("--iterations=20").code == 0
    before = contents(workplace)
    refused = job("--iterations=20", option)
    assert (refused.code, refused.out) == (2, "")
    assert "one holds another run than what is asked for" in refused.err
    assert said in refused.err
    assert contents(workplace) == before


def test_without_a_folder_there_is_nothing_to_find_again(workplace: Path) -> None:
    refused = call(*JOB, "--quiet")
    assert (refused.code, refused.out) == (2, "")
    assert "--resume-or-start needs --run-dir" in refused.err
    assert files_below(workplace) == []


def test_the_beginning_that_a_killed_process_left_is_taken_and_a_damaged_record_is_mended(workplace: Path) -> None:
    (workplace / "one").mkdir()
    (workplace / "one" / ".lock").touch()
    assert job("--iterations=20").code == 0
    (workplace / "one" / "run.json").write_text("")
    mended = job("--iterations=20")
    assert mended.code == 0
    assert Run(workplace / "one").status() == "finished"


def test_a_run_in_other_hands_is_refused(workplace: Path) -> None:
    assert job("--iterations=20").code == 0
    change_record(workplace / "one", status="interrupted")
    driven = DrivenRun.take(workplace / "one")
    try:
        refused = job("--iterations=40")
    finally:
        driven.close()
    assert (refused.code, refused.out) == (2, "")
    assert "is being driven by process" in refused.err


def test_to_resume_what_its_validations_have_ended_to_the_same_total_is_no_error(workplace: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), workplace / "one")
    driven.update(status="finished", iteration=12, message="no better for 2 validations")
    driven.close()
    again = call("resume", "one", "--no-ui", "--iterations=30")
    assert again.code == 0
    assert "no better for 2 validations" in again.err
    assert call("resume", "one", "--no-ui", "--iterations=40").code == 2


def test_a_job_that_is_warned_and_requeued_ends_with_the_whole_run(tmp_path: Path) -> None:
    command = (*JOB, "--json", "--set=run.checkpoint_every=50", "--iterations=5000", "--run-dir", tmp_path / "one")
    running = Running(*command)
    try:
        running.next_document("checkpoint")
        running.process.send_signal(signal.SIGUSR1)
        warned = running.wait()
    finally:
        running.end()
    assert warned.code == 138
    requeued = call(*command)
    assert requeued.code == 0
    assert requeued.documents[0]["resumed_from"] == warned.documents[-1]["iteration"]
    assert len((tmp_path / "one" / "metrics.csv").read_bytes().splitlines()) == 1 + 2 * 5001  # two optimizers
