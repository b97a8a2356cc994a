"""Training from a script or a notebook while somebody watches: observers, the bar, ctrl+c, and going on."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread, current_thread, main_thread

import pytest

from l2o_engine.live import observer as observers
from l2o_engine.live import threaded
from l2o_engine.live.observer import Observer
from l2o_engine.live.session import SessionError
from l2o_engine.live.train import resume, train
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Curves, Ended, Event, NewRows, Started
from l2o_engine.records.rows import Rows
from l2o_engine.runs.catalogue import load_run
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from tests.engine.tiny import tiny_preset

LONG = 1_000_000  # meta-iterations, which no test waits for


class Watching(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.ends = 0
        self.preset: Preset | None = None
        self.threads: set[Thread] = set()

    def begin(self, preset: Preset) -> None:
        self.preset = preset

    def tell(self, event: Event) -> None:
        self.told.append(event)
        self.threads.add(current_thread())

    def end(self) -> None:
        self.ends += 1

    @property
    def iterations(self) -> list[int]:
        return [at for event in self.told if isinstance(event, NewRows) for at in event.rows.iteration.tolist()]


class Curious(Watching):
    """Wants to be told of the past and of curves as well."""

    wants_curves = True


def after(rows: int, error: Callable[[], BaseException]) -> Callable[[Event], None]:
    """Return what raises an error once it was told of so many rows."""
    seen = 0

    def tell(event: Event) -> None:
        nonlocal seen
        seen += len(event.rows) if isinstance(event, NewRows) else 0
        if seen >= rows:
            raise error()

    return tell


# Who watches.


def test_an_observer_is_told_all_of_it_in_the_thread_that_called(tmp_path: Path) -> None:
    first, second = Watching(), Watching()
    run = train(tiny_preset(), seed=7, run_dir=tmp_path / "run", watch=[first, second])
    assert first.preset == run.preset()
    assert first.iterations == second.iterations == list(range(31))
    assert isinstance(first.told[-1], Ended)
    assert (first.ends, first.threads) == (1, {main_thread()})
    assert not any(isinstance(event, Curves) for event in first.told)


def test_who_wants_curves_is_told_of_them_and_of_the_past(tmp_path: Path) -> None:
    curious, modest = Curious(), Watching()
    run = train(tiny_preset(), run_dir=tmp_path / "run", watch=curious)
    assert any(isinstance(event, Curves) for event in curious.told)
    again = Curious()
    resume(run, iterations=40, watch=[again])
    assert again.iterations == list(range(41))
    resume(run, iterations=50, watch=modest)
    assert modest.iterations == list(range(41, 51))


def test_one_that_fails_is_told_nothing_more_and_the_training_goes_on(tmp_path: Path) -> None:
    class Failing(Watching):
        def tell(self, event: Event) -> None:
            super().tell(event)
            raise OSError("no room for a picture")

    failing, fine = Failing(), Watching()
    with pytest.warns(RuntimeWarning, match="Failing watches no more, for it has failed: OSError: no room") as warned:
        run = train(tiny_preset(), run_dir=tmp_path / "run", watch=[failing, fine])
    assert (len(warned), len(failing.told), failing.ends) == (1, 1, 1)
    assert fine.iterations == list(range(31))
    assert run.status() == "finished"


def test_the_training_waits_for_one_that_falls_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threaded, "_AHEAD", 2)
    made: list[int] = []
    append = DrivenRun.append_rows

    def count(run: DrivenRun, rows: Rows) -> None:
        made.append(len(rows))
        append(run, rows)

    monkeypatch.setattr(DrivenRun, "append_rows", count)
    behind: list[int] = []

    def tell(event: Event) -> None:
        if isinstance(event, NewRows):
            behind.append(sum(made) - int(event.rows.iteration[-1]) - 1)
            time.sleep(0.05)

    train(tiny_preset("report.every=1"), run_dir=tmp_path / "run", on_event=tell)
    assert max(behind) <= 12  # meta-iterations: 3 events of a chunk each, which ends at the tenth at the latest


def test_any_thread_may_train(tmp_path: Path) -> None:
    found: list[str] = []
    watching = Watching()
    thread = Thread(
        target=lambda: found.append(train(tiny_preset(), run_dir=tmp_path / "run", watch=watching).status())
    )
    thread.start()
    thread.join()
    assert found == ["finished"]
    assert watching.threads == {thread}


# The bar.


def test_a_bar_tells_how_far_it_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_preset("name=bars"), run_dir=tmp_path / "run", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("bars: 100%")
    assert "30/30" in last
    assert "end log10" in last
    resume(tmp_path / "run", iterations=40, progress=True)
    assert "40/40" in capsys.readouterr().err


def test_without_tqdm_the_extra_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(UserError, match=r"progress=True needs tqdm.*pip install 'l2o-tui\[notebook\]'"):
        train(tiny_preset(), runs_dir=tmp_path / "runs", progress=True)
    assert not (tmp_path / "runs").exists()
    assert not train(tiny_preset(), run_dir=tmp_path / "run").is_driven()


# How it is interrupted, and goes on.


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_comes_while_it_is_told_leaves_a_checkpointed_run(error: type[BaseException], tmp_path: Path) -> None:
    watching, folder = Watching(), tmp_path / "run"
    with pytest.raises(error) as raised:
        train(tiny_preset(), iterations=LONG, run_dir=folder, watch=watching, on_event=after(15, error))
    run = load_run(folder)
    at = run.record().iteration
    assert run.status() == run.record().status == "interrupted"
    assert 14 <= at == run.checkpoint().iteration < LONG
    assert watching.ends == 1
    (note,) = raised.value.__notes__
    assert f"the run is interrupted at {at:,}: {folder}; go on with l2o_engine.resume('{folder}')" == note


def test_gone_on_with_is_the_same_as_not_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny_preset(), run_dir=tmp_path / "run", on_event=after(15, KeyboardInterrupt))
    run = resume(tmp_path / "run")
    whole = train(tiny_preset(), run_dir=tmp_path / "whole")
    assert run.status() == "finished"
    assert run.metrics_path.read_bytes() == whole.metrics_path.read_bytes()


def test_what_is_finished_is_returned_as_it_is_and_goes_on_to_a_new_total(tmp_path: Path) -> None:
    told: list[Event] = []
    train(tiny_preset(), run_dir=tmp_path / "run")
    assert resume("run", runs_dir=tmp_path, on_event=told.append).record().iteration == 30
    assert told == []
    assert resume("last", runs_dir=tmp_path, iterations=35).record().iteration == 35
    with pytest.raises(RunError, match="is already at 35"):
        resume(tmp_path / "run", iterations=20)
    with pytest.raises(RunError, match='there is no run "other"'):
        resume("other", runs_dir=tmp_path)


def test_interrupted_while_it_is_prepared_it_can_be_gone_on_with(tmp_path: Path) -> None:
    def at_once(event: Event) -> None:
        assert not isinstance(event, Started)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_preset(), iterations=LONG, run_dir=tmp_path / "run", on_event=at_once)
    run = load_run(tmp_path / "run")
    assert run.status() == "interrupted"
    assert not run.is_driven()
    assert resume(run, iterations=run.record().iteration + 5).status() == "finished"


class Interrupted(Observer):
    """Is interrupted before it begins."""

    def begin(self, preset: Preset) -> None:
        raise KeyboardInterrupt


def test_interrupted_while_nothing_drives_it_the_run_is_nobodys(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny_preset(), run_dir=tmp_path / "run", watch=Interrupted())
    assert not load_run(tmp_path / "run").is_driven()
    assert resume(tmp_path / "run").status() == "finished"


def test_a_failure_is_raised_where_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(run: Run, rows: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(DrivenRun, "append_rows", fail)
    with pytest.raises(SessionError, match="the disk is full"):
        train(tiny_preset(), run_dir=tmp_path / "run")


_SCRIPT = """
import sys, threading
import l2o_engine as l2o

