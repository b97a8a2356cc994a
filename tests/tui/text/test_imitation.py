"""Imitations in words: in the screen's log."""

from math import nan

from l2o_engine.records.events import Imitated
from l2o_engine.training.imitating import Likeness
from l2o_tui.state.feed import Feed
from l2o_tui.text.imitation import summary
from tests.tui.scripted import LANE, preset, started


def test_the_log_shows_some_of_them() -> None:
    feed = Feed(preset())
    feed.publish(started(preset()))
    before = feed.view().log_seen
    for iteration in (0, 1, 2):
        feed.publish(Imitated(LANE, Likeness(iteration, 5, 0.5, 0.25)))
    (line,) = feed.log_between(before, feed.view().log_seen)
    assert line.iteration == 0
    assert line.text == "has imitated its teacher for 5 truncations, loss 5.00E-01 at its first, 2.50E-01 at its last"


def test_one_that_was_not_finite_has_no_loss() -> None:
    assert summary(Likeness(0, 0, nan, nan)) == "has imitated its teacher for 0 truncations"
    assert summary(Likeness(0, 1, 1.0, 1.0)).startswith("has imitated its teacher for 1 truncation, ")
