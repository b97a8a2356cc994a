"""What follows from a validation is said alike on stderr and in the screen's log, and nothing else of it."""

from pathlib import Path

import pytest

from l2o_engine.records.events import Validated
from l2o_engine.training.trainer import Lane
from l2o_engine.training.validating import Verdict
from l2o_tui.state.feed import Feed
from l2o_tui.text.headless import Table
from l2o_tui.text.validation import summary
from tests.tui.scripted import preset, started

LANE = Lane(0, "RNN")
NEXT = "stage 2 begins, with episodes of 200 steps: the best network of the stage before is restored"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(499, 200, -0.5, -1.25, "next", 1, 200), f"{NEXT} (validated at -1.25)"),
        (
            Verdict(499, 200, -0.5, -1.25, "stop", 1, 200),
            "validation finds nothing better any more: the best network is restored (validated at -1.25)",
        ),
        (Verdict(499, 200, -1.25, -1.25, "better", 1, 200), ""),
        (Verdict(499, 200, -0.5, -1.25, "", 1, 200), ""),
    ],
)
def test_what_follows_is_said(verdict: Verdict, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Table(preset(), Path("run")).show(Validated(LANE, verdict))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (f"at 499: {said}\n" if said else "")
    feed = Feed(preset())
    feed.publish(started(preset()))
    before = feed.view().log_seen
    feed.publish(Validated(LANE, verdict))
    feed.publish(Validated(LANE, verdict))
    lines = feed.log_between(before, feed.view().log_seen)
    # Of those that change nothing, some: the next only after a twentieth of the run.
    told_of = [(499, said)] * 2 if said else [(499, summary(verdict))]
    assert [(line.iteration, line.text) for line in lines] == told_of


def test_how_it_stands_is_said_in_a_line() -> None:
    said = "validated at -0.50 over 200 steps; best -1.25, stage 2 with episodes of 200 steps"
    assert summary(Verdict(499, 200, -0.5, -1.25, "", 1, 200)) == said
