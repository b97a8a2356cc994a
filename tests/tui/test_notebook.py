"""The picture that is drawn while a training goes on: in a file, a notebook's cell or a window."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from l2o_engine.live.train import resume, train
from l2o_engine.records.events import Event, NewRows
from l2o_engine.runs.folder import Run
from l2o_tui import notebook
from l2o_tui.charts.matplotlib import PictureError
from l2o_tui.notebook import LivePlot
from tests.engine.tiny import tiny_baselines, tiny_preset

PNG = b"\x89PNG"


class Shell:
    """What IPython gives a notebook to show pictures in."""

    kernel = object()

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.begun = 0

    def display(self, image: Any, *, display_id: bool) -> "Shell":
        assert display_id
        self.begun += 1
        return self.update(image)

    def update(self, image: Any) -> "Shell":
        self.shown.append(image.data)
        return self


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    display = SimpleNamespace(Image=lambda data, format: SimpleNamespace(data=data), display=shell.display)  # noqa: A006
    monkeypatch.setitem(
        sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display, version_info=(9, 0))
    )
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shell


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[LivePlot, Path, Run]:
    """Return a plot in a file, that file, and the run that was drawn."""
    folder = tmp_path_factory.mktemp("drawn")
    plot = LivePlot(folder / "live.svg", seconds=0)
    run = train(tiny_preset("name=drawn", "run.seeds=2", "report.every=1"), run_dir=folder / "run", watch=plot)
    return plot, folder / "live.svg", run


def test_a_file_has_the_convergence_and_the_base_losses(drawn: tuple[LivePlot, Path, Run]) -> None:
    plot, path, _ = drawn
    svg = path.read_text()
    for text in ("drawn: finished at 30 of 30", "one problem, network at 30", "RNN, 2 seeds", "SGD", "meta-iterations"):
        assert text in svg
    ((convergence, base),) = plot.panels()
    assert convergence[1].series[0].x[-1] == 30
    assert [one.label for one in base[1].series] == ["RNN", "SGD", "RMSProp"]
    assert [level.label for level in convergence[1].levels] == ["SGD", "RMSProp"]


def test_it_is_drawn_again_only_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(notebook, "monotonic", lambda: clock[0])
    monkeypatch.setattr(notebook._File, "show", lambda canvas, panels: clock.__setitem__(0, clock[0] + 0.4))
    plot, counts = LivePlot(tmp_path / "live.png", seconds=1.0), []

    def tell(event: Event) -> None:
        if isinstance(event, NewRows):
            counts.append(plot.drawn)
            clock[0] += 0.5

    train(tiny_preset("report.every=1"), run_dir=tmp_path / "run", watch=plot, on_event=tell)
    seconds = clock[0] - 100
    # Of pictures that take 0.4 s, the last is drawn at once, the first after a second, those between 8 s apart.
    assert counts[:2] == [0, 0]
    assert 2 <= plot.drawn <= 3 + (seconds + 7) // 8
    assert plot.drawing_seconds == pytest.approx(0.4 * plot.drawn)


def test_a_run_that_is_over_at_once_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "monotonic", lambda: 100.0)
    plot = LivePlot(tmp_path / "live.svg")
    train(tiny_preset("report.every=1"), run_dir=tmp_path / "run", watch=plot)
    assert plot.drawn == 1
    assert "finished at 30 of 30" in (tmp_path / "live.svg").read_text()


def test_in_a_notebook_the_cells_picture_is_replaced(shell: Shell, tmp_path: Path) -> None:
    plot = LivePlot(seconds=0)
    train(tiny_preset("report.every=1"), run_dir=tmp_path / "run", watch=plot)
    assert len(shell.shown) == plot.drawn > 1
    assert all(image.startswith(PNG) for image in shell.shown)
    assert shell.shown[0] != shell.shown[-1]
    assert shell.begun == 1
    resume(tmp_path / "run", iterations=35, watch=plot)
    assert shell.begun == 2  # a picture of its own, below the next cell


def test_in_ipython_on_a_terminal_there_is_no_cell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook._in_notebook()
    monkeypatch.delattr(Shell, "kernel")
    assert not notebook._in_notebook()


def test_where_there_is_neither_a_notebook_nor_a_window_a_file_is_asked_for() -> None:
    with pytest.raises(PictureError, match="neither a notebook nor a window here to draw in: name a file"):
        LivePlot()


def test_in_a_script_there_is_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    shown: list[bool] = []
    monkeypatch.setattr(plt, "get_backend", lambda: "TkAgg")
    monkeypatch.setattr(plt, "show", lambda *, block: shown.append(block))
    before = plt.get_fignums()
    plot = LivePlot(seconds=0)
    train(tiny_preset("report.every=1"), run_dir=tmp_path / "run", watch=plot)
    (number,) = set(plt.get_fignums()) - set(before)
    assert shown == [False]  # one window for all pictures
    assert plot.drawn > 1
    assert len(plt.figure(number).axes) == 2
    plt.close(number)


def test_runs_without_a_network_have_their_optimizers_lines(tmp_path: Path) -> None:
    plot = LivePlot(tmp_path / "live.png")
    train(tiny_baselines(), run_dir=tmp_path / "run", watch=plot)
    ((convergence, base),) = plot.panels()
    assert {one.label for one in convergence[1].series} == {one.label for one in base[1].series} == {"SGD", "RMSProp"}
    assert (tmp_path / "live.png").read_bytes().startswith(PNG)


def test_a_picture_that_cannot_be_had_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PictureError, match=r"a picture's name ends in \.svg"):
        LivePlot(tmp_path / "live.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PictureError, match=r"pip install 'l2o-tui\[plots\]'"):
        LivePlot(tmp_path / "live.png")


def test_a_disk_that_takes_no_picture_does_not_end_the_training(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    plot = LivePlot(tmp_path / "pictures" / "live.png")
    (tmp_path / "pictures").rmdir()
    with pytest.warns(RuntimeWarning, match="LivePlot watches no more"):
        run = train(tiny_preset(), run_dir=tmp_path / "run", watch=plot)
    assert run.status() == "finished"