def tell(event):
    if type(event).__name__ == "NewRows":
        print("training", flush=True)

tiny = {"network.hidden": 2, "network.layers": 1, "unroll.steps": 3, "run.backend": "torch", "report.baseline_draws": 5}
l2o.train("log30", iterations=1_000_000, set=tiny, run_dir=sys.argv[1], on_event=tell)
"""


def test_ctrl_c_ends_a_script_with_a_checkpoint_and_a_note(tmp_path: Path) -> None:
    script = [sys.executable, "-c", _SCRIPT, str(tmp_path / "run")]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # what a terminal or `timeout` may do: it counts as one
        _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt\nthe run is interrupted at" in err
    run = load_run(tmp_path / "run")
    assert run.record().status == "interrupted"
    assert run.checkpoint().iteration == run.record().iteration


@pytest.mark.parametrize("patience", [60.0, -1.0])
def test_a_second_ctrl_c_is_the_first_once_more_or_does_not_wait(
    patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threaded, "PATIENCE", patience)
    stop, asked = threaded._Driving.stop, []

    def pressed_again(driving: threaded._Driving, reason: str) -> None:
        asked.append(reason)
        if len(asked) == 1:
            raise KeyboardInterrupt
        stop(driving, reason)

    monkeypatch.setattr(threaded._Driving, "stop", pressed_again)
    with pytest.raises(KeyboardInterrupt) as raised:
        train(tiny_preset(), run_dir=tmp_path / "run", on_event=after(1, KeyboardInterrupt))
    run = load_run(tmp_path / "run")
    if patience > 0:
        assert asked == ["ctrl+c"] * 2
        assert "the run is" in raised.value.__notes__[0]
        assert not run.is_driven()
    else:
        assert asked == ["ctrl+c"]
        assert isinstance(raised.value.__context__, KeyboardInterrupt)
        while run.is_driven():  # which nobody waits for: it ends by itself
            time.sleep(0.02)
    assert run.status() in ("interrupted", "finished")


def test_observers_are_of_the_public_api() -> None:
    import l2o_engine as l2o

    assert l2o.Observer is observers.Observer
