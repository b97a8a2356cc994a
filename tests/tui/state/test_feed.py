"""The feed: what the screen knows, however the events pile up."""

from dataclasses import replace

import pytest

from l2o_engine.records.events import Checkpointed, Described, Ended, Event, Extended, NewRows, StatusChanged
from l2o_tui.state.feed import PROGRESS_KEPT, Feed
from tests.tui.scripted import a_run, curves, ended, preset, progress, rows, started


def fed(*events: Event) -> Feed:
    feed = Feed(preset())
    for event in events:
        feed.publish(event)
    return feed


def test_before_anything_it_is_loading() -> None:
    view = Feed(preset()).view()
    assert view.phase == "loading"
    assert view.iteration == -1
    assert view.iterations == 100_000


def test_it_follows_a_run_through_its_phases() -> None:
    feed = fed(*a_run(preset()))
    assert feed.view().phase == "running"
    assert feed.view().iteration == 10_000
    feed.publish(StatusChanged("paused", 10_000))
    assert feed.view().phase == "paused"
    feed.publish(StatusChanged("paused", 10_000, "no space left"))
    assert feed.view().message == "no space left"
    feed.publish(ended())
    assert feed.view().phase == "finished"
    feed.publish(Extended(150_000))
    assert feed.view().iterations == 150_000
    assert feed.take_notices() == ["continuing to 150,000"]
    assert feed.take_notices() == []


def test_a_device_that_is_not_the_cpu_is_seen_and_logged() -> None:
    feed = fed(started(preset()), replace(started(preset()), device="cuda:0"))
    assert (feed.view().backend, feed.view().device) == ("torch", "cuda:0")
    lines = [line.text for line in feed.log_between(0, feed.view().log_seen)]
    assert lines == ["started, on torch (test)", "started, on torch on cuda:0 (test)"]


def test_what_the_run_is_called_is_seen_and_logged() -> None:
    feed = Feed(preset(), name="before")
    feed.publish(started(preset()))
    assert feed.view().name == "before"
    feed.publish(Described("after", "of\ntwo lines", ("a", "b")))
    assert feed.view().name == "after"
    feed.publish(Described("", "", ()))
    assert feed.view().name == ""
    assert [line.text for line in feed.log_between(1, feed.view().log_seen)] == [
        "called: after · a b · of / two lines",
        "called: nothing",
    ]


def test_a_failure_is_seen() -> None:
    feed = fed(started(preset()))
    feed.fail("no space left")
    assert (feed.view().phase, feed.view().message) == ("failed", "no space left")
    assert feed.view().failed_here


def test_a_failure_that_a_run_tells_is_not_ours() -> None:
    view = fed(started(preset()), Ended("failed", 5, 1.0, (), "no space left")).view()
    assert (view.phase, view.message, view.failed_here) == ("failed", "no space left", False)


def test_progress_is_handed_out_from_where_the_reader_is() -> None:
    feed = fed(started(preset()), progress(0, -1.0), progress(5000, -2.0))
    assert [row.iteration for row in feed.progress_between(0, feed.view().progress_seen)] == [0, 5000]
    feed.publish(progress(10_000, -3.0))
    assert [row.iteration for row in feed.progress_between(2, feed.view().progress_seen)] == [10_000]
    assert [row.iteration for row in feed.progress_between(0, 1)] == [0]  # a view may be older than the feed


def test_non_finite_results_are_counted_over_the_whole_run() -> None:
    nan = float("nan")
    feed = fed(started(preset()), rows(0, [1.0, nan]), rows(2, [nan, nan, 1.0]))
    assert feed.view().non_finite == 3
    ((_, curve),) = feed.convergence()
    assert curve.non_finite == 3


def test_memory_is_bounded_however_long_the_run() -> None:
    feed = fed(started(preset()))
    for first in range(0, 500_000, 50_000):
        feed.publish(rows(first, [1.0] * 50_000))
    ((_, curve),) = feed.convergence()
    assert len(curve.iteration) <= 16_385
    assert curve.iteration[-1] == 499_999


def test_the_time_left_is_unknown_without_a_rate() -> None:
    view = fed(started(preset()), rows(0, [1.0])).view()
    assert view.seconds_left != view.seconds_left  # NaN


def test_the_latest_curves_replace_earlier_ones() -> None:
    view = fed(started(preset()), curves(0), curves(1)).view()
    assert view.curves is not None
    assert view.curves.draw == 1


@pytest.mark.parametrize(("seconds", "rate"), [(20.0, 1 / 20), (0.5, 2.0)])
def test_a_rate_is_known_however_long_a_meta_iteration_takes(
    monkeypatch: pytest.MonkeyPatch, seconds: float, rate: float
) -> None:
    now = 0.0
    monkeypatch.setattr("l2o_tui.state.feed.monotonic", lambda: now)
    feed = fed(started(preset()))
    for iteration in range(30):
        now += seconds
        feed.publish(rows(iteration, [1.0]))
        assert iteration * seconds < 1 or feed.view().rate == pytest.approx(rate)
    assert feed.view().seconds_left == pytest.approx((100_000 - 29) / rate)


def test_an_interrupted_end_keeps_its_reason() -> None:
    feed = fed(started(preset()), NewRows(rows(0, [1.0]).rows), Ended("interrupted", 0, 1.0, (), "SIGTERM"))
    assert (feed.view().phase, feed.view().message) == ("interrupted", "SIGTERM")


def test_the_past_of_a_resumed_run_says_nothing_about_its_pace() -> None:
    feed = fed(started(preset(), iteration=99_999), rows(0, [1.0] * 50_000), rows(50_000, [1.0] * 50_000))
    view = feed.view()
    assert view.iteration == 99_999
    assert view.rate != view.rate  # NaN
    ((_, curve),) = feed.convergence()
    assert curve.iteration[-1] == 99_999


def test_only_the_newest_progress_rows_are_kept() -> None:
    feed = fed(started(preset()), *(progress(iteration, -1.0) for iteration in range(PROGRESS_KEPT + 100)))
    assert [row.iteration for row in feed.progress_between(0, feed.view().progress_seen)] == list(
        range(100, PROGRESS_KEPT + 100)
    )
    assert feed.view().progress_seen == PROGRESS_KEPT + 100
    assert [row.iteration for row in feed.progress_between(PROGRESS_KEPT + 99, feed.view().progress_seen)] == [
        PROGRESS_KEPT + 99
    ]


def test_how_much_of_a_watched_runs_past_is_read_is_told() -> None:
    feed = Feed(preset(), is_watched=True)
    feed.publish(started(preset(), 999))
    assert (feed.view().is_reading, feed.view().read) == (True, 0.0)
    feed.publish(rows(0, [1.0] * 500))
    assert feed.view().read == pytest.approx(499 / 999)
    feed.publish(rows(500, [1.0] * 500))
    assert not feed.view().is_reading
    resumed = Feed(preset())
    resumed.publish(started(preset(), 999))
    assert not resumed.view().is_reading


def test_the_log_has_twenty_checkpoints_of_a_run_and_all_that_were_asked_for() -> None:
    feed = Feed(preset())
    feed.publish(started(preset()))
    for iteration in range(1000, 100_001, 1000):
        feed.publish(Checkpointed(iteration, "x", (0,), requested=iteration == 42_000))
    lines = [line for line in feed.log_between(0, feed.view().log_seen) if line.kind == "checkpoint"]
    assert len(lines) <= 22
    assert [line.iteration for line in lines if line.text == "kept"] == [42_000]
    assert feed.view().checkpoint == 100_000
