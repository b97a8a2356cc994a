"""A run on the screen that is left: the command of a background process that goes on with it, the last words."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Ended, Event, StatusChanged
from l2o_engine.runs.driven import DrivenRun
from l2o_tui.state.open_run import OpenRun
from tests.engine.tiny import tiny_baselines, tiny_preset
from tests.tui.scripted import started


class Told:
    """A session that is over once it has told these events."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.mailbox = Mailbox()
        self._events = events

    def events(self) -> Iterator[Event]:
        return iter(self._events)


@pytest.mark.parametrize(
    ("preset", "is_paused", "device", "options"),
    [
        (tiny_preset(), False, None, ["--backend", "torch"]),  # the one that has computed
        (tiny_preset(), True, None, ["--start-paused", "--backend", "torch"]),
        (tiny_preset(), False, "cuda", ["--device", "cuda", "--backend", "torch"]),  # that `resume` was given
        (tiny_baselines(), False, None, []),  # it has none to choose
    ],
    ids=["running", "paused", "elsewhere", "baselines"],
)
def test_a_detached_run_is_resumed_without_a_screen_as_it_was(
    preset: Preset,
    is_paused: bool,
    device: str | None,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: list[tuple[Path, list[str]]] = []

    def hand_over(folder: Path, command: list[str]) -> int:
        handed.append((folder, command))
        return 77

    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", hand_over)
    events: list[Event] = [started(preset), *([StatusChanged("paused", 5)] if is_paused else [])]
    opened = OpenRun(Told([*events, Ended("interrupted", 5, 1.0, ())]), preset, folder=tmp_path, device=device)
    opened.detaching = True
    opened.listen()
    command = [sys.executable, "-P", "-m", "l2o_tui", "resume", str(tmp_path), "--no-ui", "--quiet", *options]
    assert handed == [(tmp_path, command)]
    assert (opened.background_pid, opened.failure) == (77, "")


def test_the_last_words_name_the_way_on_where_run_json_could_not_be_written(tmp_path: Path) -> None:
    preset = tiny_preset()
    DrivenRun.create(preset, tmp_path / "run").close()  # it says "running", and nobody drives it
    opened = OpenRun(Told([started(preset)]), preset, folder=tmp_path / "run")
    opened.feed.fail("No space left on device")
    said = list(opened.farewell())
    assert said[0] == "No space left on device"
    assert said[1].startswith("interrupted at 0 of 30")
    assert said[2].startswith("go on with: l2o-tui resume ")


def test_of_a_folder_that_has_disappeared_only_that_is_said(tmp_path: Path) -> None:
    opened = OpenRun(Told([]), tiny_preset(), folder=tmp_path / "gone")
    opened.feed.fail("gone is gone")
    assert list(opened.farewell()) == ["gone is gone"]
