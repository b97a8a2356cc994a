"""Damaged files of every kind in a run's folder: named, passed over or refused, never a traceback or other numbers."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import soak
from tests.reliability.laboratory import Laboratory
from tests.reliability.outcome import NOTHING_LOST, differences, status_of
from tests.reliability.program import Process
from tests.reliability.test_kills import SEED

Damage = Callable[[bytes, np.random.Generator], bytes | None]
"""Makes of a file's content another; None removes it."""


def _flipped(content: bytes, chance: np.random.Generator) -> bytes:
    place = int(chance.integers(len(content)))
    return content[:place] + bytes([content[place] ^ (1 << int(chance.integers(8)))]) + content[place + 1 :]


def _shortened(content: bytes, chance: np.random.Generator) -> bytes:
    return content[: int(chance.integers(1, len(content)))]


def _with_a_hole(content: bytes, chance: np.random.Generator) -> bytes:
    first, last = sorted(chance.integers(len(content), size=2).tolist())
    return content[:first] + content[last:]


def _with_zeros(content: bytes, chance: np.random.Generator) -> bytes:
    first = int(chance.integers(len(content)))
    return content[:first] + bytes(min(4096, len(content) - first)) + content[first + 4096 :]


DAMAGE: dict[str, Damage] = {
    "a flipped bit": _flipped,
    "truncated": _shortened,
    "a hole": _with_a_hole,
    "a block of zeros": _with_zeros,
    "empty": lambda content, chance: b"",
    "foreign": lambda content, chance: chance.bytes(2000),
    "removed": lambda content, chance: None,
}
FILES = ("run.json", "preset.toml", "metrics.csv", "events.jsonl", "checkpoint")
HOW = "the file of a killed run is changed; then show, runs, export and resume"


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory, _warm: Laboratory) -> Path:
    """A run that was killed in the middle."""
    experiment, folder = _warm.experiment("fused"), tmp_path_factory.mktemp("killed") / "run"
    process = _warm.run(experiment, folder)
    process.wait_until(lambda: len(list((folder / "checkpoints").glob("[0-9]*.safetensors"))) > 2)
    process.signal(signal.SIGKILL)
    process.wait()
    return folder


def try_damage(laboratory: Laboratory, killed: Path, file: str, kind: str, chance: np.random.Generator) -> None:
    """Damage a file, and use the run."""
    experiment, folder = laboratory.experiment("fused"), laboratory.new()
    shutil.copytree(killed, folder)
    newest = max((folder / "checkpoints").glob("[0-9]*.safetensors"))
    path = newest if file == "checkpoint" else folder / file
    content = path.read_bytes()
    damaged = DAMAGE[kind](content, chance)
    if damaged is None:
        path.unlink()
    else:
        path.write_bytes(damaged)
    wrong: list[str] = []
    for args in (
        ("show", folder),
        ("runs", "--runs-dir", folder.parent),
        ("export", folder, "--format", "csv", "--output", folder.parent / "out.csv"),
    ):
        process = laboratory.start(*args, folder=laboratory.streams(folder))
        process.wait()
        wrong += _complaints(process, args[0])
    process = laboratory.resume(folder)
    code = process.wait()
    wrong += _complaints(process, "resume")
    # preset.toml may say another experiment by one flipped bit, which is told; all else gives the same run or none
    if code == 0 and status_of(folder) == "finished":
        wrong += differences(folder, experiment.undisturbed)
    laboratory.keep(f"a damaged file: {file}", HOW, kind, wrong, NOTHING_LOST)
    if not wrong:
        shutil.rmtree(folder.parent)


def _complaints(process: Process, command: str) -> Iterator[str]:
    yield from (f"{command}: {complaint}" for complaint in process.complaints)
    if process.code not in (0, 1, 2):
        yield f"{command} ended with {process.code}"
    if process.code and not process.err.strip():
        yield f"{command} failed without a word"


@pytest.mark.soak
@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_never_a_traceback_or_another_result(
    file: str, kind: str, laboratory: Laboratory, killed: Path
) -> None:
    chance = np.random.default_rng([SEED, *file.encode(), *kind.encode()])
    for _ in range(1 if kind in ("empty", "removed") else soak.times(5)):
        if not soak.is_over():
            try_damage(laboratory, killed, file, kind, chance)
