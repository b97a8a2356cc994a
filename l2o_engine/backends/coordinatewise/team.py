"""The threads of one unroll, which stay awake from stage to stage: to be woken takes longer than many a stage does."""

from time import sleep
from typing import TYPE_CHECKING

import numpy as np

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.lstm import Rows
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.kernel.stages import Board

if TYPE_CHECKING:
    from concurrent.futures import Future

_STEPS = 5  # of an unroll, done before Python sees who has gone to sleep, or that it is to stop
_NAP = 1e-4  # seconds that a thread sleeps, from time to time, while it waits for the parts that others have


class Team:
    """Has stages done, one after another, by all threads of a crew that come to them.

    Parameters
    ----------
    kernel
        That of rows.
    crew, parts
        Who helps, and how many parts a stage has at most that are worth a thread.
    rows, desk
        What a network's steps and perceptrons are computed in; one that is not needed may be of nothing.
    stages
        How many there will be at most.

    Attributes
    ----------
    desk
        As given.
    """

    def __init__(self, kernel: Kernel, crew: Crew, parts: int, rows: Rows, desk: Desk, stages: int) -> None:
        self.desk = desk
        self._kernel, self._crew, self._parts, self._rows = kernel, crew, parts, rows
        self._board = Board(np.zeros(stages, np.int64), np.zeros((2, stages), np.int64), np.zeros(1, np.int64))
        self._lent: dict[int, Future[int]] = {}
        self._first = 0

    def step(self, step: int) -> None:
        """Have the network take a step."""
        self._do([step])

    def learn(self) -> None:
        """Have the losses and gradients found of the perceptrons at the desk."""
        self._do(_learning(0, len(self.desk.points)))

    def unroll(self, steps: int, networks: int) -> None:
        """Have so many steps taken on the perceptrons at the desk, from the first on, and the last losses found."""
        self._do(_learning(0, networks))
        for first in range(0, steps, _STEPS):
            some = range(first, min(first + _STEPS, steps))
            self._do([stage for step in some for stage in (step, *_learning((step + 1) * networks, networks))])

    def _do(self, whats: list[int]) -> None:
        """Have stages done, in their order, and wait for the last; the threads stay for the next ones.

        A team that was left in the midst of them, by an error, is of no use any more.
        """
        stage, end = self._first, self._first + len(whats)
        if end > len(self._board.agenda):
            raise RuntimeError(f"there are {len(self._board.agenda)} stages in all")
        self._first = end
        self._board.agenda[stage:end] = whats

        def work(thread: int, first: int = stage, leads: int = 0) -> int:
            reached: int = self._kernel.follow(self._rows, self.desk, self._board, thread, first, leads)
            return reached

        while True:
            self._crew.lend(work, self._parts, self._lent)
            stage = work(0, stage, end - stage)
            if stage == end:
                return
            sleep(_NAP)

    def dismiss(self) -> None:
        """Have the threads come back."""
        self._board.announced[0] = -1


def _learning(first: int, count: int) -> list[int]:
    """Return the stages that find the losses and gradients of so many of the perceptrons at a desk."""
    return [-1 - stage for stage in range(2 * first, 2 * (first + count))]
