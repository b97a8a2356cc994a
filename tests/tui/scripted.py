"""A session that a test writes: it says what the test says, and keeps the commands it gets."""

from collections.abc import Iterator
from threading import Event as Flag
from typing import TYPE_CHECKING

import numpy as np

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.meta.learner import Results
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Ended,
    Event,
    LaneResult,
    NewRows,
    Progress,
    Started,
    Stop,
)
from l2o_engine.records.rows import rows_of
from l2o_engine.training.trainer import Chunk, Lane

if TYPE_CHECKING:
    from l2o_engine.support.arrays import Doubles

LANE = Lane(0, LEARNED)
LEVELS = {"SGD": -3.7, "RMSProp": -18.17}


def preset(name: str = "log30", *settings: str) -> Preset:
    return load(find(name), settings)


def started(experiment: Preset, iteration: int = -1) -> Started:
    return Started(
        run_dir="runs/test",
        preset=experiment.name,
        seeds=experiment.seeds,
        lanes=(LANE,),
        backend="torch",
        reason="test",
        iteration=iteration,
        iterations=experiment.run.iterations,
        levels=LEVELS,
    )


def rows(first: int, end_losses: list[float]) -> NewRows:
    losses = np.ones((len(end_losses), 1, 20))
    losses[:, 0, -1] = end_losses
    number = np.zeros(len(end_losses))
    results = Results(losses, number, number, ~np.isfinite(np.array(end_losses)))
    return NewRows(rows_of([Chunk(LANE, first, results)], [LANE]))


def progress(iteration: int, average: float) -> Progress:
    return Progress(LANE, iteration, 1.5, 10.0**average, average, average, {}, 100.0, 1.0, 0)


def curves(draw: int = 0) -> Curves:
    steps = np.arange(20)
    falling = {LEARNED: 0.1, "SGD": 0.5, "RMSProp": 0.2}
    losses: dict[str, Doubles] = {name: np.power(base, steps, dtype=np.float64) for name, base in falling.items()}
    return Curves(draw, 10, losses)


def a_run(experiment: Preset) -> list[Event]:
    """What a run says that has got as far as 10,000."""
    told: list[Event] = [started(experiment)]
    told += [rows(k * 1000, list(10.0 ** np.linspace(-k, -k - 1, 1000))) for k in range(10)]
    told += [rows(10_000, [1e-10]), progress(0, -1.0), progress(5000, -5.0), progress(10_000, -9.5)]
    return [*told, curves(), Checkpointed(10_000, "runs/test/checkpoints/x", (0,), requested=False)]


def ended(iteration: int = 100_000) -> Ended:
    return Ended("finished", iteration, 10.0, (LaneResult(LANE, iteration, -22.0),))


class ScriptedSession:
    """Says the given events at once, then what ``answers`` has for each command, until it is told to stop."""

    def __init__(self, told: list[Event], answers: dict[type, list[Event]] | None = None) -> None:
        self.mailbox = Mailbox()
        self.commands: list[Command] = []
        self.has_told = Flag()
        self.is_over = Flag()
        self._told = told
        self._answers = answers or {}

    def events(self) -> Iterator[Event]:
        yield from self._told
        self.has_told.set()
        while True:
            command = self.mailbox.wait()
            yield from self._answers.get(type(command), [])
            self.commands.append(command)  # now that its answers have been taken in
            if isinstance(command, Stop):
                self.is_over.set()
                return
