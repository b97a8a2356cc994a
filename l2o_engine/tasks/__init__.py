"""What is optimized: a family draws tasks; each kind of family is one file here.

``base`` says what a family and a task are. The classes are names of this package,
``tasks.Quadratic(dims=2)``, and so are the shipped formulas, ``tasks.Rosenbrock()``.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from l2o_engine.tasks.base import TASKS, Task, TaskFamily

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers: tests/engine/test_types.py holds it
    from l2o_engine.tasks.formula import Formula
    from l2o_engine.tasks.joined import Ensemble
    from l2o_engine.tasks.lasso import Lasso
    from l2o_engine.tasks.least_squares import LeastSquares
    from l2o_engine.tasks.mixture import Mixture
    from l2o_engine.tasks.network import Network
    from l2o_engine.tasks.python import Custom, Definition, ModuleProblem, Python
    from l2o_engine.tasks.quadratic import Quadratic
    from l2o_engine.tasks.rastrigin import Rastrigin
    from l2o_engine.tasks.square import Square

    Ackley: Callable[..., Formula]
    Beale: Callable[..., Formula]
    Booth: Callable[..., Formula]
    Branin: Callable[..., Formula]
    Matyas: Callable[..., Formula]
    Michalewicz: Callable[..., Formula]
    Rosenbrock: Callable[..., Formula]
    RosenbrockHard: Callable[..., Formula]
    StyblinskiTang: Callable[..., Formula]

__all__ = [
    "TASKS",
    "Ackley",
    "Beale",
    "Booth",
    "Branin",
    "Custom",
    "Definition",
    "Ensemble",
    "Formula",
    "Lasso",
    "LeastSquares",
    "Matyas",
    "Michalewicz",
    "Mixture",
    "ModuleProblem",
    "Network",
    "Python",
    "Quadratic",
    "Rastrigin",
    "Rosenbrock",
    "RosenbrockHard",
    "Square",
    "StyblinskiTang",
    "Task",
    "TaskFamily",
]

_OWN = ("Custom", "Definition", "ModuleProblem")  # what makes a task family of a user's objects


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        if not name[:1].isupper():  # a module of the package, perhaps, which is being imported
            raise AttributeError(name)
        if name in _OWN:
            return getattr(import_module("l2o_engine.tasks.python"), name)
        return _functions().get(name) or TASKS.named(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(cls.__name__ for cls in TASKS)})


def _functions() -> dict[str, Callable[..., TaskFamily]]:
    """Return the shipped formulas by the names that they have here; a family of such a name is what it stands for."""
    from l2o_engine.tasks.formula import Formula
    from l2o_engine.tasks.formula.functions import name_in_python, shipped_functions

    functions = {name_in_python(name): partial(Formula, function=name) for name in shipped_functions()}
    return {name: made for name, made in functions.items() if name not in {cls.__name__ for cls in TASKS}}
