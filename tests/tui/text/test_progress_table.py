"""The progress table: our rows, and the notebook's beside them."""

from collections.abc import Sequence
from math import nan
from typing import Any

import pytest

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.files import check, load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.records.events import Progress
from l2o_engine.runs.folder import lanes_of
from l2o_engine.training.trainer import Lane
from l2o_tui.text.progress_table import ProgressTable

ADAPTIVE = {"kind": "log", "min_log": -5.0, "adaptive": True}
SUM_LOG = {"kind": "sum_log", "residual": 1e-38}


def _preset(notebook: Sequence[int] = (), *, also: dict[str, float] | None = None, **tables: Any) -> Preset:
    rows = [{"it": it, "optim_result": it / 1000, "average_log_result": -it / 10} | (also or {}) for it in notebook]
    published = {"notebook": {"name": "published", "rows": rows}} if notebook else {}
    return check({"name": "tiny"} | published | tables)


def _row(iteration: int, lane: Lane | None = None, **values: Any) -> Progress:
    usual: dict[str, Any] = {
        "sum_error": 6.49,
        "optim_result": 0.259,
        "average_log_result": -0.59,
        "average_sum_log_result": -0.3,
        "numbers": {},
        "iterations_per_second": 1.0,
        "elapsed_seconds": 1.0,
        "non_finite": 0,
    }
    return Progress(lane=lane or Lane(0, LEARNED), iteration=iteration, **(usual | values))


def _printed(preset: Preset, rows: Sequence[Progress]) -> list[str]:
    table = ProgressTable(preset, lanes_of(preset))
    return [line for row in rows for line in table.lines(row)]


def _headings(preset: Preset) -> list[str]:
    return [column.heading for column in ProgressTable(preset, lanes_of(preset)).columns]


def _published_headings(preset: Preset) -> list[str]:
    return [column.heading for column in ProgressTable(preset, lanes_of(preset)).notebook_columns]


def test_the_columns_are_the_notebooks_and_the_count_of_non_finite_ones() -> None:
    assert _headings(_preset()) == ["it", "sum_error", "optim_result", "average_log_result", "non_finite"]


def test_replicates_have_a_column_for_the_seed() -> None:
    assert _headings(_preset(run={"seeds": 2}))[:3] == ["it", "seed", "sum_error"]


def test_baselines_have_a_column_for_the_optimizer() -> None:
    assert _headings(_preset(kind="baselines"))[:3] == ["it", "optimizer", "sum_error"]


def test_min_log_is_a_column_only_where_it_adapts() -> None:
    assert "min_log" in _headings(_preset(inputs={"kind": "log", "min_log": -5.0, "adaptive": True}))
    assert "min_log" not in _headings(_preset(inputs={"kind": "log", "min_log": -5.0}))


def test_the_average_over_all_steps_is_a_column_where_it_is_the_objective_or_the_notebook_printed_it() -> None:
    headings = ["it", "sum_error", "optim_res", "av_log", "av_sum", "non_finite"]
    assert _headings(_preset(objective=SUM_LOG)) == headings
    assert _headings(_preset([0], also={"average_sum_log_result": -3.0})) == headings
    assert _headings(_preset([0], also={"sum_error": 3.0}, objective={"kind": "end_log"})) == _headings(_preset())


def test_the_notebook_s_columns_are_those_that_it_printed_and_we_have() -> None:
    assert _published_headings(_preset()) == []
    assert _published_headings(_preset([0])) == ["notebook", "average"]
    assert _published_headings(_preset([0], objective=SUM_LOG)) == ["notebook", "av_log"]
    everything = {"average_sum_log_result": -3.0, "min_log": -5.0}
    assert _published_headings(_preset([0], also=everything)) == ["notebook", "av_log", "to_date"]
    adapting = _preset([0], also=everything, inputs=ADAPTIVE)
    assert _published_headings(adapting) == ["notebook", "av_log", "to_date", "min_log"]


def test_the_notebook_s_average_over_all_steps_and_min_log_stand_beside_ours() -> None:
    also = {"average_sum_log_result": -6.61, "min_log": -42.03}
    preset = _preset([0, 10], also=also, inputs=ADAPTIVE)
    lines = _printed(preset, [_row(10, average_sum_log_result=-8.43, numbers={"min_log": -41.6})])
    ours, published = lines[1].split("│")
    assert ours.split() == ["10", "6.49", "2.59E-01", "-0.59", "-8.43", "-41.60", "0"]
    assert published.split() == ["1.00E-02", "-1.00", "-6.61", "-42.03"]
    assert lines[0].split("│")[1].split() == ["0.00E+00", "0.00", "-6.61", "-42.03"]  # a row of theirs alone


