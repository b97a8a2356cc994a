"""Runs on a data set: told what they were made with, gone on bit for bit, refused where it is not there."""

import gzip
from pathlib import Path

import pytest

from l2o_engine.live.sizes import admit, needs_of
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.tasks.data import FOLDER_VARIABLE, DataError
from tests.engine.digits import write_digits
from tests.engine.tiny import resume, run, tiny_preset

NETWORK = 'problem={kind = "network", sizes = [2], batch = 4}'


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with digits in it."""
    folder = tmp_path / "data"
    write_digits(folder)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def test_a_resumed_run_is_bit_for_bit_the_whole_one(data: Path, tmp_path: Path) -> None:
    preset = tiny_preset(NETWORK, "run.iterations=6")
    run(tmp_path / "whole", preset, chunk=4)
    run(tmp_path / "parts", tiny_preset(NETWORK, "run.iterations=3"))
    resume(tmp_path / "parts", iterations=6)
    rows = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) == 8
    (saved,) = (tmp_path / "whole" / "checkpoints").glob("*6*.safetensors")
    assert saved.stat().st_size < 100_000  # which images, and no image


def test_files_are_recorded_and_others_are_told(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    DrivenRun.create(tiny_preset(NETWORK), folder).close()
    digests = [value for name, value in Run(folder).record().versions.items() if name == "sha256 of digits.csv.gz"]
    assert [len(digest) for digest in digests] == [64]
    taken = DrivenRun.take(folder)
    notices = taken.notices
    taken.close()
    assert notices == []
    other = tmp_path / "other" / "digits"
    other.mkdir(parents=True)
    content = gzip.decompress((data / "digits" / "digits.csv.gz").read_bytes())
    (other / "digits.csv.gz").write_bytes(gzip.compress(content, 1))
    monkeypatch.setenv(FOLDER_VARIABLE, str(other.parent))
    taken = DrivenRun.take(folder)
    notices = taken.notices
    taken.close()
    assert len(notices) == 1
    assert f"not the files that the run was made with: sha256 of digits.csv.gz {digests[0][:16]}…" in notices[0]


def test_without_its_data_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    (tmp_path / "nowhere" / "digits").mkdir(parents=True)
    preset = tiny_preset(NETWORK)
    with pytest.raises(DataError, match="is not there"):
        admit(preset)
    with pytest.raises(DataError, match="is not there"):
        DrivenRun.create(preset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_network_computes_counts_as_memory() -> None:
    small, large = (
        needs_of(tiny_preset(f'problem={{kind="network", architecture="conv", batch={batch}}}'), "torch").memory
        for batch in (10, 1_000)
    )
    steps, each = 4, 8 * 8 * 16 * 4 * 4  # bytes of the first convolution's numbers in float32, for an image
    assert large["their unrolls"] - small["their unrolls"] > 990 * steps * each
