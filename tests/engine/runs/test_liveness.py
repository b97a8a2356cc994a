"""What a run shows while something takes long or fails: signs of life, events; what is left of killed processes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from l2o_engine.backends import choose as backends
from l2o_engine.live import preparing, session
from l2o_engine.live import watcher as watching
from l2o_engine.live.watcher import Watcher
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Ended,
    Event,
    NewRows,
    Pause,
    ShowDraws,
    StatusChanged,
    Stop,
)
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.tail import Tail
from l2o_engine.support.errors import UserError
from tests.engine.kernels import compile_kernels
from tests.engine.tiny import of_kind, run, start, tiny_preset


def test_a_run_gives_signs_of_life_while_its_backend_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches from another host takes a run.json that stays the same for a minute for a dead driver."""
    written = []
    update = DrivenRun.update

    def load() -> Any:
        assert is_alive.wait(60)
        return chosen.load()

    def noted(driven: DrivenRun, **changes: Any) -> None:
        update(driven, **changes)
        written.append(changes)
        if len(written) == 3:
            is_alive.set()

    is_alive = Flag()
    chosen = backends.choose(tiny_preset().experiment, "torch")
    monkeypatch.setattr(preparing, "choose", lambda *_: replace(chosen, load=load))
    monkeypatch.setattr(preparing, "SIGN_SECONDS", 0.01)
    monkeypatch.setattr(DrivenRun, "update", noted)
    assert of_kind(run(tmp_path / "run", tiny_preset()), Ended)[-1].status == "finished"
    assert written[:3] == [{}, {}, {}]


def test_on_the_kernel_batches_of_several_are_shown_too(tmp_path: Path) -> None:
    preset = tiny_preset("meta.batch=3", "run.backend=fused")
    compile_kernels([preset])
    driven = start(tmp_path / "run", preset, interactive=True)
    asked: list[Command] = [ShowDraws(0, 5), Stop()]
    shapes = []
    for event in driven.events():
        if isinstance(event, Curves):
            shapes.append(event.losses["RNN"].shape)
        if isinstance(event, Ended) or (isinstance(event, Curves) and event.losses["RNN"].ndim == 2):
            driven.mailbox.put(asked.pop(0))
    assert Run(tmp_path / "run").status() == "finished"
    assert {(4,), (5, 4)} <= set(shapes)


def test_what_happened_during_a_moment_without_the_folder_is_told_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)
    lines = Tail.lines
    failures: list[str] = []

    def fails_once(tail: Tail, size: int | None = None) -> Iterator[list[str]]:
        if tail._path.name == "metrics.csv" and is_paused and not failures:
            failures.append("network file system")
            raise OSError(5, "Input/output error")
        return lines(tail, size)

    monkeypatch.setattr(Tail, "lines", fails_once)
    is_paused: list[bool] = []
    driven = start(tmp_path / "run", tiny_preset("run.iterations=1000"), chunk=1)
    told = driven.events()
    _until(told, NewRows)
    seen = Watcher(Run(tmp_path / "run")).events()
    _until(seen, NewRows)
    driven.mailbox.put(Pause())
    _until(told, StatusChanged)
    is_paused.append(True)
    assert of_kind(_until(seen, StatusChanged), Checkpointed)
    assert failures
    driven.mailbox.put(Stop())
    assert of_kind(list(told), Ended)


def _until(told: Iterator[Event], kind: type[Event]) -> list[Event]:
    seen = []
    for event in told:
        seen.append(event)
        if isinstance(event, kind):
            return seen
    raise AssertionError(seen)


def test_a_failure_says_where_the_last_checkpoint_is_whatever_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UserError("no such thing")

    told = start(tmp_path / "run", tiny_preset("run.checkpoint_every=10")).events()
    while _until(told, Checkpointed)[-1].iteration < 20:  # type: ignore[union-attr]
        pass
    monkeypatch.setattr(DrivenRun, "append_rows", fail)
    with pytest.raises(session.SessionError, match=r"no such thing \(the last checkpoint is .*20"):
        list(told)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    checkpoint = tmp_path / "run" / "checkpoints" / ".000000000040.safetensors.77.tmp"
    left = [tmp_path / "run" / ".run.json.77.tmp", checkpoint]
    for path in left:
        path.write_bytes(b"half")
    DrivenRun.take(tmp_path / "run").close()
    assert not any(path.exists() for path in left)
    assert Run(tmp_path / "run").latest_checkpoint() is not None
