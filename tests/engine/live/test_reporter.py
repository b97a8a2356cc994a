"""The reporter: no look lies inside of a chunk, and the base chart takes only its share of the time."""

from collections.abc import Callable
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.live import reporter as reporters
from l2o_engine.live.pipeline import Pipeline
from l2o_engine.live.reporter import BaseChart, Reporter
from l2o_engine.records.events import ShowDraws
from l2o_engine.records.health import LOST, next_look
from l2o_engine.training.evaluation import BaseCurves
from tests.engine.tiny import tiny_baselines, tiny_preset


@given(st.integers(0, 5000), st.integers(1, 3000))
def test_a_chunk_ends_at_the_next_look_and_where_lanes_may_end(iteration: int, every: int) -> None:
    due = Reporter(tiny_preset(f"report.every={every}")).next_due(iteration)
    wanted = next(
        place
        for place in range(iteration, iteration + every + 501)
        if place % LOST == 0 or next_look(place, every) == place
    )
    assert due == wanted


def test_before_anything_is_trained_every_lane_is_before_its_first_meta_iteration() -> None:
    reporter = Reporter(tiny_baselines("run.seeds=2"))
    results = reporter.results({})
    assert [(result.lane, result.iteration) for result in results] == [(lane, -1) for lane in reporter.lanes]
    assert reporter.average_log_result is None


@pytest.mark.parametrize(("seconds", "due"), [(0.001, 0.5), (0.2, 2.0)])
def test_the_base_chart_takes_a_tenth_of_the_time_at_most(
    seconds: float, due: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(reporters, "monotonic", lambda: now)
    pipeline = Pipeline(None, None, lambda: None)
    pipeline.open(tiny_baselines("run.seed=4"), None)
    make = pipeline.base_losses

    def slowly(seed: int, shown: ShowDraws) -> Callable[[], BaseCurves]:
        def made() -> BaseCurves:
            nonlocal now
            now += seconds
            return make(seed, shown)()

        return made

    monkeypatch.setattr(pipeline, "base_losses", slowly)
    chart = BaseChart(pipeline, lambda: None)
    assert [curves.seed for curves in chart.last()] == [4]
    seen = []
    for passed in (0.99 * due, 0.02 * due):
        now += passed
        seen.append(bool(list(chart.refresh()) or chart._making))
    chart.close()
    pipeline.close()
    assert seen == [False, True]


def test_the_session_goes_on_while_the_base_chart_is_made() -> None:
    """Which an optimizee of many coordinates takes seconds for."""
    pipeline = Pipeline(None, None, lambda: None)
    pipeline.open(tiny_baselines("run.seed=4"), None)
    make, may_go_on = pipeline.base_losses, Event()

    def held(seed: int, shown: ShowDraws) -> Callable[[], BaseCurves]:
        def made() -> BaseCurves:
            assert may_go_on.wait(60)
            return make(seed, shown)()

        return made

    chart = BaseChart(pipeline, lambda: None)
    pipeline.base_losses = held  # type: ignore[method-assign]  # what takes long
    assert list(chart.make()) == list(chart.refresh()) == []
    may_go_on.set()
    while not (told := list(chart.told())):
        pass
    chart.close()
    pipeline.close()
    assert [curves.draw for curves in told] == [0]
