"""The threads of one unroll, which stay awake from stage to stage: to be woken takes longer than many a stage does."""

from typing import TYPE_CHECKING

import numpy as np

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.lstm import Rows
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.kernel.stages import Board

if TYPE_CHECKING:
    from concurrent.futures import Future


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
        self._lent: dict[int, Future[None]] = {}
        self._first = 0

    def step(self, step: int) -> None:
        """Have the network take a step."""
        self._do([step])

    def learn(self) -> None:
        """Have the losses and gradients found of the perceptrons at the desk."""
        self._do([-1 - stage for stage in range(2 * len(self.desk.points))])

    def _do(self, stages: list[int]) -> None:
        """Have stages done, in their order, and wait for the last; the threads stay for the next ones."""
        first, count = self._first, len(stages)
        self._first += count
        self._board.agenda[first : self._first] = stages

        def work(thread: int) -> None:
            self._kernel.follow(self._rows, self.desk, self._board, thread, first, 0 if thread else count)

        self._crew.lend(work, self._parts, self._lent)
        work(0)

    def dismiss(self) -> None:
        """Have the threads come back."""
        self._board.announced[0] = -1
