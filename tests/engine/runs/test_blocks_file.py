"""Long runs summed up in blocks: the same curves as from all rows, whatever became of the file."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from l2o_engine.live.watcher import Watcher
from l2o_engine.presets.schema import Preset
from l2o_engine.records import blocks as records
from l2o_engine.records.curve import Curve, History
from l2o_engine.records.events import Leave, NewRows, Recalled, Started
from l2o_engine.records.rows import Rows
from l2o_engine.runs import blocks_file
from l2o_engine.runs.blocks_file import cuts
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.lock import take_lock
from l2o_engine.studies.comparison import summarise
from tests.engine.tiny import tiny_preset

PRESET = tiny_preset("run.seeds=2", "report.every=50", "report.rolling_window=7", "run.iterations=5000")
N = 5001


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few rows be many."""
    for module in (records, blocks_file):
        monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(blocks_file, "_LEAST", 64)


def some_rows(first: int, last: int, lanes: int = 2) -> Rows:
    """Return rows that depend on nothing but where they are, some of them not finite, some 0."""
    iteration = np.repeat(np.arange(first, last), lanes)
    lane = np.tile(np.arange(lanes), last - first)
    values = np.sin(iteration * 0.7 + lane).round(6)
    losses = 10.0**values
    losses[(iteration * 7 + lane) % 101 == 0] = 0.0
    spoilt = (iteration * 5 + lane) % 97 == 0
    logs = np.where(spoilt, np.nan, np.where(losses == 0, -38.0, values))
    losses[spoilt] = np.inf
    return Rows(iteration, lane, losses, losses, logs, logs, losses, {}, spoilt)


def write(folder: Path, preset: Preset = PRESET, n: int = N, *, chunk: int = 37) -> Run:
    driven = DrivenRun.create(preset, folder)
    driven.restore()
    add(driven, 0, n, chunk)
    return Run(folder)


def add(driven: DrivenRun, first: int, last: int, chunk: int = 37) -> None:
    for start in range(first, last, chunk):
        driven.append_rows(some_rows(start, min(start + chunk, last), len(lanes_of(driven.current))))
    driven.close()


def curve_of(run: Run, lane: int, *, capacity: int, with_blocks: bool) -> Curve:
    history = History(7, capacity)
    blocks = run.beginning(least=50, window=7) if with_blocks else None
    assert (blocks is not None) == with_blocks
    if blocks is not None:
        blocks.begin(history, lane)
    for rows in run.rows(blocks):
        history.add(rows.of_lane(lane))
    return history.curve()