@pytest.mark.parametrize("name", shipped_names())
def test_the_table_of_a_shipped_preset_fits_into_80_characters(name: str) -> None:
    preset = load(find(name))
    table = ProgressTable(preset, lanes_of(preset))
    numbers = {"min_log": -49.15}
    row = _row(
        preset.run.iterations, lanes_of(preset)[0], sum_error=999999.99, average_log_result=-38.0, numbers=numbers
    )
    lines = [table.heading(), *table.lines(row)]
    assert {len(line) for line in lines} == {len(lines[0])}
    if "min_log" in [column.heading for column in table.notebook_columns]:
        assert len(lines[0]) <= 100  # beside the notebook's min_log there is no room
        return
    assert len(lines[0]) <= 80
    on_screen = sum(column.width + 1 for column in [*table.columns, *table.notebook_columns])
    assert on_screen <= 77  # less the frame and the scroll bar


def test_a_row_without_a_notebook_holds_our_numbers_only() -> None:
    (line,) = _printed(_preset(), [_row(0)])
    assert line.split() == ["0", "6.49", "2.59E-01", "-0.59", "0"]


def test_the_notebooks_row_stands_beside_ours_of_the_same_iteration() -> None:
    lines = _printed(_preset([0, 10]), [_row(0), _row(10)])
    assert [line.split("│")[1].split() for line in lines] == [["0.00E+00", "0.00"], ["1.00E-02", "-1.00"]]


def test_rows_of_the_notebook_that_lie_between_ours_are_shown_once_and_in_order() -> None:
    lines = _printed(_preset([0, 5, 7, 10, 12]), [_row(0), _row(10), _row(20), _row(30)])
    assert [int(line.split()[0]) for line in lines] == [0, 5, 7, 10, 12, 20, 30]
    ours, published = zip(*(line.split("│") for line in lines), strict=True)
    assert [len(cells.split()) for cells in ours] == [5, 1, 1, 5, 1, 5, 5]
    assert [bool(cells.strip()) for cells in published] == [True, True, True, True, True, False, False]


def test_rows_of_the_notebook_beyond_ours_are_not_shown() -> None:
    assert len(_printed(_preset([0, 50]), [_row(0), _row(10)])) == 2


def test_with_replicates_the_notebooks_row_is_shown_once_an_iteration() -> None:
    preset = _preset([0, 10], run={"seeds": 2})
    lines = _printed(preset, [_row(it, lane) for it in (0, 10) for lane in lanes_of(preset)])
    assert [line.split()[1] for line in lines] == ["0", "1", "0", "1"]
    assert [bool(line.split("│")[1].strip()) for line in lines] == [True, False, True, False]


def test_a_value_that_the_notebook_did_not_print_is_left_empty() -> None:
    preset = check({"name": "tiny", "notebook": {"name": "n", "rows": [{"it": 0, "average_log_result": -1.5}]}})
    (line,) = _printed(preset, [_row(0)])
    assert line.split("│")[1].split() == ["-1.50"]


def test_every_line_keeps_the_columns_of_the_heading_aligned() -> None:
    preset = _preset([0, 5, 100_000], run={"iterations": 100_000})
    table = ProgressTable(preset, lanes_of(preset))
    heading = table.heading()
    lines = [line for it in (0, 100_000) for line in table.lines(_row(it, sum_error=0.01))]
    assert {line.index("│") for line in [heading, *lines]} == {heading.index("│")}
    for name, cell in (("sum_error", "0.01"), ("optim_result", "2.59E-01"), ("non_finite", "0")):
        end = heading.index(name) + len(name)
        assert all(line[:end].endswith(cell) for line in (lines[0], lines[-1]))


def test_the_iteration_of_a_very_long_run_keeps_the_columns_aligned() -> None:
    preset = _preset([0], run={"iterations": 10**10})
    table = ProgressTable(preset, lanes_of(preset))
    (line,) = _printed(preset, [_row(10**10)])[-1:]
    assert line.index("│") == table.heading().index("│")


def test_a_huge_sum_is_written_short_and_nan_stays_readable() -> None:
    preset = _preset()
    spoilt_row = _row(10, sum_error=nan, optim_result=nan, non_finite=1)
    huge, spoilt = _printed(preset, [_row(0, sum_error=1e30), spoilt_row])
    assert huge.split()[1] == "1.00E+30"
    assert [cell.lower() for cell in spoilt.split()[1:3]] == ["nan", "nan"]
    assert len(huge) == len(spoilt)


def test_before_an_episode_has_ended_there_is_no_result() -> None:
    (line,) = _printed(_preset(), [_row(0, sum_error=nan, optim_result=nan, average_log_result=nan)])
    assert line.split()[:5] == ["0", "–", "–", "–", "0"]


def test_min_log_is_shown_where_it_adapts() -> None:
    preset = _preset(inputs={"kind": "log", "min_log": -5.0, "adaptive": True})
    (line,) = _printed(preset, [_row(0, numbers={"min_log": -4.75})])
    assert line.split()[-2:] == ["-4.75", "0"]


def test_our_own_reference_is_called_so_and_has_averages_alone() -> None:
    rows = [{"it": 10, "average_log_result": -1.5}]
    preset = check({"name": "tiny", "reference": {"seeds": 8, "held_out": -1.0, "tolerance": 0.5, "rows": rows}})
    table = ProgressTable(preset, lanes_of(preset))
    assert table.heading().endswith("│ reference")
    assert table.whose == "our own reference"
