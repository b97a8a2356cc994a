"""Least squares: DeepMind's quadratic."""

from typing import ClassVar, Literal

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import settings
from l2o_engine.tasks.base import TASKS, Task
from l2o_engine.tasks.residuals import Residuals


@TASKS.register
@settings
class LeastSquares(Residuals):
    """f(x) = ‖W·x - y‖², the mean over so many problems (Andrychowicz et al. 2016, section 3.1).

    The paper draws W and y from a normal distribution, DeepMind's code from [0, 1); both have 128 problems of 10
    dimensions that start within 0.01 of 0.
    """

    kind: Literal["least_squares"] = "least_squares"
    factor: ClassVar[float] = 1.0

    def bare_optimum(self, task: Task) -> Floats | None:
        """Return the least-squares solution; None where rows leave coordinates free."""
        if self.height < self.dims:
            return None
        matrix, target = task.parameters["matrix"].astype(np.float64), task.parameters["target"]
        solved = (np.linalg.pinv(matrix) @ target[..., None].astype(np.float64))[..., 0]
        found: Floats = solved.reshape(task.start.shape).astype(task.start.dtype)
        return found