def assert_same_curve(one: Curve, other: Curve) -> None:
    """Check that two curves are the same where both have points: the coarser one's."""
    assert (one.non_finite, one.zeros, one.window) == (other.non_finite, other.zeros, other.window)
    assert one.width == other.width
    assert_array_equal(one.iteration, other.iteration)
    for name in ("low", "high", "count"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("rolling", "total"):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("capacity", [64, 128])
def test_a_curve_that_begins_with_blocks_is_the_curve_of_all_rows(capacity: int, lane: int, tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    curves = [curve_of(run, lane, capacity=capacity, with_blocks=way) for way in (True, False)]
    assert_same_curve(*curves)


def test_what_is_summed_up_of_a_run_is_the_same_with_blocks(tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    assert run.beginning(least=50, window=7) is not None
    quick = summarise(run)
    run.blocks_path.unlink()
    for ours, theirs in zip(quick, summarise(run), strict=True):
        assert (ours.iteration, ours.non_finite) == (theirs.iteration, theirs.non_finite)
        assert (ours.initial, ours.final, ours.sum_loss) == (theirs.initial, theirs.final, theirs.sum_loss)
        assert (ours.curve.non_finite, ours.curve.zeros) == (theirs.curve.non_finite, theirs.curve.zeros)


def test_a_watcher_tells_the_beginning_of_a_long_run_without_its_rows(tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    watcher = Watcher(run)
    told = []
    for event in watcher.events():
        told.append(event)
        if isinstance(event, NewRows) and event.rows.iteration[-1] == N - 1:
            watcher.mailbox.put(Leave())
    assert [type(event) for event in told[:4] if isinstance(event, Started | Recalled | NewRows)] == [
        Started,
        Recalled,
        NewRows,
    ]
    (blocks,) = (event.blocks for event in told if isinstance(event, Recalled))
    rows = [event.rows for event in told if isinstance(event, NewRows)]
    assert rows[0].iteration[0] == blocks.iteration + 1
    assert sum(map(len, rows)) == 2 * (N - 1 - blocks.iteration)


def test_however_a_run_was_cut_into_chunks_and_sessions_the_file_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "other", chunk=1000)
    write(tmp_path / "resumed", n=3000)
    cut_back(tmp_path / "resumed", 2777)
    files = [(tmp_path / name / "blocks.csv").read_text().splitlines() for name in ("one", "other", "resumed")]
    for lines in files[1:]:
        assert_same_lines(lines, files[0])


def cut_back(folder: Path, n: int) -> None:
    """Go on with a run from so many meta-iterations on, to its end."""
    driven = DrivenRun(folder, take_lock(folder))
    lines = driven.metrics_path.read_bytes().splitlines(keepends=True)
    rest = b"".join(lines[: 2 * n + 1])
    driven._cut_back(len(rest), sha256(rest))
    add(driven, n, N)


def assert_same_lines(lines: list[str], others: list[str]) -> None:
    """Check that the lines say the same; sums may differ in the last bits, and so do checksums."""
    assert lines[0] == others[0]
    ours, theirs = (np.loadtxt(some[1:], delimiter=",")[:, :-1] for some in (lines, others))
    assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _flip(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[200:203] = b"\xff,x"
    path.write_bytes(text)


def _change_a_digit(path: Path) -> None:
    text = path.read_text()
    place = text.index(".", len(text) // 4) + 1
    path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


def _swap(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *reversed(lines[1:])]))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": _cut,
    "flipped": _flip,
    "another digit": _change_a_digit,
    "out of order": _swap,
    "zeros": lambda path: path.write_bytes(bytes(10_000)),
    "of another window": lambda path: path.write_text(path.read_text().replace("rolling_7", "rolling_8")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_does_not_fit_is_not_relied_on_and_made_anew(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    whole = write(tmp_path / "whole").blocks_path.read_text().splitlines()
    run = write(tmp_path / "run")
    damage(run.blocks_path)
    for ours, theirs in zip(summarise(run), summarise(Run(tmp_path / "whole")), strict=True):
        assert (ours.iteration, ours.final, ours.sum_loss) == (theirs.iteration, theirs.final, theirs.sum_loss)
        assert_same_curve(ours.curve, theirs.curve)
    cut_back(tmp_path / "run", 3000)
    assert_same_lines(run.blocks_path.read_text().splitlines(), whole)


def test_a_file_that_is_ahead_of_the_metrics_is_not_relied_on(tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    data = run.metrics_path.read_bytes()
    run.metrics_path.write_bytes(data[: len(data) // 2])
    assert run.beginning(least=50, window=7) is None
    run.metrics_path.write_bytes(data[:-200] + b"x" * 200)
    assert run.beginning(least=50, window=7) is not None  # of the beginning, which is as it was


def test_a_short_run_has_no_such_file(tmp_path: Path) -> None:
    assert not write(tmp_path / "run", n=16).blocks_path.exists()


def test_where_the_file_cannot_be_written_the_run_goes_on_without(tmp_path: Path) -> None:
    driven = DrivenRun.create(PRESET, tmp_path / "run")
    driven.restore()
    driven.blocks_path.mkdir()
    add(driven, 0, 100)
    assert sum(map(len, Run(tmp_path / "run").rows())) == 200


def test_of_a_lane_that_has_ended_nothing_is_summed_up_any_more(tmp_path: Path) -> None:
    driven = DrivenRun.create(PRESET, tmp_path / "run")
    driven.restore()
    for first in range(0, 4000, 50):
        rows = some_rows(first, first + 50)
        driven.append_rows(rows if first < 2000 else rows.of_lane(1))
    driven.close()
    run = Run(tmp_path / "run")
    blocks = run.beginning(least=50, window=7)
    assert blocks is not None
    assert blocks.iteration < 2000
    assert_same_curve(*(curve_of(run, 0, capacity=64, with_blocks=way) for way in (True, False)))


def test_rows_are_cut_where_blocks_end() -> None:
    assert cuts(some_rows(10, 40, lanes=1)) == [(0, 6), (6, 22), (22, 30)]
    assert cuts(some_rows(16, 32, lanes=1)) == [(0, 16)]
    assert cuts(some_rows(5, 5, lanes=1)) == []
