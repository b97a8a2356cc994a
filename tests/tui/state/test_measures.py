"""What is read of a run beside its end loss: the rows' numbers, what was added since, and what a resume did again."""

from pathlib import Path

import numpy as np
import pytest

from l2o_engine.runs.folder import Run
from l2o_tui.state.measures import EPSILON, GRADIENT, MIN_LOG, SUM, MeasureReader, measures_of
from tests.engine import tiny
from tests.engine.made import made_run


def test_what_is_measured_depends_on_what_is_trained() -> None:
    adaptive = tiny.tiny_preset('inputs={kind="log", min_log=-2.0, adaptive=true}')
    assert measures_of(adaptive) == [SUM, GRADIENT, MIN_LOG, EPSILON]
    assert measures_of(tiny.tiny_preset('inputs={kind="identity"}')) == [SUM, GRADIENT, EPSILON]
    assert measures_of(tiny.tiny_baselines()) == [SUM]


def test_each_lane_s_curve_is_of_its_rows_and_grows_with_the_run(tmp_path: Path) -> None:
    preset = tiny.tiny_preset("run.seeds=2")
    tiny.run(tmp_path / "run", preset)
    reader = MeasureReader(tmp_path / "run", preset)
    for last in (30, 50):
        rows = next(Run(tmp_path / "run").rows())
        for measure, values in ((SUM, rows.sum_loss), (GRADIENT, rows.gradient_norm)):
            for place, (lane, curve) in enumerate(reader.read(measure)):
                assert lane.seed == place
                assert curve.iteration.tolist() == [*range(last + 1)]
                np.testing.assert_allclose(curve.low, np.log10(values[rows.lane == place] + 1e-38))
        tiny.resume(tmp_path / "run", iterations=50)


def test_a_run_that_went_back_is_read_anew(tmp_path: Path) -> None:
    preset = tiny.tiny_preset()
    tiny.run(tmp_path / "run", preset)
    reader = MeasureReader(tmp_path / "run", preset)
    before = reader.read(SUM)
    metrics = tmp_path / "run" / "metrics.csv"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(lines[:5]))
    assert reader.read(SUM)[0][1].iteration.tolist() == [0, 1, 2, 3]
    metrics.write_text("".join(lines))
    np.testing.assert_array_equal(reader.read(SUM)[0][1].rolling, before[0][1].rolling)
    metrics.write_text(lines[0] + lines[1].replace("0,", "x,", 1))
    with pytest.raises(ValueError, match="line 2"):
        reader.read(SUM)


def test_what_is_not_finite_or_not_measured_is_no_point(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny.tiny_preset(), [[-1.0] * 3], [[1.0, float("inf"), float("nan")]])
    reader = MeasureReader(run.folder, run.preset())
    ((_, curve),) = reader.read(SUM)
    assert np.isfinite(curve.low).tolist() == [True, False, False]
    ((_, curve),) = reader.read(EPSILON)
    assert len(curve.iteration) == 0
