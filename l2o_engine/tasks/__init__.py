"""What is optimized: a family draws tasks; each kind of family is one file here.

``base`` says what a family and a task are. The classes are names of this package,
``tasks.Quadratic(dims=2)``, and so are the shipped formulas, ``tasks.Rosenbrock()``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from l2o_engine.tasks.base import TASKS, Task, TaskFamily

__all__ = ["TASKS", "Task", "TaskFamily"]


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():  # a module of the package, perhaps, which is being imported
        raise AttributeError(name)
    return _functions().get(name) or TASKS.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in TASKS), *_functions()]


def _functions() -> dict[str, Callable[..., TaskFamily]]:
    """Return the shipped formulas by the names that they have here; a family of such a name is what it stands for."""
    from l2o_engine.tasks.formula import Formula
    from l2o_engine.tasks.formula.functions import name_in_python, shipped_functions

    functions = {name_in_python(name): partial(Formula, function=name) for name in shipped_functions()}
    return {name: made for name, made in functions.items() if name not in {cls.__name__ for cls in TASKS}}
