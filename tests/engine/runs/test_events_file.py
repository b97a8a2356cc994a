"""events.jsonl with damaged lines: they are skipped, counted, and said once; nothing else of the run is lost."""

import json
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.live.watcher import Watcher
from l2o_engine.records.codec import recorded
from l2o_engine.records.events import Ended, Event, Leave, Notice
from l2o_engine.runs.events_file import EventsFile
from l2o_engine.runs.folder import Run
from tests.engine.tiny import of_kind, resume, run, tiny_preset
from tests.tui.conftest import call

PROGRESS = (
    {"event": "progress", "iteration": 30, "sum_error": 1.0, "optim_result": 1.0, "average_log_result": 1.0}
    | {"average_sum_log_result": 1.0, "min_log": None, "iterations_per_second": 1.0, "elapsed_seconds": 1.0}
    | {"non_finite": 0, "optimizer": "RNN", "seed": 0}
)


def changed(**changes: Any) -> bytes:
    return json.dumps(PROGRESS | changes).encode()


DAMAGES = {
    "bytes that are no text": b"\xff",
    "bytes that are no text in a string": b'{"event": "notice", "message": "\xff"}',
    "deep": b"[" * 200_000,
    "deep objects": b'{"event":' * 100_000,
    "a number without end": b'{"event": "extended", "iterations": 1' + b"0" * 5000 + b"}",
    "a great number": b'{"event": "extended", "iterations": 1' + b"0" * 400 + b"}",
    "no object": b"[1]",
    "half a line": b'{"event": "progress", "itera',
    "no event": b"{}",
    "an event of a wrong type": b'{"event": ["start"]}',
    "resumed from a word": b'{"event": "start", "run_dir": "", "preset": "", "seed": 0, "backend": "", '
    b'"backend_reason": "", "iterations": 1, "baselines": {}, "resumed_from": "x"}',
    "an iteration in words": changed(iteration="abc"),
    "an iteration before the first": changed(iteration=-5),
    "an iteration that is half": changed(iteration=1.5),
    "a sum in words": changed(sum_error="1"),
    "a list for a number": changed(optim_result=[1]),
    "numbers that are not there": changed(numbers=["decay"]),
    "numbers of a wrong type": changed(numbers=3),
    "a seed that no run has": changed(seed=2**70),
    "a lane that this run has not": changed(optimizer="SGD"),
    "extended by words": b'{"event": "extended", "iterations": "many"}',
    "a status that is none": b'{"event": "status", "status": "asleep", "iteration": 1}',
    "a line without end": b'{"event": "notice", "message": "' + b"x" * 2_000_000 + b'"}',
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run, which nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    run(folder, tiny_preset())
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return the folder of a finished run whose first event follows every kind of damage, and its last before it."""
    copy = Path(copytree(trained, tmp_path / "one"))
    lines = (copy / "events.jsonl").read_bytes().splitlines()
    (copy / "events.jsonl").write_bytes(b"\n".join([*DAMAGES.values(), *lines, *DAMAGES.values(), b""]))
    return copy


NOTE = f"{2 * len(DAMAGES)} damaged lines were skipped in events.jsonl"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_line_is_skipped_and_counted(damage: bytes, trained: Path, tmp_path: Path) -> None:
    copy = Path(copytree(trained, tmp_path / "one"))
    before = Run(copy).told()
    lines = (copy / "events.jsonl").read_bytes().splitlines()
    (copy / "events.jsonl").write_bytes(b"\n".join([*lines[:3], damage, *lines[3:], b""]))
    told = Run(copy).told()
    assert (repr(told.progress), repr(told.vitals)) == (repr(before.progress), repr(before.vitals))
    assert (before.damaged, told.damaged) == (0, 1)


def test_what_a_later_version_tells_is_no_damage(folder: Path) -> None:
    (folder / "events.jsonl").write_text('{"event": "surprise", "joules": 3}\n')
    assert Run(folder).told().damaged == 0
    assert list(Run(folder).events()) == []


def watched(folder: Path) -> list[Event]:
    watcher, told = Watcher(Run(folder)), []
    for event in watcher.events():
        told.append(event)
        if isinstance(event, Notice):
            watcher.mailbox.put(Leave())
    return told


def test_damage_is_said_once_wherever_the_run_is_shown(folder: Path) -> None:
    shown, compared = call("show", folder), call("compare", folder)
    assert (shown.code, shown.out.count(NOTE)) == (0, 1)
    assert (compared.code, compared.err.count(NOTE)) == (0, 1)
    assert json.loads(call("show", folder, "--json").out)["damage"] == [NOTE]
    for file_format in ("csv", "json", "parquet", "tensorboard"):
        exported = call("export", folder, "--format", file_format, "--output", folder.parent / file_format)
        assert (exported.code, exported.err.count(NOTE)) == (0, 1)
    told = watched(folder)
    assert [notice.message for notice in of_kind(told, Notice)] == [NOTE]


def test_a_run_with_damaged_events_goes_on(folder: Path) -> None:
    events = resume(folder, iterations=40)
    assert of_kind(events, Ended)[0].status == "finished"
    assert Run(folder).record().status == "finished"
    assert [row.iteration for row in Run(folder).progress()] == [0, 10, 20, 30, 40]


def test_lines_are_told_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventsFile(path)
    assert (list(file.read()), file.damaged) == ([], 0)
    path.write_bytes(changed() + b"\n" + changed(iteration=40)[:-5])
    assert [event.event for _, event in file.read()] == ["progress"]
    with path.open("ab") as more:
        more.write(b"\n" + b"y" * 3_000_000)
    assert (list(file.read()), file.damaged) == ([], 2)
    with path.open("ab") as more:
        more.write(b"y" * 3_000_000 + b"\n" + changed(iteration=50) + b"\n")
    assert ([event.event for _, event in file.read()], file.damaged) == (["progress"], 2)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.text(max_size=40) | st.dictionaries(st.sampled_from([*PROGRESS, "numbers"]), ANYTHING).map(json.dumps))
def test_reading_a_line_raises_nothing_else(line: str) -> None:
    with suppress(ValueError):
        recorded(line)
