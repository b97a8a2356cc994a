"""The threads of one unroll, which stay awake from stage to stage: to be woken takes longer than many a stage does."""

from typing import TYPE_CHECKING

import numpy as np

from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.perceptron import Desk

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from l2o_engine.support.arrays import Integers


class Team:
    """Has stages done, one after another, by all threads of a crew that come to them.

    Parameters
    ----------
    crew, parts
        Who helps, and how many parts a stage has at most that are worth a thread.
    desk, stages
        Where perceptrons are shared; how many stages there will be at most.
    follow
        Called with the team, a thread, the first stage that it is to do, and how many it announces: 0 but for one.

    Attributes
    ----------
    desk
        As given.
    agenda, counters, board
        What the threads tell one another: see the kernel's `follow`.
    """

    def __init__(
        self, crew: Crew, parts: int, desk: Desk, stages: int, follow: "Callable[[Team, int, int, int], None]"
    ) -> None:
        self.desk = desk
        self.agenda: Integers = np.zeros(stages, np.int64)
        self.counters: Integers = np.zeros((2, stages), np.int64)
        self.board: Integers = np.zeros(1, np.int64)
        self._crew, self._parts, self._follow = crew, parts, follow
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
        self.agenda[first : self._first] = stages

        def work(thread: int) -> None:
            self._follow(self, thread, first, 0 if thread else count)

        self._crew.lend(work, self._parts, self._lent)
        work(0)

    def dismiss(self) -> None:
        """Have the threads come back."""
        self.board[0] = -1
