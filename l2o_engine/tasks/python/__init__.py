"""A problem of the user's own, in Python: an object that can say where to start and what a point costs.

``definition`` says what such an object has; ``custom`` makes a family of tasks of it; ``module`` makes such an object
of a torch.nn.Module and a loss. ``python`` is ``kind = "python"``, what a preset says: which code makes the problem,
which runs only where that was allowed. None of them loads torch before a task is made.
"""

from l2o_engine.tasks.python.custom import Custom
from l2o_engine.tasks.python.definition import Definition
from l2o_engine.tasks.python.module import ModuleProblem
from l2o_engine.tasks.python.python import Python

__all__ = ["Custom", "Definition", "ModuleProblem", "Python"]
