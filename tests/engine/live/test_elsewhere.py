"""Runs on another device than the CPU, which is not there: what is recorded and told, and going on somewhere else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.backends.devices import Device
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.live import sizes
from l2o_engine.live.session import Session
from l2o_engine.live.sizes import TooLargeError, admit, needs_of
from l2o_engine.live.train import train
from l2o_engine.records.codec import StartLine
from l2o_engine.records.events import Notice, Started
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from tests.engine.elsewhere import NAME, Elsewhere
from tests.engine.tiny import of_kind, run, tiny_preset
from tests.tui.conftest import call

SETTINGS = ("run.iterations=6", "report.every=2", "run.checkpoint_every=3", "run.backend=auto")
DEVICE = Device(NAME, "not there")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch find the device, in whatever thread it computes."""

    def there(method: Any) -> Any:
        def computed(*args: Any, **options: Any) -> Any:
            with Elsewhere():
                return method(*args, **options)

        return computed

    for name in ("differentiate", "evaluate"):
        monkeypatch.setattr(TorchBackend, name, there(getattr(TorchBackend, name)))
    monkeypatch.setattr("l2o_engine.backends.devices._found", lambda: iter([DEVICE]))


@pytest.mark.usefixtures("elsewhere")
def test_a_run_elsewhere_says_where_and_gives_the_same_rows(tmp_path: Path) -> None:
    found = train(tiny_preset(*SETTINGS), device="auto", run_dir=tmp_path / "there")
    run(tmp_path / "here", tiny_preset(*SETTINGS, "run.backend=torch"))
    assert found.status() == "finished"
    record = found.record()
    assert (record.backend, record.device) == ("torch", f"{NAME} (not there)")
    assert record.backend_reason == f"only torch computes on {NAME}"
    assert (found.folder / "metrics.csv").read_bytes() == (tmp_path / "here" / "metrics.csv").read_bytes()
    (line,) = [event for event in found.recorded() if isinstance(event, StartLine)]
    assert line.device == record.device
    said = call("show", found.folder).out
    assert f"torch on {NAME} (not there) (only torch computes on {NAME}), float32" in " ".join(said.split())
    (found.folder / "run.json").unlink()
    mend_record(found.folder)
    assert found.record().device == record.device


@pytest.mark.usefixtures("elsewhere")
def test_a_checkpoint_goes_on_on_any_device_and_that_is_told(tmp_path: Path) -> None:
    whole = tiny_preset(*SETTINGS, "run.iterations=12", "run.backend=torch")
    run(tmp_path / "whole", whole)
    train(tiny_preset(*SETTINGS), device="auto", run_dir=tmp_path / "one")

    def go_on(iterations: int, device: str | None) -> list[Any]:
        driven = DrivenRun.take(tmp_path / "one")
        driven.set_iterations(iterations)
        return list(Session(driven, backend="torch", device=device).events())

    moved = go_on(8, "cpu")
    (notice,) = of_kind(moved, Notice)
    assert notice.message == (
        f"computed on {NAME} (not there) before, on cpu from here on: results may differ in their last bits"
    )
    assert [event.computes for event in of_kind(moved, Started)] == ["torch"]
    assert Run(tmp_path / "one").record().device == "cpu"
    back = go_on(10, None)  # the preset's
    assert "computed on cpu before" in of_kind(back, Notice)[0].message
    assert [event.computes for event in of_kind(back, Started)] == [f"torch on {DEVICE}"]
    assert of_kind(go_on(12, None), Notice) == []
    assert (tmp_path / "one" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


def test_a_run_on_the_cpu_is_told_as_it_always_was(tmp_path: Path) -> None:
    (begun,) = of_kind(run(tmp_path / "run", tiny_preset("run.iterations=10")), Started)
    assert begun.computes == "torch"
    found = Run(tmp_path / "run")
    assert found.record().device == "cpu"
    assert not [document for document in found.events() if "device" in document]


def test_what_a_device_has_no_memory_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Device("cuda:0", "A GPU")
    monkeypatch.setattr("l2o_engine.backends.devices._found", lambda: iter([gpu]))
    monkeypatch.setattr(sizes, "free_on", lambda device: None if device.is_cpu else 10_000_000)
    large = tiny_preset("meta.batch=1000", "unroll.steps=100", "run.device=cuda", "report.baseline_draws=1")
    said = r"^tiny would need about \d+ MB of memory on cuda:0 \(A GPU\), which has 10 MB free: fewer unroll.steps"
    with pytest.raises(TooLargeError, match=said):
        train(large, runs_dir=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []
    here, there = needs_of(large, "torch"), needs_of(large, "torch", gpu)
    assert there.on_device == here.memory["their unrolls"] > 10_000_000
    assert replace(there, on_device=0).bytes == here.bytes - there.on_device
    assert admit(large, device="cpu").on_device == 0
    assert admit(large, "fused", "auto").on_device == 0
