"""One figure says the same on a terminal and in a file: ticks, labels, values, and what is drawn over what."""

import re
from pathlib import Path

import numpy as np
import pytest

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_tui.charts.axes import Span
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.matplotlib import write_picture
from l2o_tui.charts.plotext import draw
from tests.tui.charts.test_matplotlib import texts
from tests.tui.curves import curve_of, falling, figure_of, series_of, text_of

_DIGITS = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹·", "-+0123456789.")
SIZE = (120, 40)


def _figures() -> dict[str, Figure]:
    runs = [
        series_of(f"lr 1e-{k}", curve_of(falling(800, seed=k, to=-6.0 * k - 3), capacity=1024), k) for k in range(4)
    ]
    return {
        "a run": figure_of(notebook=[NotebookRow(it=it, average_log_result=-it / 50) for it in (0, 200, 400)]),
        "a sweep": figure_of(runs, caption="line: rolling log-average"),
        "nothing": figure_of([series_of(LEARNED, curve_of([]))]),
        "a part": figure_of(view=Span(300, 500)),
        "less than two decades": figure_of([series_of("near", curve_of(np.linspace(-3.1, -3.4, 50)))], {}),
        "linear": figure_of(logarithmic=False),
        "ten": figure_of([series_of(LEARNED, curve_of(falling(11)))], {}),
        "base losses": base_losses({LEARNED: 0.1 ** np.arange(20.0), "SGD": 0.5 ** np.arange(20.0)}),
    }


def _number(label: str) -> float:
    """Return what a tick's label says, as a terminal and as print has it."""
    power = re.fullmatch(r"10([⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹·]+)", label)
    if power:
        return 10 ** float(power[1].translate(_DIGITS))
    power = re.fullmatch(r"1e([-+\d.]+)", label)
    if power:
        return 10 ** float(power[1])
    scale = {"k": 1e3, "M": 1e6}.get(label[-1], 1.0)
    return float(label.rstrip("kM").replace(",", "")) * scale


def _ticks_of_terminal(text: str) -> tuple[list[float], list[float]]:
    lines = text.split("\n")
    axis = next(row for row, line in enumerate(lines) if "└" in line)
    heights = [_number(line.partition("┤")[0].strip()) for line in lines[:axis] if "┤" in line[:12]]
    return [_number(label) for label in lines[axis + 1].split()], heights[::-1]


def _ticks_of_file(path: Path) -> tuple[list[float], list[float]]:
    svg = path.read_text()
    found = []
    for axis in ("xtick", "ytick"):
        parts = re.findall(rf'<g id="{axis}_\d+">.*?<text[^>]*>([^<]*)</text>', svg, re.DOTALL)
        found.append([_number(part) for part in parts])
    return found[0], found[1]


@pytest.mark.parametrize("name", _figures())
def test_both_renderers_say_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = _figures()[name]
    text = text_of(draw(figure, *SIZE))
    write_picture([figure], tmp_path / "picture.svg")
    written = texts(tmp_path / "picture.svg").split("\n")
    for terminal, file in zip(_ticks_of_terminal(text), _ticks_of_file(tmp_path / "picture.svg"), strict=True):
        assert terminal == pytest.approx(file, rel=1e-9)
        assert len(file) >= 2
    assert figure.below in text
    assert figure.below in written
    order = [label.name for label in figure.labels if label.name not in {level.label for level in figure.levels}]
    assert [line for line in written if line in order] == order
    for label in figure.labels:
        assert f" {label.name} {label.value}" in text
    for level in figure.levels:
        at = written.index(level.label)
        assert written[at + 1] == figure.value(level.y)
