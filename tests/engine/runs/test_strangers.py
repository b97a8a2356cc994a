"""Run folders that strangers filled: no link is followed, nothing of somebody else's is touched, nothing waits."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.records.events import Ended, Notice
from l2o_engine.runs import blocks_file, checkpoints
from l2o_engine.runs.catalogue import delete, look_through
from l2o_engine.runs.checkpoints import CheckpointError
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from tests.engine.tiny import of_kind, resume, run, tiny_preset
from tests.tui.conftest import call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run, which nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    run(folder, tiny_preset())
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    return Path(copytree(trained, tmp_path / "runs" / "one"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a user's folder with files of every name that a run's folder has."""
    place = tmp_path / "home"
    place.mkdir()
    for name in ("thesis.tex", "000000000001.safetensors", "bert-000000000001.safetensors", "metrics.csv", "0.json"):
        (place / name).write_text(f"the user's {name}\n")
    return place


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


# Case 31: links.


@pytest.mark.parametrize("name", ["commands", "checkpoints"])
def test_a_folder_that_is_a_link_is_refused_and_nothing_behind_it_changes(name: str, folder: Path, home: Path) -> None:
    (folder / name).rename(folder / "aside") if (folder / name).exists() else None
    (folder / name).symlink_to(home)
    before = contents(home), (folder / "run.json").read_bytes()
    result = call("resume", folder, "--iterations", "40", "--no-ui")
    assert result.code == 2
    assert f"{folder / name}: it is a symbolic link, which is not followed" in result.err
    assert (contents(home), (folder / "run.json").read_bytes()) == before
    assert not Run(folder).is_driven()


@pytest.mark.parametrize("name", ["metrics.csv", "events.jsonl"])
def test_a_file_that_is_a_link_is_neither_cut_nor_appended_to(name: str, folder: Path, home: Path) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(home / "metrics.csv")
    before = contents(home)
    with pytest.raises(RunError, match=f"{name}: it is a symbolic link"):
        DrivenRun.take(folder)
    assert contents(home) == before
    assert call("show", folder).code == call("runs", "--runs-dir", folder.parent).code == 0


def test_blocks_behind_a_link_are_neither_read_nor_written(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_file, "BLOCK", 4)
    (folder / "blocks.csv").symlink_to(home / "metrics.csv")
    before = contents(home)
    assert Run(folder).beginning(least=1, window=1) is None
    assert of_kind(resume(folder, iterations=40), Ended)[-1].status == "finished"
    assert contents(home) == before
    assert not (folder / "blocks.csv").is_symlink()


def test_a_lock_that_is_a_link_is_not_taken(folder: Path, home: Path) -> None:
    (folder / ".lock").unlink(missing_ok=True)
    (folder / ".lock").symlink_to(home / "thesis.tex")
    before = contents(home)
    with pytest.raises(RunError, match="cannot go on with one"):
        DrivenRun.take(folder)
    assert contents(home) == before
    assert Run(folder).status() == "finished"


@pytest.mark.parametrize("name", ["preset.toml", "run.json"])
def test_a_run_is_not_read_through_a_link(name: str, folder: Path, home: Path) -> None:
    (folder / name).rename(home / name)
    (folder / name).symlink_to(home / name)
    result = call("show", folder)
    assert (result.code, result.out) == (2, "")
    assert "it is a symbolic link, which is not followed" in result.err


def test_what_others_keep_among_checkpoints_and_commands_stays_and_is_told_once(folder: Path) -> None:
    foreign = [folder / "checkpoints" / "best-model.safetensors", folder / "checkpoints" / "notes"]
    foreign += [folder / "commands" / "0.json", folder / "commands" / ".mine.1.tmp", folder / ".mine.toml.1.tmp"]
    for path in foreign:
        path.write_text("the user's")
    events = resume(folder, iterations=80)
    told = [notice.message for notice in of_kind(events, Notice)]
    assert len(told) == 2
    assert '"best-model.safetensors", "notes"' in told[0]
    assert '"0.json"' in told[1]
    assert [path.read_text() for path in foreign] == ["the user's"] * len(foreign)
    assert of_kind(events, Ended)[0].status == "finished"


def test_a_run_that_is_a_link_is_deleted_and_what_it_leads_to_stays(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    delete(link)
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    assert Run(folder).status() == "finished"


# Case 44: what would be read for ever.


@pytest.mark.parametrize("name", ["preset.toml", "run.json", "metrics.csv", "events.jsonl"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(name: str, folder: Path) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    listing = look_through(folder.parent)
    assert len(listing.runs) + len(listing.unreadable) == 1
    for command in ("show", "compare", "export --format csv --output -", "resume --no-ui"):
        assert call(*command.split(), folder).code in (0, 2)


@pytest.mark.parametrize("name", ["metrics.csv", "events.jsonl"])
def test_records_that_cannot_be_read_are_said_to_be_so(name: str, folder: Path) -> None:
    """In place of an empty table, as of a run that has told nothing yet."""
    assert Run(folder).damage() == []
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert Run(folder).damage() == [f"{name} cannot be read: it is no regular file"]
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "preset.toml")
    assert Run(folder).damage() == [f"{name} cannot be read: it is a symbolic link, which is not followed"]
    (folder / name).unlink()
    assert len(Run(folder).damage()) == 1


def test_a_run_that_has_just_begun_has_lost_no_events(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "one")
    (driven.folder / "events.jsonl").unlink()
    assert Run(driven.folder).damage() == []
    driven.close()


def test_a_pipe_in_place_of_the_lock_or_a_checkpoint_keeps_nobody_waiting(folder: Path) -> None:
    newest = Run(folder).latest_checkpoint()
    assert newest is not None
    newest.unlink()
    os.mkfifo(newest)
    (folder / ".lock").unlink(missing_ok=True)
    os.mkfifo(folder / ".lock")
    assert Run(folder).status() == "finished"
    with pytest.raises(CheckpointError, match="no regular file"):
        checkpoints.read(newest, Run(folder).preset().experiment)


def test_a_checkpoint_that_is_larger_than_it_can_be_is_not_read(folder: Path) -> None:
    newest = Run(folder).latest_checkpoint()
    assert newest is not None
    with newest.open("r+b") as file:
        file.truncate(30_000_000_000)  # a hole
    with pytest.raises(CheckpointError, match=r"30,000,000,000 bytes; one of this run has [0-9,]{5,7} at most"):
        Run(folder).checkpoint()
    assert of_kind(resume(folder, iterations=40), Notice)[0].message.startswith("passed over a checkpoint")


def test_a_header_that_claims_terabytes_is_refused(folder: Path) -> None:
    newest = Run(folder).latest_checkpoint()
    assert newest is not None
    header = b'{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    newest.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match=newest.name):
        Run(folder).checkpoint()
    newest.write_bytes((2**60).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match=newest.name):
        Run(folder).checkpoint()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_preset_that_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "a.toml")
    with pytest.raises(PresetError, match="cannot be read"):
        load(tmp_path / "a.toml")


def test_a_preset_or_a_record_that_is_too_long_is_refused(folder: Path) -> None:
    (folder / "preset.toml").write_text("#" * 1_000_001)
    with pytest.raises(RunError, match="longer than 1,000,000 bytes"):
        Run(folder).preset()
    (folder / "run.json").write_text(" " * 1_000_001)
    with pytest.raises(RunError, match="longer than 1,000,000 bytes"):
        Run(folder)


def test_a_preset_that_the_user_names_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").symlink_to(folder / "preset.toml")
    assert load(tmp_path / "mine.toml") == Run(folder).preset()
